"""Faces of every grid frame, though the detector looks at few: ``--detect-every K``.

The detector looks at the first and the last frame of each shot and at every K-th between. Where both ends of a
stretch have the same faces, each well apart from the others and moved little, the frames between get boxes on the
straight line from one to the other. Where they do not (a face has come or gone, two have come near each other, one
has moved far) the detector looks at the middle frame, and so on in each half, down to every frame. So what happens
is found in the frame in which it happens, and the calm rest costs nothing (docs/decisions/022-detect-every.md).

With K = 1 the detector looks at every frame, and nothing else is done: the reference.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment

from vidfleet.speakers.boxes import overlap
from vidfleet.speakers.data import Face, GridFrame

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from vidfleet.speakers.flow import Crew
    from vidfleet.speakers.tables import StageClock

LEAST_SHARED = 0.7
"""Between two looks a face's boxes overlap by at least this (intersection over union), or it has moved too far.

Of the exact run's boxes on the clips of benchmarks/detect_every.py, 0.5, 0.7 and 0.8 find 99.1, 99.2 and 99.3 % at
K = 5 with 24, 25 and 27 % of its looks, and 98.5, 99.1 and 99.2 % at K = 8 with 16, 18 and 20 %."""
NEAR = 0.25
"""Two faces are near each other when boxes that are larger by this share of their sides on each side overlap.

Without it (0) 99.0 % of the boxes are found at K = 5 and 98.6 % at K = 8."""

Find = Callable[["GridFrame"], "tuple[Face, ...]"]
"""Detects the faces of one grid frame."""


@dataclass(frozen=True, slots=True)
class Looked:
    """A grid frame and its faces."""

    frame: GridFrame
    starts_shot: bool
    faces: tuple[Face, ...]


class Looks:
    """Gives each grid frame its faces, in order; up to K - 1 frames wait for the next look.

    The looks at the ends of stretches, and what follows from them in between, are jobs of ``crew``: then up to
    ``crew.threads`` + 2 frames more are under way, or two stretches of K.
    """

    def __init__(self, find: Find, *, every: int, crew: Crew, clock: StageClock) -> None:
        self._find, self._every, self._crew, self._clock = find, every, crew, clock
        self._most = 0 if crew.is_alone else max(crew.threads + 2, 2 * every)
        self._waiting: list[Looked] = []
        """What came behind the last look, all of its shot, without faces yet."""
        self._end: Future[Looked] | None = None
        """The last look."""
        self._under_way: deque[_Stretch] = deque()
        self._last: Looked | None = None
        """What came out last."""

    def push(self, frame: GridFrame, *, starts_shot: bool) -> Iterator[Looked]:
        """Take the next grid frame; what has its faces comes out."""
        if starts_shot and self._waiting:
            self._look_back()
        self._waiting.append(Looked(frame, starts_shot, ()))
        if starts_shot or self._end is None or len(self._waiting) == self._every:
            self._look_back()
        return self._done(self._most)

    def finish(self) -> Iterator[Looked]:
        """What still waits when the film has ended."""
        if self._waiting:
            self._look_back()
        return self._done(0)

    def _look_back(self) -> None:
        """Look at the last picture that waits, and fill in those before it; a repeated picture is no new one."""
        waiting, self._waiting = self._waiting, []
        fresh = [one for one in waiting if self._end is None or not one.frame.is_repeat]
        ended: Future[Looked] | None = None
        filled: Future[list[Looked]] | None = None
        if fresh:
            ended = self._crew.start(self._look, fresh[-1])
        if ended is not None and self._end is not None and len(fresh) > 1:
            filled = self._crew.start(self._fill, self._end, fresh[:-1], ended)
        self._end = ended or self._end
        self._under_way.append(_Stretch(waiting, filled, ended))

    def _done(self, most: int) -> Iterator[Looked]:
        """The frames of the oldest stretches, until at most so many frames are under way."""
        while self._under_way and sum(len(one.frames) for one in self._under_way) > most:
            stretch = self._under_way.popleft()
            fresh = stretch.fresh()
            for one in stretch.frames:
                if self._last is not None and one.frame.is_repeat:
                    faces = tuple(replace(face, frame=one.frame.index) for face in self._last.faces)
                    self._last = replace(one, faces=faces)
                else:
                    self._last = next(fresh)
                yield self._last

    def _fill(self, before: Future[Looked], between: Sequence[Looked], end: Future[Looked]) -> list[Looked]:
        first, last = before.result(), end.result()  # both were begun before this
        return list(self._between(first, between, last))

    def _between(self, before: Looked, between: Sequence[Looked], end: Looked) -> Iterator[Looked]:
        """Give faces to the frames between two that were looked at."""
        if not between:
            return
        with self._clock.of("faces"):
            pairs = pairs_of(before.faces, end.faces)
        if pairs is None:
            middle = len(between) // 2
            found = self._look(between[middle])
            yield from self._between(before, between[:middle], found)
            yield found
            yield from self._between(found, between[middle + 1 :], end)
            return
        length = end.frame.index - before.frame.index
        for one in between:
            share = (one.frame.index - before.frame.index) / length
            yield replace(one, faces=tuple(_on_the_way(pair, share, frame=one.frame.index) for pair in pairs))

    def _look(self, one: Looked) -> Looked:
        with self._clock.of("faces"):
            return replace(one, faces=self._find(one.frame))


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Consecutive frames up to a look, whose faces are being found."""

    frames: list[Looked]
    """All of them, without faces."""
    filled: Future[list[Looked]] | None
    """Those before the look that are no repeats; nothing where there are none."""
    ended: Future[Looked] | None
    """The look; nothing where all are repeats."""

    def fresh(self) -> Iterator[Looked]:
        """Those that are no repeats, with their faces."""
        if self.filled is not None:
            yield from self.filled.result()
        if self.ended is not None:
            yield self.ended.result()


def pairs_of(first: Sequence[Face], last: Sequence[Face]) -> list[tuple[Face, Face]] | None:
    """Which face of one frame is which of a later one; None where that is not plain."""
    if len(first) != len(last):
        return None
    if not first:
        return []
    boxes, later = (np.array([face.box for face in faces]) for faces in (first, last))
    overlaps = overlap(boxes, later)
    rows, columns = linear_sum_assignment(overlaps, maximize=True)
    if overlaps[rows, columns].min() < LEAST_SHARED or _any_near(boxes) or _any_near(later):
        return None
    return [(first[row], last[column]) for row, column in zip(rows, columns, strict=True)]


def _any_near(boxes: NDArray[np.float64]) -> bool:
    margins = (boxes[:, 2:] - boxes[:, :2]) * NEAR
    larger = np.concatenate([boxes[:, :2] - margins, boxes[:, 2:] + margins], axis=1)
    return bool(np.triu(overlap(larger, larger), k=1).any())


def _on_the_way(pair: tuple[Face, Face], share: float, *, frame: int) -> Face:
    """A face that is at ``share`` of the way from one place to another."""
    first, last = pair
    x1, y1, x2, y2 = (a + (b - a) * share for a, b in zip(first.box, last.box, strict=True))
    landmarks = None
    if first.landmarks is not None and last.landmarks is not None:
        landmarks = first.landmarks + (last.landmarks - first.landmarks) * np.float32(share)
    confidence = first.confidence + (last.confidence - first.confidence) * share
    return Face(frame, (x1, y1, x2, y2), confidence, landmarks, is_found=False)
