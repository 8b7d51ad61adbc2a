"""The annotated picture: a box and a number for each face, green where it speaks, red where it does not.

It is drawn on the planes that go to the encoder. All edges lie on even pixels, where U and V have edges too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vidfleet.speakers.media.planes import Colours, Planes
    from vidfleet.speakers.seen import SeenTrack

SPEAKING = (60, 190, 40)
SILENT = (50, 50, 225)
UNKNOWN = (160, 160, 160)
"""Colours as BGR; the last is for frames without a score."""
NEAR = 2
"""The number shown is the mean over so many frames on either side, as in TalkNet's demo: single frames flicker."""
FONT = cv2.FONT_HERSHEY_DUPLEX
MOST_PLATES = 256
"""Of texts on their plates; a film shows few different ones at a time."""
_FARTHEST_PX = 100_000
"""A box may lie far outside."""

Bgr = tuple[int, int, int]
Parts = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]
"""Y, U and V."""
STEPS = (1, 2, 2)
"""Pixels to each of their numbers, along a side."""


@dataclass(frozen=True, slots=True)
class DrawnTrack:
    """What drawing needs of a track, in few bytes."""

    index: int
    start: int
    boxes: NDArray[np.float64]
    """(N, 4)"""
    shown: NDArray[np.float32]
    """(N,) the number to show; NaN where there is none."""

    @classmethod
    def of(cls, track: SeenTrack) -> DrawnTrack:
        """Take it from a finished track."""
        shown = np.full(len(track.boxes), np.nan, dtype=np.float32)
        values = track.scores[: len(shown)].astype(np.float64)
        if len(values):
            sums = np.concatenate([[0.0], np.cumsum(values)])
            at = np.arange(len(values))
            low, high = np.maximum(at - NEAR, 0), np.minimum(at + NEAR + 1, len(values))
            shown[: len(values)] = (sums[high] - sums[low]) / (high - low)
            # Scores are usually one shorter than the track.
            shown[len(values) : len(values) + NEAR] = shown[len(values) - 1]
        return cls(index=track.index, start=track.start, boxes=track.boxes, shown=shown)

    @property
    def end(self) -> int:
        """One past its last frame."""
        return self.start + len(self.boxes)


class Painter:
    """Draws the tracks into the frames of a film, asked for in order of time."""

    def __init__(self, tracks: Sequence[DrawnTrack], *, note: str = "") -> None:
        self._waiting: Iterator[DrawnTrack] = iter(sorted(tracks, key=lambda track: track.start))
        self._next = next(self._waiting, None)
        self._now: list[DrawnTrack] = []
        self._note = note
        self._plate = lru_cache(MOST_PLATES)(_plate)

    def paint(self, frame: int, planes: Planes) -> Planes:
        """The picture with the faces of this grid frame marked: a copy, or itself where nothing is to be drawn."""
        while self._next is not None and self._next.start <= frame:
            self._now.append(self._next)
            self._next = next(self._waiting, None)
        self._now = [track for track in self._now if track.end > frame]
        if not self._now and not self._note:
            return planes
        drawn = planes.copy()
        for track in self._now:
            at = frame - track.start
            self._mark(drawn, track.boxes[at], float(track.shown[at]), track.index)
        if self._note:
            unit = _unit(drawn.size)
            self._label(drawn, self._note, left=unit * 4, bottom=drawn.size[1] - unit * 4)
        return drawn

    def _mark(self, drawn: Planes, box: NDArray[np.float64], score: float, index: int) -> None:
        thick = _thickness(drawn.size)
        unknown = np.isnan(score)
        colour = UNKNOWN if unknown else SPEAKING if score > 0 else SILENT
        left, top = put_frame(drawn.arrays, box, thick, colour, colours=drawn.colours)
        text = f"{index}" if unknown else f"{index}: {score:+.1f}"
        self._label(drawn, text, left=left, bottom=top + thick, colour=colour)

    def _label(self, drawn: Planes, text: str, *, left: int, bottom: int, colour: Bgr = UNKNOWN) -> None:
        """White text on a plate, moved where needed so that it stays in the picture."""
        plate = self._plate(text, colour, _unit(drawn.size), drawn.colours)
        put_plate(drawn.arrays, plate, left=left, bottom=bottom)


def _unit(size: tuple[int, int]) -> int:
    """The unit of a text: 2 pixels at 360 rows or columns on the shorter side, 12 at 4K."""
    return max(1, round(min(size) / 180))


def _thickness(size: tuple[int, int]) -> int:
    """A line's thickness, always even: 2 pixels up to 480 rows or columns, 4 at 720, 12 at 4K."""
    return max(2, 2 * round(min(size) / 360))


def _even(value: float) -> int:
    return 2 * round(value / 2)


def up_to_even(length: int) -> int:
    """The next even number."""
    return (length + 1) // 2 * 2


def put_frame(drawn: Parts, box: NDArray[np.float64], thick: int, colour: Bgr, *, colours: Colours) -> tuple[int, int]:
    """Draw lines of an even thickness around a box (4,), anywhere. Returns the outer corner: column, row."""
    x1, y1, x2, y2 = (_even(edge - thick / 2) for edge in np.clip(box, -_FARTHEST_PX, _FARTHEST_PX).tolist())
    right, below = x2 + thick, y2 + thick
    bars = (x1, y1, right, y1 + thick), (x1, y2, right, below), (x1, y1, x1 + thick, below), (x2, y1, right, below)
    values = colours.planes_of(np.full((2, 2, 3), colour, np.uint8))
    for array, value, step in zip(drawn, values, STEPS, strict=True):
        for bar in bars:
            from_column, from_row, to_column, to_row = (max(0, edge) // step for edge in bar)
            array[from_row:to_row, from_column:to_column] = value[0, 0]
    return x1, y1


def put_plate(drawn: Parts, plate: Parts, *, left: int, bottom: int) -> None:
    """Lay a plate with even sides over a picture, moved where needed so that it stays in it."""
    (height, width), (rows, columns) = plate[0].shape, drawn[0].shape
    left = max(0, min(left, columns - width)) // 2 * 2
    top = max(0, min(bottom, rows) - height) // 2 * 2
    for array, part, step in zip(drawn, plate, STEPS, strict=True):
        under = array[top // step : (top + height) // step, left // step : (left + width) // step]
        under[:] = part[: under.shape[0], : under.shape[1]]


def _plate(text: str, colour: Bgr, unit: int, colours: Colours) -> Parts:
    """White text on a plate of a colour, with even sides."""
    scale, thick = unit * 0.28, max(1, unit // 2)
    (width, height), below = cv2.getTextSize(text, FONT, scale, thick)
    rows, columns = up_to_even(height + below + unit), up_to_even(width + 2 * unit)
    bgr = np.full((rows, columns, 3), colour, np.uint8)
    cv2.putText(bgr, text, (unit, rows - below), FONT, scale, (255, 255, 255), thick, cv2.LINE_AA)
    return colours.planes_of(bgr)
