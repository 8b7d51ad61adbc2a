"""The faces of one hard stretch of a shot, followed by their pixels.

Each track is an object to the segmenter. It is told where the object is by a face that is clear of all others; from
then on its mask says which face is whose. A face box is taken from the detector where it finds the face, and from the
mask where it does not, in the place and size that the face last had in its mask; a track gets such boxes only once
the face is found again, as it gets those between two detections without masks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from vidfleet.speakers.boxes import Box, overlap
from vidfleet.speakers.masks.doubts import LOST, MEET
from vidfleet.speakers.tracks import best_pairs, match, overlaps

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from vidfleet.speakers.data import Face
    from vidfleet.speakers.looked import Looked
    from vidfleet.speakers.masks.segmenter import ObjectMask, Segmentation
    from vidfleet.speakers.tables import StageClock
    from vidfleet.speakers.tracks import GrowingTrack, Tracker

COVERED = 0.5
"""A face is an object's when its mask covers more than this share of the face's box."""
WHOLE = 0.85
"""A mask tells where a face is while it has at least this share of the pixels that it had when the face was found;
with fewer it is partly hidden, and its box is not the face's."""
HELD = 15
"""So many frames longer than by boxes a face may be unseen while its object is followed: 25 frames, one second, as
TalkNet's rules go. Pictures are kept for as long."""
FIRM = 3
"""A face becomes an object when it was seen in so many frames: a blink of the detector costs nothing."""
MOST = 16
"""So many faces are objects at a time, the largest; boxes speak for the rest of a crowd. Each costs time and memory."""


@dataclass(slots=True)
class _Object:
    """A track as the segmenter follows it."""

    place: tuple[float, float, float, float] | None = None
    """The face in its mask, when it was found last: x1, y1, x2, y2 as shares of the mask's box."""
    pixels: int = 0
    """How many the mask had then."""
    between: dict[int, Box] = field(default_factory=dict)
    """Since then, by frame: where the face must be, by its mask."""
    is_lost: bool = False
    """The face was found, and not in its mask: that is not to be believed, and is prompted anew where that can be."""


