"""Lanes that have nothing else to do help a video that runs on another lane, where its class shares its work.

A helper is no attempt: nothing is decided by how it ends but whether its lane helps that video again, and perhaps
whether its GPU is trusted. It works in the stage of the attempt that it helps, so that attempt is over for everybody
only when its helpers are gone.
"""

from __future__ import annotations

import math
import os
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vidfleet.data import HELPED, Attempt, Evidence, Lane, Task
from vidfleet.runner.events import HelpEnded, HelpStarted
from vidfleet.runner.failures import BY_NAME, INTERRUPTED, recognise
from vidfleet.runner.order.queue import Running
from vidfleet.runner.text import printable, signature

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vidfleet.executors.base import Executor
    from vidfleet.runner.events import Event
    from vidfleet.runner.order.forecast import Forecast
    from vidfleet.runner.order.queue import Case, Queue
    from vidfleet.runner.room.gate import Room

_BETWEEN_LOOKS_S = 0.5
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0
"""Between two times that one lane helps one video; longer and longer where there was nothing to do."""
_TO_LEAVE_BY_ITSELF_S = 2.0
"""That long helpers have when their video is done: to end them would cost what their lanes have loaded."""


@dataclass
class _Helper:
    """One lane's help, while it lasts."""

    running: Running
    leader: str
    """The name of the attempt that it helps."""
    leave_by: float = math.inf
    """When it is ended, where it has not gone by itself; by the monotonic clock."""
    why: str = ""
    """Why it was told to end."""


