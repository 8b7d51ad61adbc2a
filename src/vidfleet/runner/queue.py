"""What waits for a lane, in order."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vidfleet.data import Attempt, Task

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vidfleet.data import Lane


@dataclass
class Case:
    """One task on its way: how often it was tried, and where not to try it next."""

    task: Task
    attempts: list[Attempt] = field(default_factory=list)
    retries_used: dict[str, int] = field(default_factory=dict)
    """Kind of failure → how often it was tried again for it."""
    avoid: int | None = None
    """The lane that failed last."""

    @property
    def name(self) -> str:
        """The name of its next attempt."""
        return f"{self.task.video.position}.{len(self.attempts) + 1}"


class Queue:
    """First come, first served; in round-robin, video i waits for lane i mod N.

    A retry goes before all others, to another lane where there is one.
    """

    def __init__(self, cases: Sequence[Case], lanes: int, schedule: str) -> None:
        self._lanes = lanes
        self._retries: deque[Case] = deque()
        self._by_position = schedule == "round-robin"
        self._waiting: list[deque[Case]] = [deque() for _ in range(lanes if self._by_position else 1)]
        for case in cases:
            self._waiting[case.task.video.position % len(self._waiting)].append(case)

    def take(self, lane: Lane) -> Case | None:
        """The next for ``lane``, or nothing."""
        for case in self._retries:
            if case.avoid != lane.index or self._lanes == 1:
                self._retries.remove(case)
                return case
        waiting = self._waiting[lane.index % len(self._waiting)]
        return waiting.popleft() if waiting else None

    def put_back(self, case: Case, failed_on: Lane) -> None:
        """Have a case tried again, somewhere else."""
        case.avoid = failed_on.index
        self._retries.append(case)

    def rest(self) -> Iterator[Case]:
        """Take out all that is left."""
        for waiting in (self._retries, *self._waiting):
            while waiting:
                yield waiting.popleft()