class FollowedFaces:
    """Goes through the frames of a stretch, one after the other, and continues the tracks of ``tracker``."""

    def __init__(self, tracker: Tracker, segmentation: Segmentation, *, clock: StageClock) -> None:
        self._tracker, self._segmentation, self._clock = tracker, segmentation, clock
        self._objects: dict[int, _Object] = {}
        """By the number of the track."""
        self.masks: Mapping[int, ObjectMask] = {}
        """Of the last frame, by the number of the track; hidden ones included."""
        self._frame = -1

    def lead_in(self, before: Sequence[Looked]) -> int:
        """Find the objects in the frames before the stretch, in which their tracks are known; return in how many."""
        largest = sorted(self._tracker.open, key=lambda track: -_area(track.last_box))
        found = [(track, frame) for track in largest if (frame := self._clear(track, before))]
        told = {track.number: (frame, track) for track, frame in found[:MOST]}
        first = min((frame.frame.index for frame, _ in told.values()), default=None)
        frames = [] if first is None else [looked for looked in before if looked.frame.index >= first]
        for looked in frames:
            prompts = {
                number: _box_at(track, looked.frame.index) for number, (at, track) in told.items() if at is looked
            }
            self._see(looked, prompts)
            for number in self._objects:
                track = told[number][1]
                if looked.frame.index <= track.last_seen:
                    self._learn(number, _box_at(track, looked.frame.index))
        return len(frames)

    @property
    def waits(self) -> bool:
        """Whether a face that is followed is unseen just now, and may be found again."""
        return any(track.last_seen < self._frame for track in self._tracker.open if track.number in self._objects)

    def push(self, looked: Looked) -> list[GrowingTrack]:
        """Take the next frame; return the tracks that begin with it."""
        if looked.starts_shot:
            self._tracker.close()
        self._frame = looked.frame.index
        self._see(looked, {} if looked.frame.is_repeat else self._prompts(looked.faces))
        with self._clock.of("tracks"):
            return self._give(looked)

    def _see(self, looked: Looked, prompts: Mapping[int, Box]) -> None:
        for number in prompts:
            self._objects[number] = _Object()
        if looked.frame.is_repeat and self.masks and not prompts:
            return
        with self._clock.of("masks"):
            self.masks = self._segmentation.push(looked.frame.bgr, prompts)

    def _prompts(self, faces: Sequence[Face]) -> dict[int, Box]:
        """The faces of tracks that are no objects yet, or no longer, where they are clear of all others."""
        known = self._objects
        loose = [track for track in self._tracker.open if track.number not in known or known[track.number].is_lost]
        boxes = np.array([face.box for face in faces]).reshape(-1, 4)
        meets = overlap(boxes, boxes) - np.eye(len(boxes)) > MEET
        found = match(faces, loose, above=self._tracker.rules.overlap)
        clear = [index for index, track in found.items() if track.detections >= FIRM and not meets[index].any()]
        clear.sort(key=lambda index: -_area(faces[index].box))
        for index in clear:
            self._forget(found[index].number)
        return {found[index].number: faces[index].box for index in clear[: max(MOST - len(self._objects), 0)]}

    def _give(self, looked: Looked) -> list[GrowingTrack]:
        """Give each face to its track: by the masks, else by boxes to tracks that no mask speaks for."""
        open_, faces = self._tracker.open, looked.faces
        covered, near = self._coverage(faces, open_), overlaps(faces, open_)
        by_mask = best_pairs(np.where(covered > COVERED, covered + near, 0.0), above=COVERED)
        taken = {row: open_[column] for row, column in by_mask}
        for index, track in taken.items():
            self._continue(track, faces[index])
        free = [index for index in range(len(faces)) if index not in taken]
        loose = [track for track in open_ if track not in taken.values() and self._goes_by_box(track, looked)]
        by_box = match([faces[index] for index in free], loose, above=self._tracker.rules.overlap)
        for at, track in by_box.items():
            self._continue_by_box(track, faces[free[at]])
        taken |= {free[at]: track for at, track in by_box.items()}
        for track in open_:
            if track.last_seen < looked.frame.index:
                self._remember(track, looked.frame.index)
        followed = [track for track in open_ if track.number in self._objects]
        new = [face for index, face in enumerate(faces) if index not in taken]
        begun = self._tracker.go_on(looked.frame.index, new, held=followed, longer=HELD)
        for track in followed:
            if track.closed:
                self._forget(track.number)
        return begun

    def _forget(self, number: int) -> None:
        if self._objects.pop(number, None):
            self._segmentation.forget([number])

    def _coverage(self, faces: Sequence[Face], tracks: Sequence[GrowingTrack]) -> NDArray[np.float64]:
        """The share of each face's box that each track's mask covers: (faces, tracks)."""
        covered = np.zeros((len(faces), len(tracks)))
        for column, track in enumerate(tracks):
            mask = self._visible(track.number)
            for row, face in enumerate(faces if mask is not None else ()):
                x1, y1, x2, y2 = (max(0, round(edge)) for edge in face.box)
                inside = mask.pixels[y1:y2, x1:x2] if mask is not None else np.zeros(0)
                covered[row, column] = inside.mean() if inside.size else 0.0
        return covered

    def _visible(self, number: int) -> ObjectMask | None:
        mask = self.masks.get(number)
        return mask if mask is not None and mask.score > 0 and number in self._objects else None

    def _goes_by_box(self, track: GrowingTrack, looked: Looked) -> bool:
        """Whether a face may be the track's that is not in its mask: it has none, or was seen a moment ago."""
        return track.number not in self._objects or looked.frame.index - track.last_seen <= LOST

    def _continue(self, track: GrowingTrack, face: Face) -> None:
        known = self._objects[track.number]
        track.add(face, known.between)
        known.between.clear()
        known.is_lost = False
        self._learn(track.number, face.box)

    def _continue_by_box(self, track: GrowingTrack, face: Face) -> None:
        track.add(face)
        if known := self._objects.get(track.number):
            known.between.clear()
            known.is_lost = True

    def _learn(self, number: int, face: Box) -> None:
        """Note how the face lies in its mask."""
        mask, known = self._visible(number), self._objects[number]
        around = box_of(mask.pixels) if mask is not None else None
        if mask is None or around is None:
            return
        width, height = around[2] - around[0], around[3] - around[1]
        known.place = (
            (face[0] - around[0]) / width, (face[1] - around[1]) / height,
            (face[2] - around[0]) / width, (face[3] - around[1]) / height,
        )  # fmt: skip
        known.pixels = int(np.count_nonzero(mask.pixels))

    def _remember(self, track: GrowingTrack, frame: int) -> None:
        """Note where a face that is not found must be, by its mask."""
        mask, known = self._visible(track.number), self._objects.get(track.number)
        if mask is None or known is None or known.place is None:
            return
        around = box_of(mask.pixels)
        if around is None or np.count_nonzero(mask.pixels) < WHOLE * known.pixels:
            return
        width, height = around[2] - around[0], around[3] - around[1]
        x1, y1, x2, y2 = known.place
        known.between[frame] = (
            around[0] + x1 * width, around[1] + y1 * height, around[0] + x2 * width, around[1] + y2 * height,
        )  # fmt: skip

    def _clear(self, track: GrowingTrack, before: Iterable[Looked]) -> Looked | None:
        """The last of these frames in which the track's face is clear of the others; else the one where it is most."""
        others = [other for other in self._tracker.open if other is not track]
        seen = [looked for looked in before if track.start <= looked.frame.index <= track.last_seen]
        shared = [max((_shared(track, other, looked.frame.index) for other in others), default=0.0) for looked in seen]
        best = min(range(len(seen)), key=lambda at: (shared[at] > 0, shared[at], -at), default=None)
        return None if best is None or track.detections < FIRM else seen[best]


def box_of(pixels: NDArray[np.bool_]) -> Box | None:
    """The box around what is set of (height, width), right and lower edge exclusive; nothing where none is."""
    rows, columns = (np.flatnonzero(pixels.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _box_at(track: GrowingTrack, frame: int) -> Box:
    x1, y1, x2, y2 = track.boxes(frame - track.start, frame - track.start + 1)[0].tolist()
    return x1, y1, x2, y2


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _shared(track: GrowingTrack, other: GrowingTrack, frame: int) -> float:
    if not other.start <= frame <= other.last_seen:
        return 0.0
    return float(overlap(np.array([_box_at(track, frame)]), np.array([_box_at(other, frame)]))[0, 0])
