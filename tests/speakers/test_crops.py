"""A crop shows the part of the picture that TalkNet's would, and streaming changes nothing of it."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from tests.speakers.stills import Still
from vidfleet.speakers.crops import CropRules, Square, TrackCrops, cut, face_of
from vidfleet.speakers.data import Face, GridFrame
from vidfleet.speakers.tracks import GrowingTrack, Tracker, TrackRules

if TYPE_CHECKING:
    from numpy.typing import NDArray

RULES = CropRules(pixel_aspect=Fraction(1))


def noise(height: int = 200, width: int = 300, seed: int = 0) -> NDArray[np.uint8]:
    small = np.random.default_rng(seed).integers(0, 256, (height // 10, width // 10, 3), dtype=np.uint8)
    picture: NDArray[np.uint8] = cv2.resize(small, (width, height))
    return picture


def plain_crop(picture: NDArray[np.uint8], square: Square, scale: float) -> NDArray[np.uint8]:
    """The specification, written down once more without care for speed: pad everything, then slice."""
    pad = 400
    padded = np.full((picture.shape[0] + 2 * pad, picture.shape[1] + 2 * pad, 3), 110, dtype=np.uint8)
    padded[pad:-pad, pad:-pad] = picture
    s = square.half
    rows = slice(math.floor(square.y - s) + pad, math.floor(square.y + s * (1 + 2 * scale)) + pad)
    columns = slice(math.floor(square.x - s * (1 + scale)) + pad, math.floor(square.x + s * (1 + scale)) + pad)
    crop: NDArray[np.uint8] = cv2.resize(padded[rows, columns], (224, 224))
    return crop


@pytest.mark.parametrize(
    "square",
    [
        Square(150, 90, 40),
        Square(150.6, 90.4, 33.3),
        Square(5, 5, 30),
        Square(295, 195, 60),
        Square(150, 100, 180),
        Square(-30, 100, 50),
    ],
)
@pytest.mark.parametrize("scale", [0.0, 0.4])
def test_a_crop_is_what_the_specification_says(square: Square, scale: float) -> None:
    picture = noise()
    crop = cut(picture, square, CropRules(pixel_aspect=Fraction(1), scale=scale))
    np.testing.assert_array_equal(crop, plain_crop(picture, square, scale))


def test_what_lies_outside_the_picture_is_grey() -> None:
    crop = cut(np.zeros((100, 100, 3), np.uint8), Square(500, 500, 20), RULES)
    assert crop.shape == (224, 224, 3)
    assert (crop == 110).all()


def test_a_face_without_size_is_no_error() -> None:
    assert cut(noise(), Square(50, 50, 0.0), RULES).shape == (224, 224, 3)


def test_the_network_sees_the_grey_middle() -> None:
    crop = cut(noise(), Square(150, 90, 40), RULES)
    expected = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)[56:168, 56:168]
    np.testing.assert_array_equal(face_of(crop), expected)


def test_wide_pixels_do_not_squeeze_faces() -> None:
    picture = noise(200, 400)
    squeezed: NDArray[np.uint8] = cv2.resize(picture, (200, 200), interpolation=cv2.INTER_AREA)
    as_shown = cut(picture, Square(200, 90, 40), RULES)
    as_stored = cut(squeezed, Square(100, 90, 40), CropRules(pixel_aspect=Fraction(2)))
    difference = np.abs(as_shown.astype(int) - as_stored.astype(int))
    assert difference.mean() < 5


def crops_of(boxes: NDArray[np.float64], seen: NDArray[np.bool_]) -> tuple[TrackCrops, list[NDArray[np.uint8]], int]:
    """Stream one face through tracker and crops as the pipeline does; also the most pictures kept at once."""
    tracker = Tracker(TrackRules())
    kept: dict[int, GridFrame] = {}
    crops: list[NDArray[np.uint8]] = []
    run: TrackCrops | None = None
    most = 0
    for index in range(len(boxes) + 12):
        kept[index] = GridFrame(index, index / 25, Still(noise(seed=index)), is_repeat=False)
        most = max(most, len(kept))
        visible = index < len(boxes) and seen[index]
        faces = [Face(index, tuple(boxes[index].tolist()), 0.9)] if visible else []
        for track in tracker.push(index, faces):
            assert run is None, "the face was lost"
            run = TrackCrops(track, RULES)
        if run is not None:
            crops.extend(run.ready(kept.__getitem__))
        needed = run.next_frame if run and not run.track.closed else index + 1
        kept = {number: frame for number, frame in kept.items() if number >= needed}
    assert run is not None
    return run, crops, most


def wandering_boxes(count: int) -> NDArray[np.float64]:
    random = np.random.default_rng(5)
    centre = np.array([150.0, 100.0]) + np.cumsum(random.normal(0, 1.5, (count, 2)), axis=0)
    half = 30 + random.normal(0, 1.0, (count, 2))
    return np.column_stack([centre - half, centre + half])


def test_streaming_gives_what_a_whole_track_gives() -> None:
    boxes = wandering_boxes(60)
    seen = np.ones(60, dtype=bool)
    seen[20:30] = False  # the longest gap that is bridged
    run, crops, _ = crops_of(boxes, seen)
    track = run.finished("pycrop/00000")
    filled = np.column_stack(
        [np.interp(np.arange(60), np.flatnonzero(seen), boxes[seen, column]) for column in range(4)]
    )
    np.testing.assert_allclose(track.boxes, filled)
    whole = np.column_stack(
        [
            (filled[:, 0] + filled[:, 2]) / 2,
            (filled[:, 1] + filled[:, 3]) / 2,
            np.maximum(filled[:, 2] - filled[:, 0], filled[:, 3] - filled[:, 1]) / 2,
        ]
    )
    smooth = np.array([np.median(whole[max(0, i - 6) : i + 7], axis=0) for i in range(60)])
    np.testing.assert_allclose(track.centre_x, smooth[:, 0])
    np.testing.assert_allclose(track.centre_y, smooth[:, 1])
    np.testing.assert_allclose(track.half_size, smooth[:, 2])
    assert len(crops) == 60
    for index in (0, 5, 25, 59):
        expected = plain_crop(noise(seed=index), Square(*smooth[index]), 0.4)
        np.testing.assert_array_equal(crops[index], expected)


def test_few_pictures_are_kept() -> None:
    seen = np.ones(80, dtype=bool)
    seen[20:30] = seen[41:51] = False
    *_, most = crops_of(wandering_boxes(80), seen)
    assert most <= 18


def test_a_finished_track_counts_grid_frames() -> None:
    track = GrowingTrack(0, Face(7, (0.0, 0.0, 40.0, 40.0), 1.0))
    track.add(Face(9, (0.0, 0.0, 40.0, 40.0), 1.0))
    track.closed = True
    run = TrackCrops(track, RULES)
    list(run.ready(lambda index: GridFrame(index, 0.0, Still(noise()), is_repeat=False)))
    done = run.finished("pycrop/00003")
    assert done.frames.tolist() == [7, 8, 9]
    assert done.frames.dtype == np.int64
    assert (done.start, done.end, done.crop_name) == (7, 10, "pycrop/00003")
