"""When a run will be through: told by its events, from what earlier runs took and what this one has taken so far.

A video's time is its cost in the line that ``timing`` fits, or, where the same video was done before, what it took
then; times the slowness of its lane. The end is that of dealing out what waits, in order, to the lane that ends it
first, which is what ``queue`` does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vidfleet.data import Lane, Task
from vidfleet.runner.events import (
    AttemptEnded,
    AttemptProgress,
    AttemptStarted,
    HelpEnded,
    HelpStarted,
    LaneJoined,
    LaneLost,
    LaneOut,
    RunStarted,
    VideoEnded,
)
from vidfleet.runner.failures import DONE
from vidfleet.runner.order.lineup import Lineup
from vidfleet.runner.order.timing import Model, Sample, Tally, drawn, fit

if TYPE_CHECKING:
    from vidfleet.data import Attempt
    from vidfleet.runner.events import Event

_MOST_EARLIER = 16.0
"""Earlier runs count as so many videos at most: after as many more, this run has its say."""
_TELLING_SHARE = 0.05
"""Below this share, what a workload says of its progress is no basis for a guess."""
_OVERDUE_SHARE = 0.1
"""What has taken longer than expected takes at least this share of its time more."""
_FAR_OUT = 5.0
"""So many standard deviations over what was expected, that was no expectation."""
_MANY = 1000
"""With more videos than this waiting, how they are dealt out makes no difference to the end."""
_VARIANCE, _VARIANCE_VIDEOS = 0.05, 4.0
"""Of the logarithm of actual over expected time, before anything is known: videos differ by a quarter; as of four."""
_AGAIN_VARIANCE = 0.25
"""Of how a workload that has changed differs from what it was."""
_LANE_VARIANCE, _LANE_STEP = 0.01, 0.1
"""Lanes of one device differ by a tenth; less than half of that is none, so that equal lanes stay equal."""
_BY_COST = Model(0.0, 1.0, {})
_LONGEST_S = 1e9
_BETWEEN_FITS_S = 1.0
_NEWS_SHARE = 0.05
"""A fit is made again when so much more is done: 160 times in 20,000 videos, not 20,000 times."""


@dataclass(slots=True)
class Busy:
    """What a lane does just now."""

    task: Task
    lane: Lane
    started_at: float
    share_done: float = -1.0
    """0..1; negative where the workload does not say."""
    helpers: dict[int, float] = field(default_factory=dict)
    """Since when other lanes help, by their indices."""
    helped_s: float = 0.0
    """How long others have helped that do so no longer."""

    def spent_s(self, now: float) -> float:
        """Seconds of lanes that it has had so far: what it would have taken alone."""
        return now - self.started_at + self.helped_s + sum(now - since for since in self.helpers.values())

    @property
    def tells(self) -> bool:
        """Whether it has said enough of its progress to go by."""
        return self.share_done >= _TELLING_SHARE


@dataclass(frozen=True, slots=True)
class Outlasting:
    """A video that alone takes longer than all others on the other lanes."""

    task: Task
    seconds: float
    """On the fastest lane; costs where nothing is known."""
    others_s: float
    """When the others are done."""


class _Line:
    """Sums of what waits in one line, so that thousands need not be gone through each second."""

    def __init__(self) -> None:
        self._count = 0
        self._cost = 0.0
        """Of those that were never done."""
        self._took_s: dict[str, float] = {}
        """What the others took, by what they ran on."""

    def add(self, task: Task, sign: int = 1) -> None:
        """Take a task in, or out again."""
        if task.took:
            self._took_s[task.took.device] = self._took_s.get(task.took.device, 0.0) + sign * task.took.seconds
        else:
            self._count, self._cost = self._count + sign, self._cost + sign * task.cost

    def seconds(self, model: Model, again: float) -> float:
        """What all of it takes on a lane of slowness 1; ``again`` is what those with a past take over that."""
        took_s = sum(took_s / model.slowness.get(device, 1.0) for device, took_s in self._took_s.items())
        return max(self._count * model.start_s + model.per_cost * self._cost + again * took_s, 0.0)


class Forecast:
    """Takes in a run's events; ``at`` and ``now`` are seconds of one clock, whichever."""

    def __init__(self) -> None:
        self._lanes: tuple[Lane, ...] = ()
        self._out: set[int] = set()
        self._by_position = False
        self._by_device: dict[str, Tally] = {}
        """Of earlier runs and of this one."""
        self._by_lane: dict[int, Tally] = {}
        """Of this run."""
        self._done_count = 0
        self._busy: dict[int, Busy] = {}
        self._waiting: dict[str, Task] = {}
        self._lines: list[_Line] = [_Line()]
        self._model: Model | None = None
        self._slowness: dict[int, float] = {}
        self._least_slowness = 1.0
        self._fitted_at, self._fitted_count = -math.inf, -1
        self._again_count = self._again_sum = 0.0
        self._square_sum, self._square_count = _VARIANCE * _VARIANCE_VIDEOS, _VARIANCE_VIDEOS
        self._spent_s = 0.0

    # ---- taking in

    def apply(self, event: Event, at: float) -> None:
        """Take in what happened at ``at``."""
        match event:
            case RunStarted():
                self._start(event)
                self.refresh(at)
            case AttemptStarted(task, lane):
                self._take_out(task)
                self._busy[lane.index] = Busy(task, lane, at)
            case AttemptProgress():
                self._progress(event)
            case AttemptEnded(task, attempt, will_retry):
                self._end(task, attempt)
                if will_retry:
                    self._put_in(task)
            case HelpStarted() | HelpEnded():
                self._help(event, at)
            case VideoEnded(task):
                self._take_out(task)
            case LaneLost() | LaneOut() | LaneJoined():
                self._change_lanes(event)

    def _change_lanes(self, event: LaneLost | LaneOut | LaneJoined) -> None:
        if isinstance(event, LaneJoined):
            index = event.lane.index  # it may have been there before, and come again
            self._lanes = (*(lane for lane in self._lanes if lane.index != index), event.lane)
            self._out.discard(index)
            return
        if isinstance(event, LaneOut):
            self._out.add(event.lane.index)
        if event.reason and (busy := self._busy.pop(event.lane.index, None)) and isinstance(event, LaneOut):
            self._put_in(busy.task)  # whoever ran it there may not be able to tell that it has ended

    def _start(self, event: RunStarted) -> None:
        self._lanes, self._by_position = event.lanes, event.schedule == "round-robin"
        self._lines = [_Line() for _ in range(max(len(event.lanes), 1) if self._by_position else 1)]
        for task in event.tasks:
            self._put_in(task)
        earlier = {known.device: Tally(known.samples) for known in event.known}
        if not earlier:  # what was learnt is lost, but the outputs tell
            for task in event.tasks:
                if task.took:
                    earlier.setdefault(task.took.device, Tally()).add(Sample(1, task.cost, task.took.seconds))
        for device, tally in earlier.items():
            if (count := tally.count) > 0:
                self._by_device[device] = Tally(tally.samples(min(1.0, _MOST_EARLIER / count)))

    def _progress(self, event: AttemptProgress) -> None:
        item = self._busy.get(event.lane.index)
        if item is not None and item.task.video.relative == event.task.video.relative:
            item.share_done = event.share_done

    def _help(self, event: HelpStarted | HelpEnded, at: float) -> None:
        name = event.task.video.relative
        for item in self._busy.values():
            if item.task.video.relative != name:
                continue
            if isinstance(event, HelpStarted):
                item.helpers[event.lane.index] = at
            else:
                item.helped_s += at - item.helpers.pop(event.help.lane.index, at)

    def _put_in(self, task: Task) -> None:
        self._take_out(task)  # it waits once, whatever a ledger tells
        self._waiting[task.video.relative] = task
        self._lines[task.video.position % len(self._lines)].add(task)

    def _take_out(self, task: Task) -> None:
        if (waiting := self._waiting.pop(task.video.relative, None)) is not None:
            self._lines[waiting.video.position % len(self._lines)].add(waiting, -1)

    def _end(self, task: Task, attempt: Attempt) -> None:
        lane, seconds = attempt.lane, attempt.lane_seconds
        self._busy.pop(lane.index, None)
        if not 0 < seconds < _LONGEST_S:  # clocks are set
            return
        self._spent_s += seconds
        if attempt.kind != DONE:
            return
        if expected_s := self.expected_s(task):
            error = math.log(seconds / (expected_s * self.slowness(lane)))
            self._square_sum, self._square_count = self._square_sum + error * error, self._square_count + 1
        if task.took and self._model:
            before_s = task.took.seconds / self._model.slowness.get(task.took.device, 1.0)
            self._again_sum += math.log(seconds / self.slowness(lane) / before_s)
            self._again_count += 1
        for tally in (
            self._by_device.setdefault(lane.device.model, Tally()),
            self._by_lane.setdefault(lane.index, Tally()),
        ):
            tally.add(Sample(1, task.cost, seconds))
        self._done_count += 1

    # ---- one video

    @property
    def is_known(self) -> bool:
        """Whether there is anything to go by: earlier runs, videos that are done, or that say how far they are."""
        return self._model is not None

    @property
    def has_lane_for_each(self) -> bool:
        """Whether no video waits for another."""
        return len(self._waiting) <= len(self._usable())

    def expected_s(self, task: Task) -> float | None:
        """How long a video should take on a lane of slowness 1; None where nothing is known."""
        model = self._model
        if model is None:
            return None
        if task.took is None:
            return model.start_s + model.per_cost * task.cost
        return task.took.seconds / model.slowness.get(task.took.device, 1.0) * self._again()

    def slowness(self, lane: Lane) -> float:
        """How many times as long a lane takes; 1 where nothing is known, so that such lanes count as equal."""
        return self._slowness.get(lane.index, 1.0)

    @property
    def least_slowness(self) -> float:
        """No lane is faster, whether it gets videos or not; without going through thousands for each video."""
        return self._least_slowness

    def left_s(self, lane: Lane, now: float) -> float:
        """How long the video on ``lane`` will take from now on; 0 where there is none, or nothing is known."""
        item = self._busy.get(lane.index)
        return self._work_left_s(item, now) / (1 + len(item.helpers)) if item else 0.0

    def _work_left_s(self, item: Busy, now: float) -> float:
        """Seconds of lanes that a video will still take; 0 where nothing is known."""
        total_s, spent_s = self.total_s(item, now), item.spent_s(now)
        if total_s is None:
            return 0.0
        return max(total_s - spent_s, 0.0 if item.tells else spent_s * _OVERDUE_SHARE)

    def total_s(self, item: Busy, now: float) -> float | None:
        """Seconds of lanes that a video will have taken at its end; from half of it on, it is believed itself."""
        expected_s = self.expected_s(item.task)
        if expected_s is None:
            return None
        expected_s *= self.slowness(item.lane)
        if not item.tells:
            return longer_than(item.spent_s(now), expected_s, self._variance)[1]
        told_s, trust = item.spent_s(now) / min(item.share_done, 1.0), min(2 * item.share_done, 1.0)
        return trust * told_s + (1 - trust) * expected_s

    def _again(self) -> float:
        """What this run's videos take over what the same ones took before."""
        if not self._again_count:
            return 1.0
        return drawn(math.exp(self._again_sum / self._again_count), self._again_count, _AGAIN_VARIANCE, self._variance)

    @property
    def _variance(self) -> float:
        return self._square_sum / self._square_count

    # ---- the whole

    def remaining_s(self, now: float) -> float | None:
        """How long until all lanes are through with what is left; None: nothing is known yet."""
        self.refresh(now)
        if self._model is None or not self._lanes:
            return None
        many = len(self._waiting) > _MANY and not self._by_position
        return self._evenly_s(now) if many else max(self.ends_s(now).values(), default=0.0)

    def ends_s(self, now: float) -> dict[int, float]:
        """In how many seconds each lane has nothing more to do, by its index; by costs where nothing is known."""
        lanes = self._usable()
        free_s = {lane.index: self.left_s(lane, now) for lane in lanes}
        if not self._by_position:
            lineup = Lineup((lane.index, self.slowness(lane), free_s[lane.index]) for lane in lanes)
            for task in self._waiting.values():
                lineup.give(self.weight(task))
            return lineup.ends()
        by_index = {lane.index: lane for lane in lanes}
        for index, line in enumerate(self._lines):
            lane = by_index.get(index) or min(lanes, key=lambda lane: free_s[lane.index])
            free_s[lane.index] += self._seconds(line) * self.slowness(lane)
        return free_s

    def work_s(self, now: float) -> tuple[float, float]:
        """Seconds of lanes, that were spent and that are left; nothing is left where nothing is known."""
        spent_s = self._spent_s + sum(max(item.spent_s(now), 0.0) for item in self._busy.values())
        left_s = sum(self._work_left_s(item, now) for item in self._busy.values())
        waiting_s = sum(map(self._seconds, self._lines)) if self._model else 0.0
        return spent_s, left_s + waiting_s * len(self._usable()) / max(self._speed(), 1e-9)

    def outlasting(self) -> Outlasting | None:
        """The video with which the run ends in whatever order; None where there is none. For a plan: nothing runs."""
        lanes = self._usable()
        if self._by_position or len(lanes) < 2 or len(self._waiting) < 2:
            return None
        longest = max(self._waiting.values(), key=self.weight)
        fastest, *others = sorted(lanes, key=self.slowness)
        lineup = Lineup((lane.index, self.slowness(lane), 0.0) for lane in others)
        for task in self._waiting.values():
            if task is not longest:
                lineup.give(self.weight(task))
        seconds, others_s = self.weight(longest) * self.slowness(fastest), max(lineup.ends().values())
        return Outlasting(longest, seconds, others_s) if seconds > others_s else None

    def weight(self, task: Task) -> float:
        """Expected seconds, or the cost where nothing is known: enough to compare videos by."""
        expected_s = self.expected_s(task)
        return task.cost if expected_s is None else expected_s

    def _evenly_s(self, now: float) -> float:
        """The same as the last of ``ends_s`` where thousands wait, without going through them."""
        lanes = self._usable()
        free_s = [self.left_s(lane, now) for lane in lanes]
        begun = sum(left_s / self.slowness(lane) for left_s, lane in zip(free_s, lanes, strict=True))
        waiting_s = sum(map(self._seconds, self._lines))
        longest_s = self.weight(next(iter(self._waiting.values()))) * min(map(self.slowness, lanes))
        return max((begun + waiting_s) / self._speed(), max(free_s), min(free_s) + longest_s)

    def _seconds(self, line: _Line) -> float:
        return line.seconds(self._model or _BY_COST, self._again())

    def _speed(self) -> float:
        return sum(1 / self.slowness(lane) for lane in self._usable())

    def _usable(self) -> list[Lane]:
        """Without what is out, and without spare lanes that nobody uses just now: perhaps nobody ever will."""
        return [
            lane for lane in self._lanes
            if lane.index not in self._out and (not lane.spare or lane.index in self._busy)
        ] or list(self._lanes)  # fmt: skip

    # ---- fitting

    def refresh(self, now: float) -> None:
        """Fit anew where videos have ended, or others say more of themselves than a second ago."""
        self.heed_ended(now)
        if now - self._fitted_at >= _BETWEEN_FITS_S and (under_way := self._under_way(now)):
            self._fit(now, under_way)

    def heed_ended(self, now: float) -> None:
        """Fit anew where enough more videos have ended; called for each, it costs little."""
        if self._done_count - self._fitted_count > _NEWS_SHARE * max(self._fitted_count, 0):
            self._fitted_count = self._done_count
            self._fit(now, self._under_way(now))

    def _fit(self, now: float, under_way: list[tuple[Busy, Sample]]) -> None:
        by_device = {device: Tally(tally.samples()) for device, tally in self._by_device.items()}
        for item, sample in under_way:
            by_device.setdefault(item.lane.device.model, Tally()).add(sample)
        self._model = fit({device: tally.samples() for device, tally in by_device.items()}, self._variance)
        self._fitted_at = now
        if self._model:
            self._slowness = {lane.index: self._slowness_of(lane, self._model) for lane in self._lanes}
            self._least_slowness = min((1.0, *self._slowness.values()))  # a lane that joins counts as 1

    def _slowness_of(self, lane: Lane, model: Model) -> float:
        """Its device's, and its own where it differs from others of its device."""
        own, device = self._by_lane.get(lane.index), lane.device.model
        steps = 0
        if own:
            ratio = drawn(model.excess(own.samples(), device), own.count, _LANE_VARIANCE, self._variance)
            steps = round(math.log(ratio) / _LANE_STEP)
        return model.slowness.get(device, 1.0) * math.exp(steps * _LANE_STEP)

    def _under_way(self, now: float) -> list[tuple[Busy, Sample]]:
        """What runs and says something already, by its progress, or by taking far longer than it should."""
        found = []
        for item in self._busy.values():
            spent_s, cost = item.spent_s(now), item.task.cost
            if spent_s <= 0:
                continue
            if item.tells:
                found.append((item, Sample(item.share_done, item.share_done * cost, spent_s)))
            elif expected_s := self.expected_s(item.task):
                told, total_s = longer_than(spent_s, expected_s * self.slowness(item.lane), self._variance)
                if told >= _TELLING_SHARE:
                    found.append((item, Sample(told, told * cost, told * total_s)))
        return found


def longer_than(elapsed_s: float, expected_s: float, variance: float) -> tuple[float, float]:
    """What it means that a video still runs after ``elapsed_s``, where times are lognormal about what is expected.

    The share of such videos that would have ended by now, and how long those take that have not.
    """
    if elapsed_s <= 0:
        return 0.0, expected_s
    sigma = math.sqrt(variance)
    z = (math.log(elapsed_s / expected_s) + variance / 2) / sigma
    if z > _FAR_OUT:
        return 1.0, elapsed_s * (1 + _OVERDUE_SHARE)
    still_running = math.erfc(z / math.sqrt(2)) / 2
    longer = math.erfc((z - sigma) / math.sqrt(2)) / 2
    return 1 - still_running, expected_s * longer / still_running
