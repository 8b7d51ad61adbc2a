"""The annotated picture says who speaks, by colour and number, at any size."""

from __future__ import annotations

import numpy as np
import pytest

from vidfleet.speakers.render import SILENT, SPEAKING, UNKNOWN, DrawnTrack, Painter
from vidfleet.speakers.seen import SeenTrack

BOX = (100.0, 100.0, 200.0, 220.0)


def drawn(scores: list[float], *, start: int = 0, length: int = 10) -> DrawnTrack:
    boxes = np.tile(np.array(BOX, np.float64), (length, 1))
    return DrawnTrack.of(SeenTrack(0, start, boxes, np.array(scores, np.float32)))


def colour_of_box(track: DrawnTrack, frame: int) -> tuple[int, ...]:
    painted = Painter([track]).paint(frame, np.zeros((360, 640, 3), np.uint8))
    return tuple(int(value) for value in painted[160, 100])


@pytest.mark.parametrize(("score", "colour"), [(1.0, SPEAKING), (-1.0, SILENT), (0.0, SILENT)])
def test_colour_tells_who_speaks(score: float, colour: tuple[int, ...]) -> None:
    assert colour_of_box(drawn([score] * 9), 4) == colour


def test_the_last_frame_takes_the_score_before_it() -> None:
    assert colour_of_box(drawn([1.0] * 9), 9) == SPEAKING


def test_a_track_without_scores_is_drawn_grey() -> None:
    assert colour_of_box(drawn([]), 3) == UNKNOWN


def test_faces_are_drawn_only_while_they_are_there() -> None:
    painter = Painter([drawn([1.0] * 9, start=5)])
    black = np.zeros((360, 640, 3), np.uint8)
    marked = [bool(painter.paint(frame, black).any()) for frame in range(20)]
    assert marked == [5 <= frame < 15 for frame in range(20)]


def test_single_frames_do_not_flicker() -> None:
    shown = drawn([1.0, 1.0, 1.0, 1.0, -2.0, 1.0, 1.0, 1.0, 1.0]).shown
    assert (shown > 0).all()
    assert shown[4] == pytest.approx(0.4)


def test_the_picture_itself_is_not_written_to() -> None:
    black = np.zeros((360, 640, 3), np.uint8)
    Painter([drawn([1.0] * 9)], note="heuristic").paint(0, black)
    assert not black.any()


def test_a_note_is_seen() -> None:
    black = np.zeros((360, 640, 3), np.uint8)
    assert Painter([], note="heuristic").paint(0, black)[300:].any()
    assert not Painter([]).paint(0, black).any()


@pytest.mark.parametrize("size", [(2160, 3840), (360, 640), (64, 64), (2, 2)])
def test_all_sizes_can_be_drawn(size: tuple[int, int]) -> None:
    painted = Painter([drawn([1.0] * 9)], note="heuristic").paint(0, np.zeros((*size, 3), np.uint8))
    assert painted.shape == (*size, 3)


def test_a_box_beyond_the_picture_is_no_error() -> None:
    far = drawn([1.0] * 9)
    far.boxes[:] = (-5000, -40, 20, 5000)
    Painter([far]).paint(0, np.zeros((90, 160, 3), np.uint8))
