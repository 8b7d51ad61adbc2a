"""Faces joined into tracks by boxes where these are sure, and by the pixels of masks where they are not.

::

    a second of a shot ──▶ do boxes leave a doubt? ── no ──▶ by boxes                       (tracks.py)
                             (doubts.py)           └─ yes ─▶ by masks, also the next second   (followed.py)
                                                             while there is a doubt

Masks take many times what all else does, so they are for the seconds in which two faces meet, one breaks off, or
one jumps. Who is who before such a second is known by boxes; the second before it is gone through by masks once more,
from where each face is clear of the others. Memory is bounded: one second waits for its doubts, the half before it is
kept, and the segmenter forgets what is older than its window, and all of it when the doubt or the shot is over.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Literal

from vidfleet.speakers.masks.doubts import Doubt, doubts_of
from vidfleet.speakers.masks.followed import FollowedFaces
from vidfleet.speakers.masks.use import MaskUse
from vidfleet.speakers.tracks import Followed, Tracker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vidfleet.speakers.looked import Looked
    from vidfleet.speakers.masks.segmenter import Segmenter
    from vidfleet.speakers.tables import StageClock
    from vidfleet.speakers.tracks import TrackRules

WINDOW = 25
"""So many frames are asked for their doubts at once."""
LEAD = 13
"""So many frames before are kept: a track may be unseen for ten of them."""

When = Literal["hard", "always"]


class MaskTracker:
    """See :class:`~vidfleet.speakers.tracks.FaceTracker`."""

    def __init__(self, rules: TrackRules, segmenter: Segmenter, *, when: When, clock: StageClock) -> None:
        self._tracker, self._segmenter, self._clock, self._always = Tracker(rules), segmenter, clock, when == "always"
        self._window: list[Looked] = []
        self._before: deque[Looked] = deque(maxlen=LEAD)
        """The frames of the shot that came out last."""
        self._faces: FollowedFaces | None = None
        """Those of the stretch that masks are at."""
        self._shots, self._by_masks, self._frames_by_masks = 0, 0, 0
        self._doubts: Counter[str] = Counter()
        self._of_shot: frozenset[Doubt] | None = None
        """The doubts of the shot so far; None: masks were not asked."""

    def push(self, looked: Looked) -> Iterator[Followed]:
        """See :class:`~vidfleet.speakers.tracks.FaceTracker`."""
        if looked.starts_shot:
            yield from self._through()
            self._count()
            self._shots += 1
            self._before.clear()
            self._faces = None
        self._window.append(looked)
        if len(self._window) == WINDOW:
            yield from self._through()

    def finish(self) -> Iterator[Followed]:
        """See :class:`~vidfleet.speakers.tracks.FaceTracker`."""
        yield from self._through()
        self._count()
        self._tracker.close()

    @property
    def mask_use(self) -> MaskUse:
        """See :class:`~vidfleet.speakers.tracks.FaceTracker`."""
        return MaskUse(self._shots, self._by_masks, self._frames_by_masks, dict(sorted(self._doubts.items())))

    def _through(self) -> Iterator[Followed]:
        """Go through the frames that wait, all of one shot."""
        window, self._window = self._window, []
        if not window:
            return
        with self._clock.of("tracks"):
            open_ = [] if window[0].starts_shot else self._tracker.open
            doubts = doubts_of(window, open_, self._tracker.rules)
        if doubts or self._always or (self._faces is not None and self._faces.waits):
            self._of_shot = (self._of_shot or frozenset()) | doubts
            yield from self._follow_by_masks(window)
        else:
            self._faces = None
            for looked in window:
                with self._clock.of("tracks"):
                    begun = self._tracker.push(looked.frame.index, looked.faces, starts_shot=looked.starts_shot)
                yield Followed(looked, tuple(begun))
        self._before.extend(window)

    def _follow_by_masks(self, window: list[Looked]) -> Iterator[Followed]:
        faces = self._faces
        if faces is None:
            faces = self._faces = FollowedFaces(self._tracker, self._segmenter.begin(), clock=self._clock)
            self._frames_by_masks += faces.lead_in(self._before)
        for looked in window:
            begun = faces.push(looked)
            yield Followed(looked, tuple(begun), faces.masks)
        self._frames_by_masks += len(window)

    def _count(self) -> None:
        """A shot is over."""
        if self._of_shot is not None:
            self._by_masks += 1
            self._doubts.update(self._of_shot)
        self._of_shot = None
