"""Faces joined into tracks, frame by frame, within one shot.

A :class:`FaceTracker` does it: :class:`BoxTracker` by boxes alone, ``masks.tracker`` by pixels where boxes are unsure.

By boxes: each frame's faces are given to the open tracks so that the sum of overlaps is largest. A face continues a
track if it overlaps the track's last box by more than one half; a track may be unseen for at most ten frames, which
are filled linearly once it is seen again. The numbers are TalkNet's and LR-ASD's; their greedy loop is not.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy.optimize import linear_sum_assignment

from vidfleet.speakers.boxes import overlap
from vidfleet.speakers.looked import Looked
from vidfleet.speakers.masks.segmenter import ObjectMask

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from vidfleet.speakers.boxes import Box
    from vidfleet.speakers.data import Face
    from vidfleet.speakers.masks.use import MaskUse
    from vidfleet.speakers.tables import StageClock


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
    def last_box(self) -> Box:
        """The box of that frame."""
        x1, y1, x2, y2 = self._boxes[-4:]
        return x1, y1, x2, y2

    def boxes(self, first: int = 0, end: int | None = None) -> NDArray[np.float64]:
        """Copy the boxes [first, end), counted from the track's start, as (N, 4)."""
        last = self.length if end is None else end
        return np.array(self._boxes[4 * first : 4 * last]).reshape(-1, 4)

    def add(self, face: Face, between: Mapping[int, Box] = MappingProxyType({})) -> None:
        """Continue it with ``face``; the frames between are filled linearly, by way of boxes ``between`` by frame."""
        if face.frame > self.last_seen + 1:
            known = {self.last_seen: self.last_box, **between, face.frame: face.box}
            frames, boxes = [*known], np.array([*known.values()])
            wanted = np.arange(self.last_seen + 1, face.frame)
            path = np.column_stack([np.interp(wanted, frames, boxes[:, edge]) for edge in range(4)])
            self._boxes.extend(path.ravel().tolist())
        self._boxes.extend(face.box)
        self.detections += 1
        self.face = face

    def qualifies(self, rules: TrackRules) -> bool:
        """Whether it is kept."""
        boxes = self.boxes()
        sides = (boxes[:, 2:] - boxes[:, :2]).mean(axis=0)
        return self.detections > rules.detections and bool(sides.max() > rules.side)


class Tracker:
    """The tracks of a film that may still grow."""

    def __init__(self, rules: TrackRules) -> None:
        self.rules = rules
        self.open: list[GrowingTrack] = []
        """Those of the shot that may be continued, in order of appearance."""
        self._count = 0

    def push(self, frame: int, faces: Sequence[Face], *, starts_shot: bool = False) -> list[GrowingTrack]:
        """Take the faces of the next frame by their boxes; return the tracks that begin with it.

        Tracks returned earlier grow, and are ``closed`` when they can grow no more.
        """
        if starts_shot:
            self.close()
        matches = match(faces, self.open, above=self.rules.overlap)
        for index, track in matches.items():
            track.add(faces[index])
        return self.go_on(frame, [face for index, face in enumerate(faces) if index not in matches])

    def go_on(
        self, frame: int, new: Iterable[Face], *, held: Collection[GrowingTrack] = (), longer: int = 0
    ) -> list[GrowingTrack]:
        """Close what is unseen for too long, or for ``longer`` than that if held; begin a track for each new face."""
        for track in self.open:
            track.closed = frame - track.last_seen > self.rules.missed + (longer if track in held else 0)
        self.open = [track for track in self.open if not track.closed]
        begun = [self._begin(face) for face in new]
        self.open += begun
        return begun

    def close(self) -> None:
        """End all tracks: a shot or the film is over."""
        for track in self.open:
            track.closed = True
        self.open = []

    def _begin(self, face: Face) -> GrowingTrack:
        track = GrowingTrack(self._count, face)
        self._count += 1
        return track


def match(faces: Sequence[Face], tracks: Sequence[GrowingTrack], *, above: float) -> dict[int, GrowingTrack]:
    """Which face continues which track by the overlap of boxes: index of the face → track."""
    return {row: tracks[column] for row, column in best_pairs(overlaps(faces, tracks), above=above)}


def overlaps(faces: Sequence[Face], tracks: Sequence[GrowingTrack]) -> NDArray[np.float64]:
    """How much each face overlaps each track's last box: (faces, tracks)."""
    boxes = [face.box for face in faces], [track.last_box for track in tracks]
    return overlap(*(np.array(some).reshape(-1, 4) for some in boxes))


def best_pairs(shared: NDArray[np.float64], *, above: float) -> list[tuple[int, int]]:
    """Pairs (row, column) of which each row and column has one at most, so that the sum of what they share is largest.

    Pairs that share no more than ``above`` are none.
    """
    allowed = np.where(shared > above, shared, 0.0)
    rows, columns = linear_sum_assignment(allowed, maximize=True)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(row, column) for row, column in pairs if allowed[row, column] > 0]


@dataclass(frozen=True, slots=True)
class Followed:
    """A grid frame whose faces belong to tracks; these are known up to this frame, so far as they were seen."""

    looked: Looked
    begun: tuple[GrowingTrack, ...] = ()
    """The tracks that begin with it."""
    masks: Mapping[int, ObjectMask] = field(default_factory=dict)
    """What was seen of tracks in it, by their numbers; nothing where boxes were enough."""


class FaceTracker(Protocol):
    """Joins the faces of one film into tracks, none of which goes over a cut."""

    def push(self, looked: Looked) -> Iterator[Followed]:
        """Take the next grid frame; those come out, in order, whose tracks are known now.

        Each is to be taken before the next is asked for: tracks grow meanwhile.
        """
        ...

    def finish(self) -> Iterator[Followed]:
        """What still waits when the film has ended; then all tracks are closed."""
        ...

    @property
    def mask_use(self) -> MaskUse | None:
        """How much masks were asked so far; None where there are none to be asked."""
        ...


class BoxTracker:
    """By boxes alone; see :class:`FaceTracker`."""

    mask_use: MaskUse | None = None

    def __init__(self, rules: TrackRules, *, clock: StageClock) -> None:
        self._tracker, self._clock = Tracker(rules), clock

    def push(self, looked: Looked) -> Iterator[Followed]:
        """See :class:`FaceTracker`."""
        with self._clock.of("tracks"):
            begun = self._tracker.push(looked.frame.index, looked.faces, starts_shot=looked.starts_shot)
        yield Followed(looked, tuple(begun))

    def finish(self) -> Iterator[Followed]:
        """See :class:`FaceTracker`."""
        self._tracker.close()
        yield from ()
