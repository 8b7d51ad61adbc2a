"""Both detectors keep one promise: a box around each face, in pixels of the full-size picture."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import cache, partial
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from tests.speakers.stills import Still
from vidfleet.errors import SetupError
from vidfleet.speakers.data import Face, GridFrame
from vidfleet.speakers.faces import FaceDetector, HaarFaces, View, YuNet
from vidfleet.speakers.weights import find_weight

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

# The portrait's face in its 512 x 512 pixels, from hairline to chin: measured by eye.
PORTRAIT_FACE = (175.0, 60.0, 275.0, 190.0)
SQUARE = Fraction(1)


@cache
def portrait() -> NDArray[np.uint8]:
    """The NASA portrait that scikit-image carries, 512 x 512."""
    skimage_data = pytest.importorskip("skimage.data")
    picture: NDArray[np.uint8] = cv2.cvtColor(skimage_data.astronaut(), cv2.COLOR_RGB2BGR)
    return picture


@pytest.fixture(params=["yunet", "haar"])
def detector(request: pytest.FixtureRequest) -> FaceDetector:
    """Each detector in turn: a new one is a new row."""
    if request.param == "haar":
        return HaarFaces()
    yunet: FaceDetector = request.getfixturevalue("yunet")
    return yunet


@pytest.fixture
def yunet(weights: Path) -> YuNet:
    path = find_weight("yunet", folder=weights)
    assert path is not None
    return YuNet(path)


def find(
    detector: FaceDetector, bgr: NDArray[np.uint8], *, pixel_aspect: Fraction = SQUARE, index: int = 0
) -> tuple[Face, ...]:
    return detector.find(GridFrame(index, 0.0, Still(bgr), is_repeat=False), pixel_aspect=pixel_aspect)


def assert_is_face(box: tuple[float, ...], expected: tuple[float, ...]) -> None:
    """The box is where the face is, and about as large; detectors differ in what they count to a face."""
    centre = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
    wanted = np.array([(expected[0] + expected[2]) / 2, (expected[1] + expected[3]) / 2])
    size = np.array([expected[2] - expected[0], expected[3] - expected[1]])
    assert (np.abs(centre - wanted) < 0.25 * size).all()
    assert (np.abs(np.array([box[2] - box[0], box[3] - box[1]]) / size - 1) < 0.5).all()


def test_a_portrait_has_one_face(detector: FaceDetector) -> None:
    (face,) = find(detector, portrait(), index=7)
    assert face.frame == 7
    assert 0.6 <= face.confidence <= 1
    assert_is_face(face.box, PORTRAIT_FACE)


def test_no_face_is_a_result(detector: FaceDetector) -> None:
    assert find(detector, np.zeros((360, 640, 3), np.uint8)) == ()
    noise = np.random.default_rng(1).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    assert find(detector, noise) == ()


@pytest.mark.parametrize("side", [256, 1024, 2048])
def test_boxes_are_in_pixels_of_the_full_picture(detector: FaceDetector, side: int) -> None:
    (face,) = find(detector, cv2.resize(portrait(), (side, side), interpolation=cv2.INTER_AREA))
    assert_is_face(tuple(edge * 512 / side for edge in face.box), PORTRAIT_FACE)


def test_two_faces_are_two(detector: FaceDetector) -> None:
    both = np.hstack([portrait(), portrait()])
    faces = sorted(find(detector, both), key=lambda face: face.box[0])
    assert len(faces) == 2
    assert_is_face(faces[0].box, PORTRAIT_FACE)
    assert_is_face(tuple(np.array(faces[1].box) - (512, 0, 512, 0)), PORTRAIT_FACE)


def test_pixels_that_are_not_square_are_seen_as_shown(detector: FaceDetector) -> None:
    stored = cv2.resize(portrait(), (256, 512), interpolation=cv2.INTER_AREA)
    (face,) = find(detector, stored, pixel_aspect=Fraction(2))
    assert_is_face(tuple(np.array(face.box) * (2, 1, 2, 1)), PORTRAIT_FACE)


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (33, 65)])
def test_pictures_of_any_size_are_taken(detector: FaceDetector, size: tuple[int, int]) -> None:
    assert find(detector, np.zeros((*size, 3), np.uint8)) == ()


def test_several_threads_find_what_one_finds(detector: FaceDetector) -> None:
    pictures = [np.roll(portrait(), shift, axis=1) for shift in range(0, 96, 16)] * 3
    alone = [[face.box for face in find(detector, bgr)] for bgr in pictures]
    with ThreadPoolExecutor(4) as pool:
        together = [[face.box for face in faces] for faces in pool.map(partial(find, detector), pictures)]
    assert together == alone
    assert all(alone)


def test_the_picture_is_left_as_it_is(detector: FaceDetector) -> None:
    picture = portrait().copy()
    find(detector, picture)
    np.testing.assert_array_equal(picture, portrait())


def test_the_surest_comes_first(yunet: YuNet) -> None:
    dim = (portrait() * 0.25).astype(np.uint8)
    faces = find(yunet, np.hstack([dim, portrait()]))
    assert [face.confidence for face in faces] == sorted((face.confidence for face in faces), reverse=True)


def test_yunet_tells_eyes_nose_and_mouth(yunet: YuNet) -> None:
    (face,) = find(yunet, portrait())
    assert face.landmarks is not None
    right_eye, left_eye, nose, right_mouth, left_mouth = face.landmarks
    assert right_eye[0] < nose[0] < left_eye[0]
    assert right_mouth[0] < left_mouth[0]
    assert max(right_eye[1], left_eye[1]) < nose[1] < min(right_mouth[1], left_mouth[1])


def test_the_embedded_method_is_marked() -> None:
    method = HaarFaces().method
    assert method.is_heuristic
    assert method.name.startswith("heuristic")


def test_a_confidence_leaves_out_what_is_below_it(weights: Path) -> None:
    path = find_weight("yunet", folder=weights)
    assert path is not None
    assert find(YuNet(path, confidence=0.999), portrait()) == ()


def test_another_network_is_refused(weights: Path) -> None:
    with pytest.raises(SetupError, match="is not YuNet"):
        YuNet(weights / "silero_vad_16k_op15.onnx")


def test_a_view_is_no_larger_than_the_picture() -> None:
    view = View(np.zeros((90, 160, 3), np.uint8), pixel_aspect=SQUARE, scale=0.0)
    assert view.bgr.shape == (90, 160, 3)


def test_a_scale_is_kept_to() -> None:
    view = View(np.zeros((720, 1280, 3), np.uint8), pixel_aspect=SQUARE, scale=0.25)
    assert view.bgr.shape == (180, 320, 3)
    np.testing.assert_allclose(view.back(np.array([[320.0, 180.0]])), [[1280, 720]])
