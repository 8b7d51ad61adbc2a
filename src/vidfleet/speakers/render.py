"""The annotated picture: a box and a number for each face, green where it speaks, red where it does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vidfleet.speakers.seen import SeenTrack

SPEAKING = (60, 190, 40)
SILENT = (50, 50, 225)
UNKNOWN = (160, 160, 160)
"""Colours as BGR; the last is for frames without a score."""
NEAR = 2
"""The number shown is the mean over so many frames on either side, as in TalkNet's demo: single frames flicker."""
FONT = cv2.FONT_HERSHEY_DUPLEX


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

    def paint(self, frame: int, bgr: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A copy of ``bgr`` with the faces of this grid frame marked."""
        while self._next is not None and self._next.start <= frame:
            self._now.append(self._next)
            self._next = next(self._waiting, None)
        self._now = [track for track in self._now if track.end > frame]
        picture = bgr.copy()
        for track in self._now:
            at = frame - track.start
            _mark(picture, track.boxes[at], float(track.shown[at]), track.index)
        if self._note:
            _label(picture, self._note, left=_unit(picture) * 4, bottom=picture.shape[0] - _unit(picture) * 4)
        return picture


def _unit(picture: NDArray[np.uint8]) -> int:
    """A line's thickness: 2 pixels at 360 rows or columns on the shorter side, 12 at 4K."""
    height, width = picture.shape[:2]
    return max(1, round(min(int(height), int(width)) / 180))


def _mark(picture: NDArray[np.uint8], box: NDArray[np.float32], score: float, index: int) -> None:
    x1, y1, x2, y2 = (round(float(edge)) for edge in box)
    unknown = np.isnan(score)
    colour = UNKNOWN if unknown else SPEAKING if score > 0 else SILENT
    cv2.rectangle(picture, (x1, y1), (x2, y2), colour, _unit(picture))
    text = f"{index}" if unknown else f"{index}: {score:+.1f}"
    _label(picture, text, left=x1, bottom=y1, colour=colour)


def _label(
    picture: NDArray[np.uint8],
    text: str,
    *,
    left: int,
    bottom: int,
    colour: tuple[int, int, int] = UNKNOWN,
) -> None:
    """White text on a plate, moved where needed so that it stays in the picture."""
    unit = _unit(picture)
    scale = unit * 0.28
    (width, height), below = cv2.getTextSize(text, FONT, scale, max(1, unit // 2))
    height_all = height + below + unit
    left = max(0, min(left, picture.shape[1] - width - 2 * unit))
    bottom = max(height_all, min(bottom, picture.shape[0]))
    cv2.rectangle(picture, (left, bottom - height_all), (left + width + 2 * unit, bottom), colour, cv2.FILLED)
    cv2.putText(
        picture,
        text,
        (left + unit, bottom - below),
        FONT,
        scale,
        (255, 255, 255),
        max(1, unit // 2),
        cv2.LINE_AA,
    )
