"""What waits for a lane, in order: who takes what, and how much room it wants."""

from __future__ import annotations

import bisect
import itertools
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from vidfleet.data import Attempt, Evidence, Lane, Task
from vidfleet.runner.order.forecast import Forecast
from vidfleet.runner.order.lineup import Lineup
from vidfleet.workloads.base import Description

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_SCOUTS = 10
_VIDEOS_A_SCOUT = 8
_SCOUTS_COST = (0.25, 1.0, 1.0, 2.0)
"""Of the mean: a quick one for a first answer, then what stands for all, whatever a start-up takes."""
_STEPS_BESIDE_LANES = 8


@dataclass
class Case:
    """One task on its way: how often it was tried, and where not to try it next."""

    task: Task
    attempts: list[Attempt] = field(default_factory=list)
    avoid: Lane | None = None
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
    helps: str = ""
    """It is no attempt, but help for that of another lane: its own name. See ``runner/helping.py``."""

    @property
    def name(self) -> str:
        """What it is called between the runner and its lane's worker."""
        return self.helps or self.case.name


@dataclass(frozen=True, slots=True)
class Over:
    """A case whose process has ended; what its attempt comes to is not known yet."""

    running: Running
    evidence: Evidence
    ended_at: float


class Queue:
    """First come, first served; in round-robin, video i waits for lane i mod N.

    Longest first, a lane that is slower than others takes the longest video that none of them would end sooner, and
    nothing where they would end all of them sooner: a slow lane must not hold up the end. Where nothing is known of how
    long videos take, every other lane begins with a few of middling cost, so that something is known soon.

    A retry goes before all others, to another lane where there is one, and where it wants room for itself,
    others wait until it has had it.
    """

    def __init__(
        self, cases: Sequence[Case], lanes: Sequence[Lane], schedule: str, *,
        forecast: Forecast | None = None, now: Callable[[], float] = time.time,
        more: Callable[[bool], Sequence[Task]] | None = None,
    ) -> None:  # fmt: skip
        """``cases`` stand in the order of ``schedule``; ``forecast`` is that of the run, and goes by ``now``.

        ``more`` is asked for further tasks when none waits any more, with whether nothing runs either.
        """
        self._more = more
        self._lanes = lanes
        self._forecast = forecast or Forecast()
        self._now = now
        self._retries: deque[Case] = deque()
        self._by_finish = schedule == "longest"
        self._declined: set[int] = set()
        by_position = schedule == "round-robin"
        self._waiting: list[deque[Case]] = [deque() for _ in range(len(lanes) if by_position else 1)]
        self._scouts = deque(_scouts(cases, len(lanes)) if self._by_finish and not self._forecast.is_known else ())
        scouts = set(map(id, self._scouts))
        for case in cases:
            if id(case) not in scouts:
                self._waiting[case.task.video.position % len(self._waiting)].append(case)

    def take(self, lane: Lane, running: Sequence[Running], usable: Sequence[Lane]) -> Case | None:
        """The next for ``lane``, or nothing; ``usable`` are the lanes that get videos at all."""
        self._refill(is_pressing=not running)
        if not self._leaves_room(lane, running):
            return None
        for case in self._retries:
            if case.avoid and _is_better_elsewhere(case.avoid, lane, usable):
                continue
            if case.room and not self._has_room(case.room, lane, lane, running):
                return None  # what is freed now is for this case
            self._retries.remove(case)
            return case
        waiting = self._waiting[lane.index % len(self._waiting)]
        if self._scouts and (lane.index % 2 or len(self._lanes) == 1 or not waiting):
            return self._scouts.popleft()
        if not waiting or not self._by_finish:
            return waiting.popleft() if waiting else None
        place = self._first_to_end_here(lane, usable)
        if place is None:
            if running or lane.index not in self._declined:
                self._declined = set() if running else {*self._declined, lane.index}
                return None
            place = 0  # asked again while nothing runs, all have declined: better a slow lane than none
        self._declined.clear()
        case = waiting[place]
        del waiting[place]
        return case

    def _leaves_room(self, lane: Lane, running: Sequence[Running]) -> bool:
        """Whether nothing that runs was to have the room that ``lane`` would take; what helps has no such claim."""
        return all(
            self._has_room(item.case.room, item.lane, lane, running)
            for item in running if item.case.room and not item.helps
        )  # fmt: skip

    @property
    def wants_room(self) -> bool:
        """Whether something waits that wants room for itself."""
        return any(case.room for case in self._retries)

    def lets_help(self, lane: Lane, running: Sequence[Running]) -> bool:
        """Whether ``lane``, for which there is nothing to take, may help: not where somebody wants that room."""
        return not self.wants_room and not any(
            item.case.room == "host" or (item.case.room == "gpu" and item.lane.device.label == lane.device.label)
            for item in running if not item.helps
        )  # fmt: skip

    def has_for(self, lane: Lane, running: Sequence[Running], usable: Sequence[Lane]) -> bool:
        """Whether ``lane`` would take something, if it had nothing to do; everything stays where it is."""
        if not self._leaves_room(lane, running):
            return False
        if any(not (case.avoid and _is_better_elsewhere(case.avoid, lane, usable)) for case in self._retries):
            return True
        if not self._waiting[lane.index % len(self._waiting)]:
            return bool(self._scouts)
        return not self._by_finish or self._first_to_end_here(lane, usable) is not None

    def _refill(self, *, is_pressing: bool) -> None:
        if self._more and not self.waiting:
            for task in self._more(is_pressing):
                self._waiting[task.video.position % len(self._waiting)].append(Case(task))

    def _first_to_end_here(self, lane: Lane, usable: Sequence[Lane]) -> int | None:
        """The place in the line of the first video that no other lane would end sooner; None: there is none."""
        now, forecast, line = self._now(), self._forecast, self._waiting[0]
        forecast.heed_ended(now)
        mine = forecast.slowness(lane)
        if mine <= forecast.least_slowness or all(forecast.slowness(other) >= mine for other in usable):
            return 0
        lineup = Lineup(
            (other.index, forecast.slowness(other), forecast.left_s(other, now))
            for other in usable if other.index != lane.index
        )  # fmt: skip
        steps = min(len(line), 2 * len(usable) + _STEPS_BESIDE_LANES)
        for place, case in enumerate(itertools.islice(line, steps)):
            seconds = forecast.weight(case.task)
            if seconds * mine <= lineup.best_s(seconds):
                return place
            lineup.give(seconds)
        longest_s = lineup.longest_s(mine)
        place = bisect.bisect_left(line, -longest_s, lo=steps, key=lambda case: -forecast.weight(case.task))
        return place if place < len(line) else None

    def peek(self, count: int) -> list[Case]:
        """Up to ``count`` cases that will probably be taken next, nearest first; they stay where they are."""
        heads = itertools.zip_longest(self._scouts, *self._waiting)
        coming = itertools.chain(self._retries, (case for turn in heads for case in turn if case is not None))
        return list(itertools.islice(coming, count))

    def _has_room(self, room: str, owner: Lane, lane: Lane, running: Sequence[Running]) -> bool:
        """Whether ``lane`` may start something beside what runs, if ``room`` is kept for ``owner``'s attempt."""
        if room == "gpu" and lane.device.label == owner.device.label:
            return not any(item.lane.device.label == lane.device.label for item in running)
        host = owner.device.host
        if room == "host" and lane.device.host == host:
            there = sum(other.device.host == host for other in self._lanes)
            return sum(item.lane.device.host == host for item in running) < max(1, there // 2)
        return True

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._retries) + len(self._scouts) + sum(map(len, self._waiting))

    def put_back(self, case: Case, failed_on: Lane) -> None:
        """Have a case tried again, somewhere else."""
        case.avoid = failed_on
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
        for waiting in (self._retries, self._scouts, *self._waiting):
            while waiting:
                yield waiting.popleft()


def _is_better_elsewhere(failed_on: Lane, lane: Lane, usable: Sequence[Lane]) -> bool:
    """Whether what failed on one lane waits for another than ``lane``: one of another GPU where there is one."""
    if failed_on.device.label != "cpu" and any(other.device.label != failed_on.device.label for other in usable):
        return lane.device.label == failed_on.device.label
    return lane.index == failed_on.index and len(usable) > 1


def _scouts(cases: Sequence[Case], lanes: int) -> list[Case]:
    """A few of middling cost, to be done first where nothing is known; none of few, whose end soon tells itself.

    The longest are left alone, one for each lane: they must begin as soon as they can.
    """
    count = min(_SCOUTS, len(cases) // _VIDEOS_A_SCOUT)
    if count < 2:
        return []
    mean = sum(case.task.cost for case in cases) / len(cases)
    left = sorted(cases[min(lanes, len(cases) - count) :], key=lambda case: case.task.cost)
    found = []
    for _, share in zip(range(count), itertools.cycle(_SCOUTS_COST), strict=False):
        place = bisect.bisect_left(left, share * mean, key=lambda case: case.task.cost)
        found.append(left.pop(min(place, len(left) - 1)))
    return found
