"""Where a run stands: told by its events, live or out of its ledger."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vidfleet.data import Lane, Outcome, State, Task
from vidfleet.runner.events import (
    AttemptEnded,
    AttemptProgress,
    AttemptStarted,
    HelpEnded,
    HelpStarted,
    LaneJoined,
    LaneLost,
    LaneOut,
    RunEnded,
    RunStarted,
    VideoEnded,
)
from vidfleet.runner.order.forecast import Forecast

if TYPE_CHECKING:
    from vidfleet.runner.events import Event

_STEADY_S, _STEADY_SHARE = 5.0, 0.03
"""An end that was said is corrected where it is off by so much, and by so much of the time that is left."""


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
    helping: dict[int, Running] = field(default_factory=dict)
    """Lanes that help a video of another's, by their indices; ``number`` is that of the attempt that is helped."""
    counts: Counter[State] = field(default_factory=Counter)
    failures: list[Outcome] = field(default_factory=list)
    """Failed and blocked videos, in the order in which they ended."""
    retries: int = 0
    videos: int = 0
    to_run: int = 0
    """Of ``videos``, those that were not settled at the start."""
    ran: int = 0
    """Of ``to_run``, those that have ended."""
    forecast: Forecast = field(default_factory=Forecast)
    """When it will be through."""
    _said_end: float = 0.0
    _cost: float = 0.0
    _cost_ended: float = 0.0

    def apply(self, event: Event, at: float) -> None:
        """Take in what happened at ``at``."""
        self.forecast.apply(event, at)
        match event:
            case RunStarted():
                self._start(event, at)
            case AttemptStarted(task, lane, number):
                self._use(lane)
                self.running[lane.index] = Running(task, lane, number, at)
            case AttemptProgress(task, lane, stage, share_done):
                self._progress(lane, task, stage, share_done)
            case AttemptEnded(_, attempt, will_retry):
                self.running.pop(attempt.lane.index, None)
                self.retries += will_retry
            case HelpStarted() | HelpEnded():
                self._help(event, at)
            case VideoEnded(task, outcome):
                self._end_video(task, outcome)
            case LaneLost(lane):
                self.running.pop(lane.index, None)
            case LaneJoined() | LaneOut():
                self._change_lanes(event)
            case RunEnded():
                self.ended = event
                self.running.clear()
                self.helping.clear()

    def _use(self, lane: Lane) -> None:
        """A spare lane is shown from its first use on."""
        if lane.spare and lane not in self.lanes:
            self.lanes = tuple(sorted((*self.lanes, lane), key=lambda known: known.index))

    def _help(self, event: HelpStarted | HelpEnded, at: float) -> None:
        if isinstance(event, HelpEnded):
            self.helping.pop(event.help.lane.index, None)
            return
        self._use(event.lane)
        name = event.task.video.relative
        number = next((item.number for item in self.running.values() if item.task.video.relative == name), 1)
        self.helping[event.lane.index] = Running(event.task, event.lane, number, at)

    def remaining_s(self, now: float) -> float | None:
        """How long until all lanes are through with what is left; None: nothing is known yet."""
        return self.forecast.remaining_s(now)

    def shown_s(self, now: float) -> float | None:
        """The same for somebody who watches: the end that was said stands until it is off by more than a little."""
        left_s = self.remaining_s(now)
        if left_s is None:
            return None
        if abs(now + left_s - self._said_end) > max(_STEADY_S, _STEADY_SHARE * left_s):
            self._said_end = now + left_s
        return max(self._said_end - now, 0.0)

    def share_done(self, now: float) -> float:
        """How much of the work is behind us, 0..1: by lanes' time, or by costs where nothing is known."""
        self.forecast.refresh(now)
        if self.forecast.is_known:
            spent_s, left_s = self.forecast.work_s(now)
            return spent_s / (spent_s + left_s) if left_s > 0 else 1.0
        return min(self._cost_ended / self._cost, 1.0) if self._cost else 1.0

    def share_of(self, item: Running, now: float) -> float:
        """How far one video is, 0..1: as told, else by time against what is expected; negative: not known."""
        if item.share_done >= 0:
            return min(item.share_done, 1.0)
        expected_s = self.expected_s(item)
        return min((now - item.started_at) / expected_s, 0.99) if expected_s else -1.0

    def expected_s(self, item: Running) -> float | None:
        """How long one video should take on its lane; None where nothing is known."""
        seconds = self.forecast.expected_s(item.task)
        return None if seconds is None else seconds * self.forecast.slowness(item.lane)

    def _start(self, event: RunStarted, at: float) -> None:
        self.root, self.workload, self.started_at = event.root, event.workload, at
        self.lanes = tuple(lane for lane in event.lanes if not lane.spare)
        self._cost = sum(task.cost for task in event.tasks)
        self.to_run = len(event.tasks)
        self.videos = self.to_run + len(event.settled)
        self.counts.update(outcome.state for outcome in event.settled)
        self.failures += [o for o in event.settled if o.state in ("failed", "blocked")]

    def _change_lanes(self, event: LaneJoined | LaneOut) -> None:
        """Of those that are no more, nothing is shown."""
        lane = event.lane
        if isinstance(event, LaneJoined):
            known = [known for known in self.lanes if known.index != lane.index]  # it may come again
            self.lanes = tuple(sorted((*known, lane), key=lambda known: known.index))
        elif event.reason:
            self.running.pop(lane.index, None)
            self.lanes = tuple(known for known in self.lanes if known.index != lane.index)

    def _progress(self, lane: Lane, task: Task, stage: str, share_done: float) -> None:
        item = self.running.get(lane.index)
        if item is not None and item.task.video.relative == task.video.relative:
            item.stage, item.share_done = stage, share_done

    def _end_video(self, task: Task, outcome: Outcome) -> None:
        self.counts[outcome.state] += 1
        self.ran += 1
        self._cost_ended += task.cost
        if outcome.state in ("failed", "blocked"):
            self.failures.append(outcome)
