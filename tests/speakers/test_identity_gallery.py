"""A track's gallery holds few, good views, spread over the whole track, however long it is."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from tests.speakers.stills import Still
from vidfleet.speakers.data import Face, GridFrame, Method, Scores
from vidfleet.speakers.identity.align import SIDE, TEMPLATE
from vidfleet.speakers.identity.gallery import PIECES, TrackGallery

if TYPE_CHECKING:
    from numpy.typing import NDArray

SQUARE = Fraction(1)
LANDMARKS = (TEMPLATE + 40).astype(np.float32)
SHARP = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
BLURRED: NDArray[np.uint8] = cv2.GaussianBlur(SHARP, (0, 0), 6)


class Colours:
    """An embedder that sees a face's mean colour, less grey."""

    method = Method("colours", "0" * 64)
    joins_at = 0.5

    def embed(self, aligned: NDArray[np.uint8]) -> NDArray[np.float32]:
        means = aligned.mean(axis=(1, 2)) - 100
        unit: NDArray[np.float32] = (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)
        return unit


def coloured(*bgr: int) -> NDArray[np.uint8]:
    """A sharp picture of one colour."""
    picture: NDArray[np.uint8] = np.clip(SHARP // 4 + np.array(bgr), 0, 255).astype(np.uint8)
    return picture


def take(
    gallery: TrackGallery,
    index: int,
    picture: NDArray[np.uint8] = SHARP,
    landmarks: NDArray[np.float32] | None = LANDMARKS,
    *,
    is_repeat: bool = False,
) -> None:
    gallery.take(GridFrame(index, 0.0, Still(picture), is_repeat), Face(index, (0, 0, 200, 200), 0.9, landmarks))


def test_an_hour_takes_no_more_views_than_seconds_and_they_are_spread() -> None:
    gallery = TrackGallery(0, 500, pixel_aspect=SQUARE)
    most = 0
    for index in range(500, 500 + 90_000, 40):
        take(gallery, index)
        most = max(most, len(gallery.views))
    frames = np.array([view.frame for view in gallery.views])
    assert most == PIECES
    assert PIECES / 2 <= len(frames) <= PIECES
    assert np.diff(frames).max() < 90_000 / 4
    assert frames[0] < 500 + 90_000 / 4
    assert frames[-1] > 500 + 90_000 * 3 / 4
    assert all(view.aligned.shape == (SIDE, SIDE, 3) for view in gallery.views)


def test_the_best_view_of_a_time_is_kept() -> None:
    gallery = TrackGallery(0, 0, pixel_aspect=SQUARE)
    softer: NDArray[np.uint8] = cv2.GaussianBlur(SHARP, (0, 0), 1.2)
    for index, picture in enumerate([softer, softer, SHARP, softer]):
        take(gallery, index, picture)
    assert [view.frame for view in gallery.views] == [2]


def test_no_view_is_better_than_a_bad_one() -> None:
    gallery = TrackGallery(0, 0, pixel_aspect=SQUARE)
    take(gallery, 0, BLURRED)
    take(gallery, 1, SHARP, None)
    take(gallery, 2, SHARP, LANDMARKS * 0.1)
    take(gallery, 3, SHARP, is_repeat=True)
    assert gallery.views == ()
    assert gallery.vector(Colours()) is None


def test_the_vector_is_that_of_the_views_and_has_length_1() -> None:
    gallery = TrackGallery(7, 0, pixel_aspect=SQUARE)
    for index in range(0, 60, 5):
        take(gallery, index, coloured(0, 0, 150))
    found = gallery.vector(Colours())
    assert found is not None
    assert (found.track, found.views) == (7, 6)
    assert np.linalg.norm(found.vector) == pytest.approx(1, abs=1e-5)
    assert found.vector[2] > 0.5


def test_a_face_into_which_the_track_jumped_is_left_out() -> None:
    gallery = TrackGallery(0, 0, pixel_aspect=SQUARE)
    for index in range(0, 150, 10):
        take(gallery, index, coloured(150, 0, 0) if index >= 120 else coloured(0, 0, 150))
    found = gallery.vector(Colours())
    assert found is not None
    assert found.views == 12
    assert found.vector[2] > 0.5 > found.vector[0]


def test_of_two_faces_in_a_track_the_one_that_speaks_is_meant() -> None:
    gallery = TrackGallery(0, 0, pixel_aspect=SQUARE)
    for index in range(0, 150, 10):
        take(gallery, index, coloured(150, 0, 0) if index >= 80 else coloured(0, 0, 150))
    silent = gallery.vector(Colours())
    speaking = gallery.vector(Colours(), Scores(np.where(np.arange(149) >= 80, 1.0, -1.0)))
    assert silent is not None
    assert speaking is not None
    assert silent.vector.argmax() == 2, "eight views of fifteen"
    assert speaking.vector.argmax() == 0
