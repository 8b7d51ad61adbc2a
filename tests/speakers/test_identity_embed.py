"""All embedders keep one promise: aligned faces become vectors of length 1, nearer for one person than for two."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from vidfleet.errors import SetupError
from vidfleet.speakers.faces import YuNet
from vidfleet.speakers.identity.align import SIDE, TEMPLATE, align, pose_of
from vidfleet.speakers.identity.embed import EMBEDDERS, FaceEmbedder, MobileFaceNet, SFace
from vidfleet.speakers.media import VideoSource
from vidfleet.speakers.weights import find_weight

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from vidfleet.speakers.data import GridFrame

SQUARE = Fraction(1)


@pytest.fixture(params=sorted(EMBEDDERS))
def embedder(request: pytest.FixtureRequest, weights: Path) -> FaceEmbedder:
    """Each embedder in turn whose weights are here: a new one is a new row."""
    path = find_weight(request.param, folder=weights)
    if path is None:
        pytest.skip(f"the weights {request.param} are not here")
    return EMBEDDERS[request.param](path)


@pytest.fixture
def yunet(weights: Path) -> YuNet:
    path = find_weight("yunet", folder=weights)
    assert path is not None
    return YuNet(path)


def test_vectors_have_one_size_and_length_1_whatever_the_number_of_faces(embedder: FaceEmbedder) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (3, SIDE, SIDE, 3), dtype=np.uint8)
    vectors = embedder.embed(noise)
    assert vectors.dtype == np.float32
    assert vectors.shape == (3, embedder.embed(noise[:1]).shape[1])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert embedder.embed(noise[1:2])[0] == pytest.approx(vectors[1], abs=1e-4)
    assert len(embedder.embed(noise[:0])) == 0
    assert 0 < embedder.joins_at < 1
    assert not embedder.method.is_heuristic


def test_a_face_is_nearer_to_itself_than_to_others(embedder: FaceEmbedder, yunet: YuNet, media: Path) -> None:
    people: dict[str, list[NDArray[np.uint8]]] = {}
    for name in ("grid_bbaf2n.mpg", "grid_brbk7n.mpg", "retalking_face2.mp4"):
        source = VideoSource.open(media / name)
        for frame in source.frames():
            if frame.index in (3, 60):
                face = yunet.find(frame, pixel_aspect=source.info.pixel_aspect)[0]
                assert face.landmarks is not None
                pose = pose_of(face.landmarks, pixel_aspect=source.info.pixel_aspect)
                assert pose is not None
                people.setdefault(name, []).append(align(frame.bgr, pose))
    vectors = embedder.embed(np.concatenate([np.stack(faces) for faces in people.values()]))
    cosines = vectors @ vectors.T
    same = np.kron(np.eye(3), np.ones((2, 2))) > 0
    assert cosines[same].min() >= embedder.joins_at
    assert cosines[~same].max() < embedder.joins_at


@pytest.fixture
def colour_network(tmp_path: Path) -> Callable[..., Path]:
    """Write a network whose three values are the means of its three planes."""
    onnx = pytest.importorskip("onnx")

    def write(side: int = SIDE) -> Path:
        node = onnx.helper.make_node("GlobalAveragePool", ["data"], ["means"])
        flat = onnx.helper.make_node("Flatten", ["means"], ["fc1"])
        kind = onnx.TensorProto.FLOAT
        ends = (
            [onnx.helper.make_tensor_value_info("data", kind, [1, 3, side, side])],
            [onnx.helper.make_tensor_value_info("fc1", kind, [1, 3])],
        )
        graph = onnx.helper.make_graph([node, flat], "colours", *ends)
        opsets = [onnx.helper.make_opsetid("", 13)]
        onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "net.onnx")
        return tmp_path / "net.onnx"

    return write


def coloured(blue: int, green: int, red: int) -> NDArray[np.uint8]:
    return np.full((1, SIDE, SIDE, 3), (blue, green, red), np.uint8)


def unit(*values: float) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.array(values) / np.linalg.norm(values)
    return found


def test_networks_see_red_first_and_each_its_own_range(colour_network: Callable[..., Path]) -> None:
    path, picture = colour_network(), coloured(20, 100, 250)
    assert SFace(path).embed(picture)[0] == pytest.approx(unit(250, 100, 20), abs=1e-5)
    assert MobileFaceNet(path).embed(picture)[0] == pytest.approx(unit(122.5, -27.5, -107.5), abs=1e-5)


def test_sface_sees_what_opencv_shows_it(colour_network: Callable[..., Path]) -> None:
    path, picture = colour_network(), coloured(20, 100, 250)
    theirs = cv2.FaceRecognizerSF.create(str(path), "").feature(picture[0])[0]
    assert SFace(path).embed(picture)[0] == pytest.approx(unit(*theirs), abs=1e-5)


def test_faces_are_aligned_as_opencv_aligns_them(colour_network: Callable[..., Path]) -> None:
    picture = np.random.default_rng(1).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    picture = cv2.resize(picture, (640, 480), interpolation=cv2.INTER_CUBIC)
    landmarks = np.array([[250, 200], [330, 190], [300, 240], [268, 290], [338, 280]], np.float32)
    row = np.concatenate([[0, 0, 0, 0], landmarks.ravel(), [1]]).astype(np.float32)[np.newaxis]
    theirs = cv2.FaceRecognizerSF.create(str(colour_network()), "").alignCrop(picture, row)
    pose = pose_of(landmarks, pixel_aspect=SQUARE)
    assert pose is not None
    assert np.abs(align(picture, pose).astype(int) - theirs).mean() < 0.5


def test_a_file_that_is_no_such_network_is_named(colour_network: Callable[..., Path]) -> None:
    with pytest.raises(SetupError, match=r"net\.onnx is no network for faces of 112 x 112 pixels"):
        SFace(colour_network(side=64))


def turned(degrees: float, *, stretch: float = 1.0) -> NDArray[np.float32]:
    """The points of a frontal face twice as large, rolled, in the middle of a picture of 400 x 400 pixels."""
    angle = np.radians(degrees)
    roll = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    points = (TEMPLATE - TEMPLATE.mean(axis=0)) * 2 @ roll + 200
    stretched: NDArray[np.float32] = (points * (stretch, 1)).astype(np.float32)
    return stretched


def test_a_rolled_face_comes_out_upright() -> None:
    for degrees in (0.0, 30.0, -40.0):
        pose = pose_of(turned(degrees), pixel_aspect=SQUARE)
        assert pose is not None
        back = cv2.transform(turned(degrees)[np.newaxis].astype(np.float64), pose.to_aligned)[0]
        assert back == pytest.approx(TEMPLATE, abs=0.01)
        assert pose.side == pytest.approx(2 * SIDE, rel=1e-3)
        assert pose.misfit < 0.01


def test_pixels_that_are_not_square_are_counted_as_shown() -> None:
    pose = pose_of(turned(20, stretch=0.5), pixel_aspect=Fraction(2))
    assert pose is not None
    assert pose.misfit < 0.01
    back = cv2.transform(turned(20, stretch=0.5)[np.newaxis].astype(np.float64), pose.to_aligned)[0]
    assert back == pytest.approx(TEMPLATE, abs=0.01)


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.full((5, 2), np.nan), np.full((5, 2), 7.0)])
def test_points_that_are_no_face_have_no_pose(points: NDArray[np.float64]) -> None:
    assert pose_of(points.astype(np.float32), pixel_aspect=SQUARE) is None


def test_well_seen_is_large_frontal_upright_and_inside() -> None:
    picture = np.zeros((400, 400, 3), np.uint8)

    def is_seen(points: NDArray[np.float32]) -> bool:
        pose = pose_of(points, pixel_aspect=SQUARE)
        assert pose is not None
        return pose.is_well_seen_in(picture)

    frontal = turned(0)
    assert is_seen(frontal)
    assert not is_seen(frontal * 0.05), "too small"
    assert not is_seen(turned(80)), "lying"
    assert not is_seen(frontal - (150, 0)), "half outside"
    profile = frontal.copy()
    profile[[1, 4], 0] = profile[[0, 3], 0] + 10
    profile[2, 0] = profile[0, 0] - 40
    assert not is_seen(profile), "from the side"


def test_the_landmarks_of_the_detector_come_in_the_order_of_the_points(yunet: YuNet, media: Path) -> None:
    """YuNet's landmarks are in the order that the template has."""
    source = VideoSource.open(media / "grid_bbaf2n.mpg")
    frame: GridFrame = next(iter(source.frames()))
    face = yunet.find(frame, pixel_aspect=source.info.pixel_aspect)[0]
    assert face.landmarks is not None
    pose = pose_of(face.landmarks, pixel_aspect=source.info.pixel_aspect)
    assert pose is not None
    assert pose.misfit < 4
    assert pose.upright > 0.95
