"""Lanes as a plan sees them: when each will be free, and which of them ends a video first."""

from __future__ import annotations

import heapq
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Lineup:
    """Gives videos, one after the other, to whichever lane ends them first.

    Lanes of one speed stand in one heap, so that a step costs as many looks as there are speeds.
    """

    def __init__(self, lanes: Iterable[tuple[int, float, float]]) -> None:
        """Of each lane: its index, its slowness (2 takes twice as long), and in how many seconds it is free."""
        self._by_slowness: dict[float, list[tuple[float, int]]] = defaultdict(list)
        for index, slowness, free_s in lanes:
            self._by_slowness[slowness].append((free_s, index))
        for heap in self._by_slowness.values():
            heapq.heapify(heap)

    def best_s(self, seconds: float) -> float:
        """When a video would end at the earliest that takes ``seconds`` on a lane of slowness 1."""
        return min((heap[0][0] + seconds * slowness for slowness, heap in self._by_slowness.items()), default=0.0)

    def give(self, seconds: float) -> None:
        """Give such a video to the lane that ends it first."""
        end_s, slowness = min((heap[0][0] + seconds * slow, slow) for slow, heap in self._by_slowness.items())
        heap = self._by_slowness[slowness]
        heapq.heapreplace(heap, (end_s, heap[0][1]))

    def longest_s(self, slowness: float) -> float:
        """The longest video that a further lane, free now, ends before any of these could."""
        return min(
            (heap[0][0] / (slowness - other) for other, heap in self._by_slowness.items() if other < slowness),
            default=float("inf"),
        )

    def ends(self) -> dict[int, float]:
        """When each lane has nothing more to do, by its index."""
        return {index: free_s for heap in self._by_slowness.values() for free_s, index in heap}