class Helping:
    """All lanes that help; who does next, and who has to go."""

    def __init__(
        self, *, executor: Executor, forecast: Forecast, room: Room, grace_s: float, host: str,
        begin: Callable[[Running], None], tell: Callable[[Event], None], say: Callable[[str], None],
        blame: Callable[[Lane, Case], None], log_of: Callable[[Task, Lane], str],
    ) -> None:  # fmt: skip
        """``begin`` starts a helper on its lane; ``blame`` counts a failure that a GPU is to blame for."""
        self._executor, self._forecast, self._room = executor, forecast, room
        self._grace_s, self._host = grace_s, host
        self._begin, self._tell, self._say, self._blame, self._log_of = begin, tell, say, blame, log_of
        self._helpers: dict[str, _Helper] = {}
        self._helped: dict[str, list[Attempt]] = defaultdict(list)
        """By the name of the attempt that was helped."""
        self._never: set[tuple[int, int]] = set()
        """Lane and video: it has failed there."""
        self._pauses: dict[tuple[int, int], tuple[float, float]] = {}
        """Lane and video → when it may be asked again, and after how long a pause."""
        self._said: set[tuple[str, str]] = set()
        self._count = 0
        self._looked_at, self._may_come = -math.inf, False

    # ---- what there is

    @property
    def running(self) -> list[Running]:
        """What helps just now, in the order in which it began."""
        return [helper.running for helper in self._helpers.values()]

    @property
    def is_at_work(self) -> bool:
        """Whether somebody helps, or might have by the last look."""
        return bool(self._helpers) or self._may_come

    def is_helped(self, attempt: str) -> bool:
        """Whether anybody still works for an attempt."""
        return any(helper.leader == attempt for helper in self._helpers.values())

    def take(self, attempt: str) -> tuple[Attempt, ...]:
        """What was done for an attempt by others; it is forgotten here."""
        return tuple(self._helped.pop(attempt, ()))

    @property
    def next_look(self) -> float:
        """When to call :meth:`look` at the latest, by the monotonic clock."""
        leaving = min((helper.leave_by for helper in self._helpers.values()), default=math.inf)
        return min(leaving, self._looked_at + _BETWEEN_LOOKS_S if self._may_come else math.inf)

    # ---- coming

    def look(self, leaders: Sequence[Running], idle: Sequence[Lane], may_help: Callable[[Lane], bool]) -> None:
        """Send idle lanes to where there is work to share; end those who outstay."""
        now = time.monotonic()
        for helper in list(self._helpers.values()):
            if now >= helper.leave_by:
                helper.leave_by = math.inf
                self._end(helper, "its video was through, and it went on")
        sharing = [item for item in leaders if item.described.traits.shares and not (item.ended or item.gives_way)]
        self._may_come = bool(sharing and idle)
        if not self._may_come or now < self._looked_at + _BETWEEN_LOOKS_S:
            return
        self._looked_at = now
        sharing = [item for item in sharing if _shares_now(item)]
        for lane in list(idle) if sharing else ():
            if may_help(lane) and (leader := self._choose(lane, sharing, now)):
                self._send(lane, leader)

    def _choose(self, lane: Lane, sharing: Sequence[Running], now: float) -> Running | None:
        """The video that has most left to do for each lane that is at it."""
        able = [item for item in sharing if self._may_ask(lane, item.case.task, now)]
        at, count = time.time(), {item.name: 1 for item in able}
        for helper in self._helpers.values():
            if helper.leader in count:
                count[helper.leader] += 1

        def left(item: Running) -> tuple[float, float]:
            # The forecast counts the helpers that are there; this asks how it would be with one more.
            left_s = self._forecast.left_s(item.lane, at) * count[item.name] / (count[item.name] + 1)
            return left_s, self._forecast.weight(item.case.task) / (count[item.name] + 1)

        return max(able, key=left, default=None)

    def _may_ask(self, lane: Lane, task: Task, now: float) -> bool:
        pair = (lane.index, task.video.position)
        return pair not in self._never and now >= self._pauses.get(pair, (-math.inf, 0.0))[0]

    def _send(self, lane: Lane, leader: Running) -> None:
        self._count += 1
        running = Running(
            leader.case, lane, time.time(), leader.described, helps=f"{leader.name} help {self._count}"
        )  # fmt: skip
        self._helpers[running.helps] = _Helper(running, leader.name)
        self._tell(HelpStarted(leader.case.task, lane))
        self._begin(running)

    # ---- going

    def leader_ended(self, attempt: str, *, is_good: bool) -> None:
        """The attempt that they help is over: nobody may write into its stage much longer."""
        for helper in self._of(attempt):
            if is_good:
                helper.leave_by = time.monotonic() + _TO_LEAVE_BY_ITSELF_S
            else:
                self._end(helper, "the attempt that it helped was over")

    def make_way(self, queue: Queue, leaders: Sequence[Running], usable: Sequence[Lane], waiting: int) -> None:
        """Videos come first: end as many as stand in the way of ``waiting`` ones, or of what runs; the newest first."""
        staying = [item for item in reversed(self._helpers.values()) if not (item.why or item.running.gives_way)]
        if staying and not self._room.bears(len(leaders) + len(staying)):
            self._end(staying.pop(0), "memory was needed for videos")
        coming = waiting - (len(self._helpers) - len(staying))
        for helper in staying if waiting else ():
            lane = helper.running.lane
            if queue.wants_room:
                self._end(helper, "a video wanted its room")
            elif coming > 0 and (lane not in usable or queue.has_for(lane, leaders, usable)):
                self._end(helper, "there was a video for its lane")
                coming -= 1

    def end_all(self, grace_s: float) -> None:
        """The run ends early."""
        for helper in self._helpers.values():
            helper.why = helper.why or "the run was interrupted"
            self._executor.cancel(helper.running.lane, grace_s)

    def ended(self, name: str, evidence: Evidence, *, beside: int) -> Lane | None:
        """One is gone, ``beside`` so many attempts; its lane, or nothing where ``name`` is not one of them."""
        helper = self._helpers.pop(name, None)
        if helper is None:
            return None
        attempt = self._conclude(helper, evidence)
        self._helped[helper.leader].append(attempt)
        self._tell(HelpEnded(helper.running.case.task, attempt))
        excused = self._room.ended(name, attempt, beside + len(self._helpers))
        self._remember(helper, attempt, excused=excused)
        return attempt.lane

    def _conclude(self, helper: _Helper, evidence: Evidence) -> Attempt:
        running = helper.running
        made = Attempt(
            len(running.case.attempts) + 1, running.lane, self._host, running.started_at, time.time(), HELPED, "",
            replace(evidence, log_tail="", modules=""),
        )  # fmt: skip
        if evidence.cancelled or (helper.why and recognise(evidence)):
            why = "memory was short" if running.gives_way else helper.why or "it was told to end"
            return replace(made, kind=INTERRUPTED, reason=why)
        kind = recognise(evidence)
        if kind is None:
            return made
        return replace(made, kind=kind.name, reason=kind.say(evidence), evidence=evidence)

    def _remember(self, helper: _Helper, attempt: Attempt, *, excused: bool) -> None:
        """What follows of it for the lane, its GPU, and the user."""
        case, lane = helper.running.case, helper.running.lane
        pair = (lane.index, case.task.video.position)
        if excused or attempt.kind in (HELPED, INTERRUPTED):
            last_s = self._pauses.get(pair, (0.0, _SHORTEST_PAUSE_S / 2))[1]
            did_nothing = attempt.seconds < _SHORTEST_PAUSE_S
            pause_s = min(2 * last_s, _LONGEST_PAUSE_S) if did_nothing else _SHORTEST_PAUSE_S
            self._pauses[pair] = (time.monotonic() + pause_s, pause_s)
            return
        if BY_NAME[attempt.kind].blames_device:
            self._blame(lane, case)
        if helper.leave_by < math.inf:  # its video is done, and it met what was being tidied away
            return
        self._never.add(pair)
        what = (attempt.kind, signature(attempt.reason, case.task.video.stem, case.task.stage.entry_stem))
        if what not in self._said:
            self._said.add(what)
            name, log = printable(case.task.video.relative), printable(self._log_of(case.task, lane))
            self._say(
                f"{lane.label} could not help {name}, which goes on without it: {attempt.kind}: {attempt.reason} "
                f"(see {log})"
            )

    def _end(self, helper: _Helper, why: str) -> None:
        if not helper.why:
            helper.why = why
            self._executor.cancel(helper.running.lane, self._grace_s)

    def _of(self, attempt: str) -> Iterator[_Helper]:
        return (helper for helper in list(self._helpers.values()) if helper.leader == attempt)


def _shares_now(leader: Running) -> bool:
    """Whether the class says, by its file, that others may take a share."""
    return os.path.isfile(f"{leader.case.task.stage.output_at}/{leader.described.traits.shares}")  # noqa: PTH113
