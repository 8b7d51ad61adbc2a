"""Faces joined into tracks, frame by frame, within one shot.

Each frame's faces are given to the open tracks so that the sum of overlaps is largest. A face continues a track
if it overlaps the track's last box by more than one half; a track may be unseen for at most ten frames, which
are filled linearly once it is seen again. The numbers are TalkNet's and LR-ASD's; their greedy loop is not.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vidfleet.speakers.data import Face


@dataclass(frozen=True, slots=True)
class TrackRules:
    """What makes a track."""

    overlap: float = 0.5
    """A face continues a track if its intersection over union with the last box is above this."""
    missed: int = 10
    """The most frames in a row in which a track may be unseen."""
    detections: int = 10
    """A track is kept if it was seen in more frames than this (so its shot has more frames, too)."""
    side: float = 1.0
    """A track is kept if the longer of its boxes' mean sides is above this; pixels."""


class GrowingTrack:
    """A track, while it grows and after. Boxes are known up to the frame in which it was last seen."""

    def __init__(self, number: int, face: Face) -> None:
        self.number = number
        """Its place among all tracks by order of appearance."""
        self.start = face.frame
        self.detections = 1
        self.closed = False
        self.face = face
        """What was detected of it last: in the frame ``last_seen``."""
        self._boxes = array("d", face.box)

    @property
    def length(self) -> int:
        """How many consecutive frames have a box."""
        return len(self._boxes) // 4

    @property
    def last_seen(self) -> int:
        """The last frame that has a box."""
        return self.start + self.length - 1

    @property
    def last_box(self) -> tuple[float, ...]:
        """The box of that frame."""
        return tuple(self._boxes[-4:])

    def boxes(self, first: int = 0, end: int | None = None) -> NDArray[np.float64]:
        """Copy the boxes [first, end), counted from the track's start, as (N, 4)."""
        last = self.length if end is None else end
        return np.array(self._boxes[4 * first : 4 * last]).reshape(-1, 4)

    def add(self, face: Face) -> None:
        """Continue it with ``face``, filling the frames between linearly."""
        before = np.array(self.last_box)
        steps = face.frame - self.last_seen
        path = before + (np.array(face.box) - before) * (np.arange(1, steps + 1) / steps)[:, np.newaxis]
        self._boxes.extend(path.ravel().tolist())
        self.detections += 1
        self.face = face

    def qualifies(self, rules: TrackRules) -> bool:
        """Whether it is kept."""
        boxes = self.boxes()
        sides = (boxes[:, 2:] - boxes[:, :2]).mean(axis=0)
        return self.detections > rules.detections and bool(sides.max() > rules.side)


class Tracker:
    """Follows faces through a film."""

    def __init__(self, rules: TrackRules) -> None:
        self._rules = rules
        self._open: list[GrowingTrack] = []
        self._count = 0

    def push(self, frame: int, faces: Sequence[Face], *, starts_shot: bool = False) -> list[GrowingTrack]:
        """Take the faces of the next frame; return the tracks that begin with it.

        Tracks returned earlier grow, and are ``closed`` when they can grow no more.
        """
        if starts_shot:
            self.close()
        matches = self._match(faces)
        for index, track in matches.items():
            track.add(faces[index])
        for track in self._open:
            track.closed = frame - track.last_seen > self._rules.missed
        self._open = [track for track in self._open if not track.closed]
        new = [self._begin(face) for index, face in enumerate(faces) if index not in matches]
        self._open += new
        return new

    def close(self) -> None:
        """End all tracks: a shot or the film is over."""
        for track in self._open:
            track.closed = True
        self._open = []

    def _begin(self, face: Face) -> GrowingTrack:
        track = GrowingTrack(self._count, face)
        self._count += 1
        return track

    def _match(self, faces: Sequence[Face]) -> dict[int, GrowingTrack]:
        """Which face continues which track: index of the face → track."""
        if not faces or not self._open:
            return {}
        boxes = np.array([face.box for face in faces])
        overlaps = overlap(boxes, np.array([track.last_box for track in self._open]))
        allowed = np.where(overlaps > self._rules.overlap, overlaps, 0.0)
        rows, columns = linear_sum_assignment(allowed, maximize=True)
        return {
            int(row): self._open[column] for row, column in zip(rows, columns, strict=True) if allowed[row, column] > 0
        }


def overlap(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of each box of ``first`` (N, 4) with each of ``second`` (M, 4): (N, M)."""
    top_left = np.maximum(first[:, np.newaxis, :2], second[np.newaxis, :, :2])
    bottom_right = np.minimum(first[:, np.newaxis, 2:], second[np.newaxis, :, 2:])
    shared = np.clip(bottom_right - top_left, 0, None).prod(axis=2)
    areas = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1) for boxes in (first, second)]
    union = areas[0][:, np.newaxis] + areas[1][np.newaxis] - shared
    result: NDArray[np.float64] = shared / np.maximum(union, 1e-9)
    return result
