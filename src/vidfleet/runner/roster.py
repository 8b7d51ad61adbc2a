"""The lanes of a run: which there are, which get videos, and which are idle. On a cluster they come and go."""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vidfleet.data import Lane


class Roster:
    """Four lists of lanes, in the order of their indices."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self.lanes = list(lanes)
        """All that are there."""
        self.ever = list(lanes)
        """Also those that are no more."""
        self.usable = list(lanes)
        """Without those whose device is out."""
        self.idle = list(lanes)

    def admit(self, lane: Lane) -> None:
        """A lane has joined."""
        for lanes in (self.lanes, self.ever, self.usable, self.idle):
            _put(lane, lanes)

    def dismiss(self, lane: Lane) -> bool:
        """A lane is no more; False where it was not there."""
        is_news = lane in self.lanes
        for lanes in (self.lanes, self.usable, self.idle):
            if lane in lanes:
                lanes.remove(lane)
        return is_news

    def free(self, lane: Lane) -> None:
        """Nothing runs on a lane any more; one that has gone meanwhile is not idle for that."""
        if lane in self.lanes:
            _put(lane, self.idle)

    def put_out(self, is_out: Callable[[Lane], bool]) -> None:
        """Leave only those usable whose device is not out."""
        self.usable = [lane for lane in self.lanes if not is_out(lane)]


def _put(lane: Lane, lanes: list[Lane]) -> None:
    bisect.insort(lanes, lane, key=lambda lane: lane.index)
