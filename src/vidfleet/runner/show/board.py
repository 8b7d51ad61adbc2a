"""Where a run stands: told by its events, live or out of its ledger."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vidfleet.data import Lane, Outcome, State, Task
from vidfleet.runner.events import (
    AttemptEnded,
    AttemptProgress,
    AttemptStarted,
    LaneLost,
    RunEnded,
    RunStarted,
    VideoEnded,
)

if TYPE_CHECKING:
    from vidfleet.data import Attempt
    from vidfleet.runner.events import Event

_TELLING_SHARE = 0.05
"""Below this share, what a workload says of its progress is no basis for a guess."""
_OVERDUE_SHARE = 0.1
"""What has taken longer than expected takes at least this share of its time more."""
_MANY = 1000
"""With more videos than this waiting, how they are dealt out makes no difference to the end."""


@dataclass(slots=True)
class Running:
    """What a lane does just now."""

    task: Task
    lane: Lane
    number: int
    started_at: float
    stage: str = ""
    share_done: float = -1.0
    """0..1; negative where the workload does not say."""


@dataclass(slots=True)
class Board:
    """The state of a run; ``now`` and ``at`` are seconds of one clock, whichever."""

    root: str = ""
    workload: str = ""
    started_at: float = 0.0
    ended: RunEnded | None = None
    lanes: tuple[Lane, ...] = ()
    """Spare ones only once they are used."""
    running: dict[int, Running] = field(default_factory=dict)
    """By the index of the lane."""
    counts: Counter[State] = field(default_factory=Counter)
    failures: list[Outcome] = field(default_factory=list)
    """Failed and blocked videos, in the order in which they ended."""
    retries: int = 0
    videos: int = 0
    to_run: int = 0
    """Of ``videos``, those that were not settled at the start."""
    ran: int = 0
    """Of ``to_run``, those that have ended."""
    _waiting: dict[str, float] = field(default_factory=dict)
    _cost: float = 0.0
    _cost_ended: float = 0.0
    _learnt_cost: float = 0.0
    _learnt_s: float = 0.0
    _expected_rate: float = 0.0

    def apply(self, event: Event, at: float) -> None:
        """Take in what happened at ``at``."""
        match event:
            case RunStarted():
                self._start(event, at)
            case AttemptStarted(task, lane, number):
                self._waiting.pop(task.video.relative, None)
                if lane.spare and lane not in self.lanes:
                    self.lanes = tuple(sorted((*self.lanes, lane), key=lambda known: known.index))
                self.running[lane.index] = Running(task, lane, number, at)
            case AttemptProgress(task, lane, stage, share_done):
                self._progress(lane, task, stage, share_done)
            case AttemptEnded(task, attempt, will_retry):
                self._end_attempt(task, attempt, will_retry=will_retry)
            case VideoEnded(task, outcome):
                self._end_video(task, outcome)
            case LaneLost(lane):
                self.running.pop(lane.index, None)
            case RunEnded():
                self.ended = event
                self.running.clear()

    def learnt_rate(self, now: float) -> float | None:
        """Cost per second of one lane, from what is done and what says how far it is, else from earlier runs.

        None: not known.
        """
        cost, seconds = self._learnt_cost, self._learnt_s
        for item in self.running.values():
            if item.share_done >= _TELLING_SHARE:
                cost += item.task.cost * item.share_done
                seconds += now - item.started_at
        return cost / seconds if cost > 0 and seconds > 0 else self._expected_rate or None

    def remaining_s(self, now: float) -> float | None:
        """How long until all lanes are through with what is left, by costs; None: nothing is known yet."""
        rate = self.learnt_rate(now)
        if rate is None:
            return None
        busy = [self._left_s(item, rate, now) for item in self.running.values()]
        free_in = busy + [0.0] * (max(len(self.lanes), 1) - len(busy))
        return _makespan(free_in, [cost / rate for cost in self._waiting.values()])

    def share_done(self, now: float) -> float:
        """How much of the work is behind us, 0..1, by costs."""
        rate = self.learnt_rate(now)
        under_way = sum(item.task.cost * max(self.share_of(item, rate, now), 0.0) for item in self.running.values())
        return min((self._cost_ended + under_way) / self._cost, 1.0) if self._cost else 1.0

    def share_of(self, item: Running, rate: float | None, now: float) -> float:
        """How far one video is, 0..1: as told, else by time against what is expected; negative: not known."""
        if item.share_done >= 0:
            return min(item.share_done, 1.0)
        expected = self.expected_s(item, rate)
        return min((now - item.started_at) / expected, 0.99) if expected else -1.0

    def expected_s(self, item: Running, rate: float | None) -> float | None:
        """How long one video should take on its lane; None where nothing is known."""
        return item.task.cost / rate if rate and item.task.cost > 0 else None

    def _left_s(self, item: Running, rate: float, now: float) -> float:
        elapsed = now - item.started_at
        if item.share_done >= _TELLING_SHARE:
            return elapsed * (1 - min(item.share_done, 1.0)) / item.share_done
        return max(item.task.cost / rate - elapsed, elapsed * _OVERDUE_SHARE)

    def _start(self, event: RunStarted, at: float) -> None:
        self.root, self.workload, self.started_at = event.root, event.workload, at
        self.lanes = tuple(lane for lane in event.lanes if not lane.spare)
        self._waiting = {task.video.relative: task.cost for task in event.tasks}
        self._cost = sum(self._waiting.values())
        self._expected_rate = event.expected_rate
        self.to_run = len(event.tasks)
        self.videos = self.to_run + len(event.settled)
        self.counts.update(outcome.state for outcome in event.settled)
        self.failures += [o for o in event.settled if o.state in ("failed", "blocked")]

    def _progress(self, lane: Lane, task: Task, stage: str, share_done: float) -> None:
        item = self.running.get(lane.index)
        if item is not None and item.task.video.relative == task.video.relative:
            item.stage, item.share_done = stage, share_done

    def _end_attempt(self, task: Task, attempt: Attempt, *, will_retry: bool) -> None:
        self.running.pop(attempt.lane.index, None)
        if attempt.kind == "done":
            self._learnt_cost += task.cost
            self._learnt_s += attempt.seconds
        if will_retry:
            self.retries += 1
            self._waiting[task.video.relative] = task.cost

    def _end_video(self, task: Task, outcome: Outcome) -> None:
        self._waiting.pop(task.video.relative, None)
        self.counts[outcome.state] += 1
        self.ran += 1
        self._cost_ended += task.cost
        if outcome.state in ("failed", "blocked"):
            self.failures.append(outcome)


def _makespan(free_in: list[float], waiting: list[float]) -> float:
    """Seconds until all is done: longest first onto the lane that is free first."""
    if len(waiting) > _MANY:
        evenly = (sum(free_in) + sum(waiting)) / len(free_in)
        return max(evenly, max(free_in), min(free_in) + max(waiting))
    heapq.heapify(free_in)
    for seconds in sorted(waiting, reverse=True):
        heapq.heapreplace(free_in, free_in[0] + seconds)
    return max(free_in)
