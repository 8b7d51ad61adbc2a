"""A face as people can point at it: from when to when, and where in the picture.

``0:00:12.00-0:00:20.48 at 640,212 652,215 660,230`` is a face that is in the picture for these 8.48 s, and whose
middle is at the three places in the middles of the three thirds of them. Numbers of tracks change when settings do;
what is seen at a time and a place does not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from vidfleet.speakers.data import GRID_RATE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vidfleet.speakers.identity.cluster import Trail

ONE_POINT_FRAMES = 50
"""Up to so many frames one point says it; longer tracks have three."""
PIECE_FRAMES = 250
_TIME = r"(?:(?:(\d{1,3}):)?(\d{1,3}):)?(\d{1,6}(?:\.\d{1,6})?)"
_POINT = r"-?\d{1,6}(?:\.\d{1,6})?\s*,\s*-?\d{1,6}(?:\.\d{1,6})?"
_LINE = re.compile(rf"\s*{_TIME}(?:\s*-\s*{_TIME})?\s+at\s+({_POINT}(?:\s+{_POINT}){{0,15}})\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a face is, from grid frame ``start`` until before ``end``."""

    start: int
    end: int
    points: tuple[tuple[float, float], ...]
    """Its middle (x, y) in pixels of the full-size picture, in the middles of so many equal parts of the time."""

    @classmethod
    def of(cls, trail: Trail) -> Self:
        """Where a track is."""
        count = 1 if trail.end - trail.start <= ONE_POINT_FRAMES else 3
        points = []
        for frame in _middles(trail.start, trail.end, count):
            x1, y1, x2, y2 = (float(edge) for edge in trail.boxes[frame - trail.start])
            points.append((round((x1 + x2) / 2), round((y1 + y2) / 2)))
        return cls(trail.start, trail.end, tuple(points))

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read a line; None where it is none. A single time stands for one grid frame."""
        match = _LINE.fullmatch(text)
        if match is None:
            return None
        start = _frame(*match.group(1, 2, 3))
        end = start + 1 if match.group(6) is None else _frame(*match.group(4, 5, 6))
        numbers = [float(number) for number in re.findall(r"-?[\d.]+", match.group(7))]
        points = tuple(zip(numbers[::2], numbers[1::2], strict=True))
        return cls(start, end, points) if end > start else None

    def __str__(self) -> str:
        """The line that :meth:`parse` reads."""
        points = " ".join(f"{x:g},{y:g}" for x, y in self.points)
        return f"{_clock(self.start)}-{_clock(self.end)} at {points}"

    @property
    def moments(self) -> tuple[tuple[int, float, float], ...]:
        """Grid frame, x and y of each point."""
        frames = _middles(self.start, self.end, len(self.points))
        return tuple((frame, x, y) for frame, (x, y) in zip(frames, self.points, strict=True))


class Finder:
    """Finds the tracks of a film that are at a place."""

    def __init__(self, trails: Sequence[Trail]) -> None:
        self._trails = trails
        self._pieces: dict[int, list[int]] = {}
        for index, trail in enumerate(trails):
            for piece in range(trail.start // PIECE_FRAMES, (trail.end - 1) // PIECE_FRAMES + 1):
                self._pieces.setdefault(piece, []).append(index)

    def find(self, place: Place) -> tuple[int, ...]:
        """Indices of the tracks whose face is at one of the place's points; of several faces there, the nearest."""
        found = {self._at(*moment) for moment in place.moments}
        return tuple(sorted(index for index in found if index is not None))

    def _at(self, frame: int, x: float, y: float) -> int | None:
        nearest: tuple[float, int] | None = None
        for index in self._pieces.get(frame // PIECE_FRAMES, ()):
            trail = self._trails[index]
            if not trail.start <= frame < trail.end:
                continue
            x1, y1, x2, y2 = (float(edge) for edge in trail.boxes[frame - trail.start])
            if x1 <= x <= x2 and y1 <= y <= y2:
                away = abs(x - (x1 + x2) / 2) / (x2 - x1 + 1) + abs(y - (y1 + y2) / 2) / (y2 - y1 + 1)
                nearest = min(nearest or (away, index), (away, index))
        return nearest[1] if nearest else None


def _middles(start: int, end: int, count: int) -> list[int]:
    """The grid frames in the middles of ``count`` equal parts."""
    return [start + (2 * part + 1) * (end - start) // (2 * count) for part in range(count)]


def _frame(hours: str | None, minutes: str | None, seconds: str) -> int:
    """The grid frame nearest to a time."""
    return round((int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds)) * GRID_RATE)


def _clock(frame: int) -> str:
    minutes, hundredths = divmod(frame * (100 // GRID_RATE), 6000)
    return f"{minutes // 60}:{minutes % 60:02d}:{hundredths // 100:02d}.{hundredths % 100:02d}"
