"""What waits for a lane, in order, and how much room it wants."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from vidfleet.data import Attempt, Lane, Task
from vidfleet.workloads.base import Description

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass
class Case:
    """One task on its way: how often it was tried, and where not to try it next."""

    task: Task
    attempts: list[Attempt] = field(default_factory=list)
    avoid: int | None = None
    """The lane that failed last."""
    excused: int = 0
    """Attempts that failed for the company that they had: they have used up no retry."""
    room: Literal["", "gpu", "host"] = ""
    """What its next attempt wants for itself: see ``failures.Kind.room``."""

    @property
    def name(self) -> str:
        """The name of its next attempt."""
        return f"{self.task.video.position}.{len(self.attempts) + 1}"


@dataclass
class Running:
    """A case on its lane."""

    case: Case
    lane: Lane
    started_at: float
    described: Description
    """What the workload was when the attempt began."""
    gives_way: bool = False
    """It was told to end, because memory is short."""
    ended: Attempt | None = None
    """Its attempt, which is over, while ``--on-stop`` runs."""


class Queue:
    """First come, first served; in round-robin, video i waits for lane i mod N.

    A retry goes before all others, to another lane where there is one, and where it wants room for itself,
    others wait until it has had it.
    """

    def __init__(self, cases: Sequence[Case], lanes: Sequence[Lane], schedule: str) -> None:
        self._lanes = lanes
        self._retries: deque[Case] = deque()
        by_position = schedule == "round-robin"
        self._waiting: list[deque[Case]] = [deque() for _ in range(len(lanes) if by_position else 1)]
        for case in cases:
            self._waiting[case.task.video.position % len(self._waiting)].append(case)

    def take(self, lane: Lane, running: Sequence[Running], usable: Sequence[Lane]) -> Case | None:
        """The next for ``lane``, or nothing; ``usable`` are the lanes that get videos at all."""
        if any(not self._has_room(item.case.room, item.lane, lane, running) for item in running):
            return None
        for case in self._retries:
            if case.avoid == lane.index and len(usable) > 1:
                continue
            if case.room and not self._has_room(case.room, lane, lane, running):
                return None  # what is freed now is for this case
            self._retries.remove(case)
            return case
        waiting = self._waiting[lane.index % len(self._waiting)]
        return waiting.popleft() if waiting else None

    def _has_room(self, room: str, owner: Lane, lane: Lane, running: Sequence[Running]) -> bool:
        """Whether ``lane`` may start something beside what runs, if ``room`` is kept for ``owner``'s attempt."""
        if room == "gpu" and lane.device.label == owner.device.label:
            return not any(item.lane.device.label == lane.device.label for item in running)
        if room == "host":
            return len(running) < max(1, len(self._lanes) // 2)
        return True

    def put_back(self, case: Case, failed_on: Lane) -> None:
        """Have a case tried again, somewhere else."""
        case.avoid = failed_on.index
        self._retries.append(case)

    def put_first(self, case: Case) -> None:
        """Have a case tried again, anywhere: its lane was not at fault."""
        case.avoid = None
        self._retries.append(case)

    def give_away(self, lane: Lane) -> None:
        """Let other lanes have what waits for a lane that gets no more videos."""
        if len(self._waiting) > 1:
            mine = self._waiting[lane.index % len(self._waiting)]
            others = [waiting for waiting in self._waiting if waiting is not mine]
            while mine:
                min(others, key=len).append(mine.popleft())

    def rest(self) -> Iterator[Case]:
        """Take out all that is left."""
        for waiting in (self._retries, *self._waiting):
            while waiting:
                yield waiting.popleft()
