"""Where the results of one segment end and those of the next begin: at a cut on which both agree.

Whoever works on a segment knows the shots of the film before it: it follows them with a filter of its own. At each
later segment's key frame it begins a fresh filter, fed with the same pictures: that is what somebody sees who starts
there. At the first cut that both tell, and after which both are in the same state, they will tell the same for ever:
the one ends before that cut, and the other's results count from it on. A segment that meets no cut before the next one
begins has nothing; that is known here, too, so nobody waits for it.
"""

from __future__ import annotations

import zlib
from array import array
from collections import deque
from typing import TYPE_CHECKING

from vidfleet.speakers.shots import Content, CutFilter, Settled

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vidfleet.speakers.data import GridFrame
    from vidfleet.speakers.tables import StageClock


class Watch:
    """Follows the shots from the start of one segment, through those behind it as far as need be.

    ``starts`` has the first grid frame of each segment. Frames come out once it is settled whether a shot starts with
    them, from the segment's first cut on (the first segment: from its first frame), up to the agreed cut.
    """

    def __init__(self, starts: Sequence[int], segment: int, *, minimum_s: float, clock: StageClock) -> None:
        self._starts, self._minimum_s, self._clock = starts, minimum_s, clock
        self.segment = segment
        self.agreed: tuple[int, int] | None = None
        """The cut at which the segment ends, and the segment that begins there."""
        self.sums = array("L")
        """A checksum of each picture since ``sums_from``, as it was compared."""
        self.sums_from = starts[segment]
        self._content = Content()
        self._sum = 0
        self._filter = CutFilter(minimum_s=minimum_s)
        self._has_cut = segment == 0
        self._begun = False
        self._cuts: set[int] = {0} if segment == 0 else set()
        self._others: dict[int, CutFilter] = {}
        """What those would see who start at later segments."""
        self._others_with_cut: set[int] = set()
        self._waiting: deque[GridFrame] = deque()

    @property
    def has_nothing(self) -> bool:
        """The next segment has begun, and this one has met no cut."""
        return not self._has_cut and self.segment + 1 < len(self._starts) and self._at >= self._starts[self.segment + 1]

    @property
    def has_begun(self) -> bool:
        """It has results."""
        return self._begun

    @property
    def _at(self) -> int:
        """The grid frame that comes next."""
        return self.sums_from + len(self.sums)

    def push(self, frame: GridFrame) -> Iterator[Settled]:
        """Take the next grid frame; what is settled now comes out."""
        if not frame.is_repeat:
            with self._clock.of("pixels"):
                _ = frame.bgr
        with self._clock.of("shots"):
            self._compare(frame)
        self._waiting.append(frame)
        yield from self._settled(self._filter.settled)

    def finish(self) -> Iterator[Settled]:
        """What still waits when the film has ended."""
        yield from self._settled(self._at)

    def go_on(self) -> None:
        """Go on with the segment that begins at the agreed cut, as its own worker."""
        assert self.agreed is not None
        cut, self.segment = self.agreed
        self.agreed = None
        self.sums = self.sums[cut - self.sums_from :]
        self.sums_from = cut

    def _settled(self, end: int) -> Iterator[Settled]:
        if self.agreed is not None:
            end = min(end, self.agreed[0])
        while self._waiting and self._waiting[0].index < end:
            frame = self._waiting.popleft()
            starts_shot = frame.index in self._cuts
            self._cuts.discard(frame.index)
            self._begun = self._begun or starts_shot
            if self._begun:
                yield Settled(frame, starts_shot)

    def _compare(self, frame: GridFrame) -> None:
        is_other = self._content.is_other(frame)
        if not frame.is_repeat or not self.sums:
            assert self._content.smaller is not None
            self._sum = zlib.crc32(self._content.smaller.data)
        self._begin_others(frame.index)
        self.sums.append(self._sum)
        cuts = self._filter.push(frame.index, is_other=is_other)
        self._cuts.update(cuts)
        self._has_cut = self._has_cut or bool(cuts)
        told = {
            segment: other.push(frame.index, is_other=is_other and frame.index > self._starts[segment])
            for segment, other in self._others.items()
        }
        self._others_with_cut |= {segment for segment, found in told.items() if found}
        if cuts:
            alike = [
                segment
                for segment, found in told.items()
                if found == cuts and self._others[segment].agrees(self._filter)
            ]
            if alike:
                self.agreed = (cuts[0], alike[-1])
        self._end_others(told)

    def _begin_others(self, index: int) -> None:
        """Begin where a later segment begins; who has met no cut by then has nothing."""
        for segment in range(self.segment + 1, len(self._starts)):
            if self._starts[segment] == index:
                if segment - 1 in self._others and segment - 1 not in self._others_with_cut:
                    del self._others[segment - 1]
                self._others[segment] = CutFilter(minimum_s=self._minimum_s)

    def _end_others(self, told: dict[int, tuple[int, ...]]) -> None:
        """Leave those that have themselves come to agree with a later one, and those that lie behind."""
        ended = {segment for segment in self._others if self.agreed is not None and segment <= self.agreed[1]}
        segments = sorted(self._others)
        for place, segment in enumerate(segments):
            found = told[segment]
            if found and any(
                told[later] == found and self._others[later].agrees(self._others[segment])
                for later in segments[place + 1 :]
            ):
                ended.add(segment)
        for segment in ended:
            del self._others[segment]
            self._others_with_cut.discard(segment)
