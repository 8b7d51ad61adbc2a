"""The heart of a run: takes tasks in order, gives them to lanes, and decides what follows each attempt.

Order, retries, claims and publishing live here, once, whatever the executor. One thread, one loop: it waits for
the executor, and what it hears makes an outcome, a retry, or nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from vidfleet.data import Attempt, Evidence, Lane, Outcome, StoppedBy, Task
from vidfleet.errors import ClaimedError, SetupError, UsageError
from vidfleet.executors.base import Gone, Lost, Told
from vidfleet.runner import on_stop
from vidfleet.runner import stage as staging
from vidfleet.runner.deck import Deck, Staged, is_worth_reading_ahead
from vidfleet.runner.devices import Devices
from vidfleet.runner.events import (
    AttemptEnded,
    AttemptProgress,
    AttemptStarted,
    LaneOut,
    Notice,
    VideoEnded,
)
from vidfleet.runner.failures import BY_NAME, DONE, INTERRUPTED, NODE_LOST, Kind, SameError, ended_well
from vidfleet.runner.finish import conclude, remember_failure
from vidfleet.runner.helping import Helping
from vidfleet.runner.order.queue import Case, Over, Queue, Running
from vidfleet.runner.room.gate import Room
from vidfleet.runner.roster import Roster, heed
from vidfleet.runner.starting import make_start
from vidfleet.worker.messages import Progress
from vidfleet.workloads.base import Call

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from vidfleet.executors.base import Executor, LaneEvent
    from vidfleet.runner.claims import Claims
    from vidfleet.runner.events import Event
    from vidfleet.runner.ledger import RunFolder
    from vidfleet.runner.order.forecast import Forecast
    from vidfleet.runner.provenance import MadeBy
    from vidfleet.runner.stopping import Stop
    from vidfleet.settings import RunSettings
    from vidfleet.workloads.base import Description, Launch, Workload

_BETWEEN_TICKS_S = 1.0


class Execution:
    """One run's queue, lanes and outcomes."""

    def __init__(
        self, tasks: tuple[Task, ...], lanes: tuple[Lane, ...], *, workload: Workload, description: Description,
        executor: Executor, settings: RunSettings, claims: Claims, folder: RunFolder, tell: Callable[[Event], None],
        tick: Callable[[float], None], stop: Stop, made_by: MadeBy, proven: bool, forecast: Forecast, base: Path,
        more: Callable[[bool], Sequence[Task]] | None = None,
    ) -> None:  # fmt: skip
        """``more``: see :class:`Queue`."""
        at_first = [lane for lane in lanes if not lane.spare]
        self._queue = Queue([Case(task) for task in tasks], at_first, settings.schedule, forecast=forecast, more=more)
        self._devices = Devices(lanes, settings.quarantine)
        self._same_error = SameError(at_first)
        if proven:
            self._same_error.succeeded()
        self.roster = Roster(lanes)
        self._running: dict[str, Running] = {}
        self._over: deque[Over] = deque()
        self._held: list[Over] = []
        """Over, but others still work for them; their lanes are not free yet."""
        self._starts: list[AttemptStarted] = []
        """Not told of yet: of the attempt before on the same lane, the end comes first."""
        self._workload = workload
        self._deck = Deck(workload, description, settings, claims)
        self._executor = executor
        self._settings = settings
        self._claims = claims
        self._folder = folder
        self._tell = tell
        self._tick = tick
        self._stop = stop
        self._stopped_times = 0
        self._made_by = made_by
        self._host = socket.gethostname()
        self.outcomes: list[Outcome] = []
        self.notices: list[str] = []
        self.room = Room(lanes, settings, base, description, self._notice)
        self._helping = Helping(
            executor=executor, forecast=forecast, room=self.room, grace_s=settings.grace, host=self._host,
            begin=self._begin_help, tell=tell, say=self._notice, blame=self._blame,
            log_of=lambda task, lane: folder.log_name(task.video, lane),
        )  # fmt: skip
        self.stopped_by: StoppedBy = ""

    def run(self) -> None:
        """Work until every task has an outcome."""
        next_tick = time.monotonic()
        has_more_to_do = True
        self._fill_lanes()
        while self._running or self._held or self._waits_for_lanes():
            next_look = min(next_tick, self.room.next_look, self._helping.next_look)
            events = self._executor.wait(0.0 if has_more_to_do else max(next_look - time.monotonic(), 0.0))
            for event in events:
                self._hear(event)
            self._follow_up()
            self._heed_stop()
            self._heed_memory()
            self._heed_pause()
            self._fill_lanes()
            self._help_out()
            is_pressing = bool(events) and len(self._running) > 1  # another lane may be through meanwhile
            has_more_to_do = is_pressing or self._look_ahead()
            if time.monotonic() >= next_tick:
                self._tick(time.time())
                next_tick = time.monotonic() + _BETWEEN_TICKS_S
        self._deck.clear()
        self._heed_stop()  # also one that came while no lane was there yet
        for case in self._queue.rest():
            self._leave(case)

    # ---- taking tasks

    def _fill_lanes(self) -> None:
        self._offer_work()
        if not (
            self._running or self._held or self._is_ending()
        ):  # all that is left waits for a verdict that cannot come
            self._devices.let_all_work()
            self._offer_work()

    def _offer_work(self) -> None:
        for lane in list(self.roster.idle):
            self._offer_work_to(lane)
        self._tell_of_starts()

    def _offer_work_to(self, lane: Lane) -> None:
        while self._devices.may_work(lane) and not self._is_ending():
            case = self._take(lane)
            if case is None or self._begin(case, lane):
                return
            # settled without an attempt: the lane takes the next

    def _take(self, lane: Lane) -> Case | None:
        if not self.room.may_begin(lane, len(self._running)):
            return None
        return self._queue.take(lane, [*self._running.values(), *self._helping.running], self._open_lanes())

    def _open_lanes(self) -> list[Lane]:
        return [lane for lane in self.roster.usable if self.room.is_open(lane)]

    def _is_ending(self) -> bool:
        return bool(self.stopped_by) or self._stop.is_asked

    def _begin(self, case: Case, lane: Lane) -> bool:
        """Make ready and start; False where the task was settled without an attempt."""
        made = self._deck.take(case)
        if isinstance(made, Staged):
            try:
                self._start(made, lane)
                return True
            except (SetupError, UsageError, OSError) as error:
                made = self._deck.give_up(case, error)
        if made.stops:
            self._stop_for(made.stops, made.outcome.reason)
        self._settle(case, made.outcome)
        return False

    def _start(self, made: Staged, lane: Lane) -> None:
        case, task = made.case, made.case.task
        running = Running(case, lane, time.time(), made.described)
        launch = self._workload.launch(task, lane, made.described)
        begun = AttemptStarted(task, lane, len(case.attempts) + 1)
        if self._settings.on_stop:  # from the ledger the next start knows what a killed run has left
            self._tell(begun)
        self._start_on_lane(running, launch, self._folder.log_name(task.video))
        self._running[case.name] = running
        if not self._settings.on_stop:
            self._starts.append(begun)

    def _start_on_lane(self, running: Running, launch: Launch, log: str) -> None:
        lane = running.lane
        start = make_start(
            running, launch, f"{self._folder.path}/{log}", settings=self._settings, lanes=self.roster.lanes,
            variables=self.room.variables(lane),
        )  # fmt: skip
        self._executor.start(lane, start)  # where it cannot, the lane stays idle
        self.roster.idle.remove(lane)
        self.room.began(running, launch)

    def _tell_of_starts(self) -> None:
        for event in self._starts:
            self._tell(event)
        self._starts.clear()

    def _look_ahead(self) -> bool:
        """Do one thing for the videos that are probably next, while others run; False where no more is to be done.

        As many as there are lanes are made ready, but only while more than that wait: near the end, another runner
        over the same root shall find something to do.
        """
        if self._is_ending() or not self._running:
            self._deck.clear()
            return False
        count = min(self.roster.places, self._queue.waiting)
        if len(self._deck) >= count:
            return False
        case = next((case for case in self._queue.peek(count) if case not in self._deck), None)
        if case is None:
            return False
        if case.attempts or self._deck.ready >= self._queue.waiting - self.roster.places:
            self._deck.pass_over(case)
        else:
            self._deck.put(case)
        if not case.attempts and is_worth_reading_ahead(case.task.video):
            next_free = next(iter(self._running.values())).lane  # probably: it has been at work for longest
            self._executor.read_ahead(next_free, str(case.task.video.path))
        return len(self._deck) < count

    # ---- helping others

    def _help_out(self) -> None:
        """Lanes that have nothing to do share the work on a video of another's; videos come first."""
        if not (self._deck.described.traits.shares or self._helping.is_at_work):
            return
        running = list(self._running.values())
        self._helping.make_way(self._queue, running, self._open_lanes(), self._queue.waiting)
        self._helping.look(running, self.roster.idle, self._may_help)

    def _may_help(self, lane: Lane) -> bool:
        """Asked once nothing waits that an idle lane could take."""
        running = list(self._running.values())
        count = len(running) + len(self._helping.running)
        may_work = self._devices.may_work(lane) and self._queue.lets_help(lane, running)
        return may_work and not self._is_ending() and self.room.may_begin(lane, count)

    def _begin_help(self, running: Running) -> None:
        task = running.case.task
        launch = self._workload.launch(task, running.lane, running.described)
        assert isinstance(launch, Call)  # only a class shares its work
        log = self._folder.log_name(task.video, running.lane)
        self._start_on_lane(running, replace(launch, helps=True), log)

    def _blame(self, lane: Lane, case: Case) -> None:
        self._quarantine(self._devices.failed(lane, case, is_to_blame=True, will_retry=False))

    # ---- hearing of them

    def _hear(self, event: LaneEvent | Told) -> None:
        message = heed(event, self.roster, self._devices, self._queue, self._tell, self._notice, self._stop_for)
        if message is None:
            return
        running = self._running.get(message.attempt)
        if isinstance(message, Progress):
            if running:
                self._tell(AttemptProgress(running.case.task, running.lane, message.stage, message.share_done))
            return
        if isinstance(message, Lost | Gone):
            kind = "crash" if isinstance(message, Lost) else NODE_LOST
            evidence = Evidence(declared_kind=kind, message=message.reason)
        else:
            evidence = message.evidence
        if running:
            self._hear_end(message.attempt, running, evidence)
        elif lane := self._helping.ended(message.attempt, evidence, beside=len(self._running)):
            self.roster.free(lane)

    def _hear_end(self, name: str, running: Running, evidence: Evidence) -> None:
        self._tell_cold(evidence.cold_reason)
        del self._running[name]
        over = Over(running, evidence, time.time())
        if self._helping.is_helped(name):
            self._helping.leader_ended(name, is_good=ended_well(evidence))
            self._held.append(over)
            return
        self.roster.free(running.lane)
        if running.ended:  # it was --on-stop
            if trouble := on_stop.trouble(running.case.task, evidence):
                self._notice(trouble)
            self._settle_attempt(running, running.ended)
            return
        self._over.append(over)
        if self._goes_on_at_once(evidence) and not self.room.packs(running.lane):
            self._offer_work_to(running.lane)

    def _waits_for_lanes(self) -> bool:
        """Whether there is work, and not a single lane: some may come."""
        return bool(self._queue.waiting) and not self.roster.lanes and not self._is_ending()

    def _goes_on_at_once(self, evidence: Evidence) -> bool:
        """Whether a lane gets its next video before what its last one has left is looked at.

        Not where that could tell that no other is to be started: before the first success, what ends well without
        its output may be everybody's fault.
        """
        is_good = ended_well(evidence) and not evidence.device_trouble
        return is_good and self._same_error.has_success and not self._settings.on_stop

    def _follow_up(self) -> None:
        """Decide what follows the attempts that are over, once nobody works for them any more."""
        for over in [over for over in self._held if not self._helping.is_helped(over.running.name)]:
            self._held.remove(over)
            self.roster.free(over.running.lane)
            self._over.append(over)
        while self._over:
            over = self._over.popleft()
            running, attempt = over.running, self._conclude(over)
            if self._settings.on_stop and attempt.kind != DONE:
                self._call_on_stop(running, attempt)
            else:
                self._settle_attempt(running, attempt)
        self._tell_of_starts()

    def _call_on_stop(self, running: Running, attempt: Attempt) -> None:
        """Before anything follows: a retry must not meet what this one has left, nor be ended in its place."""
        task, lane, name = running.case.task, running.lane, f"{running.case.name} on-stop"
        self.roster.idle.remove(lane)
        self._running[name] = replace(running, ended=attempt)
        self._tell(AttemptProgress(task, lane, "--on-stop", -1.0))
        log = self._folder.log_path(task.video)
        start = on_stop.make_start(name, task, lane, running.described.root, self._settings, log)
        self._executor.start(lane, start)

    def _settle_attempt(self, running: Running, attempt: Attempt) -> None:
        case, task = running.case, running.case.task
        kind = BY_NAME.get(attempt.kind)
        excused = self.room.ended(case.name, attempt, len(self._running))
        case.attempts.append(attempt)
        if (excused or (attempt.kind == INTERRUPTED and running.gives_way)) and not self._is_ending():
            case.excused += excused
            self._claims.release(task.stage)
            self._tell(AttemptEnded(task, attempt, will_retry=True))
            self._queue.put_first(case)
        elif attempt.kind == INTERRUPTED:
            self._empty_stage(task)
            self._finish_case(case, attempt, "interrupted", "", attempt.reason)
        elif kind is None:
            self._succeeded(case, attempt)
        else:
            self._failed(case, attempt, kind)

    def _succeeded(self, case: Case, attempt: Attempt) -> None:
        self._same_error.succeeded()
        newly_out = self._devices.succeeded(attempt.lane, case)
        if attempt.evidence.device_trouble:  # the video is done, but the GPU is not well
            newly_out += self._devices.failed(attempt.lane, case, is_to_blame=True, will_retry=False)
        self._quarantine(newly_out)
        self._finish_case(case, attempt, "done", "", "")

    def _failed(self, case: Case, attempt: Attempt, kind: Kind) -> None:
        task, video = case.task, case.task.video
        if kind.stops_run:
            self._stop_for(kind.stops_run, attempt.reason)
        elif self._same_error.failed(
            kind, attempt.reason, video.position, attempt.lane.device, video.stem, task.stage.entry_stem
        ):
            self._stop_for("setup", f"different videos failed with one and the same error: {attempt.reason}")
        will_retry = self._may_retry(case, kind)
        newly_out = self._devices.failed(attempt.lane, case, is_to_blame=kind.blames_device, will_retry=will_retry)
        if will_retry:
            case.room = kind.room
            self._claims.release(task.stage)
            self._tell(AttemptEnded(task, attempt, will_retry=True))
            self._queue.put_back(case, attempt.lane)
        else:
            remember_failure(task, kind.name, attempt)
            if not self._settings.keep_failed:
                self._empty_stage(task)
            self._finish_case(case, attempt, "failed", kind.name, attempt.reason)
        self._quarantine(newly_out)

    def _quarantine(self, labels: tuple[str, ...]) -> None:
        if labels:
            self.roster.put_out(self._devices.is_out)
        for label in labels:
            self._notice(
                f"{label} fails while others succeed: it gets no more videos in this run, and what failed on it is "
                "tried on the others"
            )
            for lane in self.roster.lanes:
                if lane.device.label == label:
                    self._queue.give_away(lane)
                    self._tell(LaneOut(lane))

    def _stop_for(self, what: Literal["setup", "disk_full", "lack_of_lanes"], reason: str) -> None:
        if not self.stopped_by:
            self.stopped_by = what
            self._notice(f"nothing else is started: {reason}")

    def _notice(self, text: str) -> None:
        self.notices.append(text)
        self._tell(Notice(text))

    def _tell_cold(self, reason: str) -> None:
        """Say once why videos start cold; what stands in parentheses differs from lane to lane."""
        text = f"no warm start: {reason}"
        if reason and text.partition(" (")[0] not in [told.partition(" (")[0] for told in self.notices]:
            self._notice(text)

    def _conclude(self, over: Over) -> Attempt:
        helpers = self._helping.take(over.running.name)
        return conclude(
            over, helpers, self._claims, host=self._host, is_interrupted=self._stop.times > 0, made_by=self._made_by,
            settings=self._settings,
        )  # fmt: skip

    def _may_retry(self, case: Case, kind: Kind) -> bool:
        """Whether there is a try left; failures on a GPU that is out have used up none."""
        used = sum(a.kind == kind.name and not self._devices.blamed(a) for a in case.attempts[:-1]) - case.excused
        allowed = self._settings.retries if kind.retries is None else kind.retries
        return not self._is_ending() and used < allowed

    def _empty_stage(self, task: Task) -> None:
        if self._deck.described.traits.resumable:
            return  # the next attempt continues in it
        if self._claims.still_ours(task.stage):  # else another runner works there by now
            with contextlib.suppress(OSError):  # the next attempt says it, if there is one
                staging.empty(task.stage.folder)

    def _finish_case(self, case: Case, attempt: Attempt, state: str, kind: str, reason: str) -> None:
        task = case.task
        self._claims.release(task.stage)
        self._tell(AttemptEnded(task, attempt, will_retry=False))
        log = self._folder.log_name(task.video)
        outcome = Outcome(
            task.video, state, kind, reason, tuple(case.attempts), task.probe, log  # type: ignore[arg-type]
        )  # fmt: skip
        self._settle(case, outcome)

    def _leave(self, case: Case) -> None:
        """The run is over before its turn, or before it was tried again: then it is left as after the last attempt."""
        task, reason, log = case.task, "the run ended before its turn", ""
        if case.attempts:
            reason, log = "the run ended before it was tried again", self._folder.log_name(task.video)
            with contextlib.suppress(ClaimedError, OSError):  # another runner is at it
                self._claims.take(task.stage)
                if not self._settings.keep_failed:
                    self._empty_stage(task)
                self._claims.release(task.stage)
        outcome = Outcome(
            task.video, "not_started", reason=reason, attempts=tuple(case.attempts), probe=task.probe, log=log
        )
        self._settle(case, outcome)

    def _settle(self, case: Case, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self._tell(VideoEnded(case.task, outcome))

    # ---- ending early

    def _heed_stop(self) -> None:
        """Once: no new work, and running attempts get their grace, or all the time they need. Twice: none."""
        if self._stop.is_asked:
            self.stopped_by = "interrupt"
        if self._stop.times <= self._stopped_times:
            return
        first = self._stopped_times == 0
        self._stopped_times = self._stop.times
        drains = first and self._settings.on_interrupt == "drain"
        grace_s = self._settings.grace if self._stop.times == 1 else 0.0
        if self._running and first:
            how = "what runs may finish" if drains else f"what runs has up to {grace_s:g} s to end"
            self._tell(Notice(f"ending: {how}; once more ends it at once"))
        if drains:
            return
        for running in self._running.values():
            if not running.ended or self._stop.times > 1:
                self._executor.cancel(running.lane, grace_s)
        self._helping.end_all(grace_s)

    def _heed_memory(self) -> None:
        """Where memory runs short, the youngest attempt makes way for the others, and runs again later."""
        if time.monotonic() < self.room.next_look:
            return
        running = self.room.look(() if self._is_ending() else (*self._running.values(), *self._helping.running))
        if running:
            running.gives_way = True
            self._executor.cancel(running.lane, self.room.grace_s)

    def _heed_pause(self) -> None:
        """Ctrl-Z: attempts stand still with us, and go on with us."""
        if not self._stop.pause:
            return
        self._stop.pause = False
        lanes = [running.lane for running in (*self._running.values(), *self._helping.running)]
        for lane in lanes:
            self._executor.pause(lane)
        os.kill(os.getpid(), signal.SIGSTOP)
        for lane in lanes:
            self._executor.resume(lane)
