"""The annotated picture says who speaks, by colour and number, at any size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.speakers.stills import HD, SD, bgr_of, planes_of
from vidfleet.speakers.media.planes import blank
from vidfleet.speakers.render import SILENT, SPEAKING, UNKNOWN, DrawnTrack, Painter
from vidfleet.speakers.seen import SeenTrack

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vidfleet.speakers.media.planes import Colours, Planes

BOX = (100.0, 100.0, 200.0, 220.0)


def drawn(scores: list[float], *, start: int = 0, length: int = 10) -> DrawnTrack:
    boxes = np.tile(np.array(BOX, np.float64), (length, 1))
    return DrawnTrack.of(SeenTrack(0, start, boxes, np.array(scores, np.float32)))


def black(height: int = 360, width: int = 640, colours: Colours = SD) -> Planes:
    return planes_of(np.zeros((height, width, 3), np.uint8), colours)


def dark(height: int, width: int) -> Planes:
    """Black, of any size."""
    planes = blank(width, height, SD)
    for array, value in zip(planes.arrays, (16, 128, 128), strict=True):
        array[:] = value
    return planes


def painted(painter: Painter, frame: int, planes: Planes | None = None) -> NDArray[np.uint8]:
    """What a player shows."""
    return bgr_of(painter.paint(frame, black() if planes is None else planes))


def colour_of_box(track: DrawnTrack, frame: int, colours: Colours = SD) -> list[int]:
    """Of the left line's middle."""
    shown: list[int] = painted(Painter([track]), frame, black(colours=colours))[160, 100].tolist()
    return shown


@pytest.mark.parametrize("colours", [SD, HD])
@pytest.mark.parametrize(("score", "colour"), [(1.0, SPEAKING), (-1.0, SILENT), (0.0, SILENT)])
def test_colour_tells_who_speaks(score: float, colour: tuple[int, ...], colours: Colours) -> None:
    assert colour_of_box(drawn([score] * 9), 4, colours) == pytest.approx(colour, abs=3)


def test_the_last_frame_takes_the_score_before_it() -> None:
    assert colour_of_box(drawn([1.0] * 9), 9) == pytest.approx(SPEAKING, abs=3)


def test_a_track_without_scores_is_drawn_grey() -> None:
    assert colour_of_box(drawn([]), 3) == pytest.approx(UNKNOWN, abs=3)


def test_faces_are_drawn_only_while_they_are_there() -> None:
    painter = Painter([drawn([1.0] * 9, start=5)])
    marked = [bool(painted(painter, frame).any()) for frame in range(20)]
    assert marked == [5 <= frame < 15 for frame in range(20)]


def test_single_frames_do_not_flicker() -> None:
    shown = drawn([1.0, 1.0, 1.0, 1.0, -2.0, 1.0, 1.0, 1.0, 1.0]).shown
    assert (shown > 0).all()
    assert shown[4] == pytest.approx(0.4)


def test_the_picture_itself_is_not_written_to() -> None:
    planes = black()
    drawing = Painter([drawn([1.0] * 9)], note="heuristic").paint(0, planes)
    assert not bgr_of(planes).any()
    assert bgr_of(drawing).any()


def test_a_picture_with_nothing_to_draw_is_not_copied() -> None:
    planes = black()
    assert Painter([drawn([1.0] * 9)]).paint(100, planes) is planes


def test_a_note_is_seen() -> None:
    assert painted(Painter([], note="heuristic"), 0)[300:].any()
    assert not painted(Painter([]), 0).any()


def test_text_is_white_on_the_colour_of_its_box() -> None:
    plate = painted(Painter([drawn([1.0] * 9)]), 4)[81:98, 102:150].reshape(-1, 3).astype(int)
    assert plate.min(axis=1).max() > 200
    is_plate = np.abs(plate - SPEAKING).max(axis=1) <= 3
    assert 0.3 < is_plate.mean() < 0.9
    # All between is a mixture of the two, as anti-aliased text is: the ink's share is the same for blue and for red.
    ink = (plate - SPEAKING) / (255.0 - np.array(SPEAKING))
    assert np.percentile(np.abs(ink[:, 0] - ink[:, 2]), 90) < 0.5


def test_lines_have_the_same_edges_in_colour_as_in_brightness() -> None:
    """A line half of whose colour lies beside it looks blurred: edges lie on even pixels, whatever the box."""
    for corner in np.arange(40.0, 48.0, 0.3):
        track = drawn([1.0] * 9)
        track.boxes[:] = (corner, corner, corner + 63.7, corner + 63.7)
        y, u, v = Painter([track]).paint(0, black()).arrays
        marked = (y != 16)[80:96].any(axis=0)
        tinted = ((u != 128) | (v != 128))[40:48].any(axis=0)
        assert (marked == tinted.repeat(2)).all()


@pytest.mark.parametrize("size", [(2160, 3840), (1080, 1920), (720, 1280), (480, 854), (360, 640), (3, 2), (1, 1)])
def test_all_sizes_can_be_drawn(size: tuple[int, int]) -> None:
    drawing = Painter([drawn([1.0] * 9)], note="heuristic").paint(0, dark(*size))
    assert drawing.size == (size[1], size[0])


@pytest.mark.parametrize("size", [(361, 641), (131, 225), (241, 320)])
def test_odd_sizes_are_drawn_to_their_edges(size: tuple[int, int]) -> None:
    track = drawn([1.0] * 9)
    track.boxes[:] = (0, 0, size[1], size[0])
    y, u, _ = Painter([track], note="heuristic").paint(0, dark(*size)).arrays
    assert u.shape == ((size[0] + 1) // 2, (size[1] + 1) // 2)
    assert y[-1, -1] != 16
    assert u[-1, -1] != 128


def test_a_box_beyond_the_picture_is_no_error() -> None:
    far = drawn([1.0] * 9)
    far.boxes[:] = (-1e12, -40, 20, 5000)
    assert bgr_of(Painter([far]).paint(0, black(90, 160)))[:, 20].any()
