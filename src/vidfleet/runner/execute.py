"""The heart of a run: takes tasks in order, gives them to lanes, and decides what follows each attempt.

Order, retries, claims and publishing live here, once, whatever the executor. One thread, one loop: it waits for
the executor, and what it hears makes an outcome, a retry, or nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from vidfleet.data import Attempt, Evidence, Lane, Outcome, State, Task
from vidfleet.errors import ClaimedError, OccupiedError, SetupError, UsageError
from vidfleet.executors.base import Lost
from vidfleet.runner import on_stop
from vidfleet.runner import stage as staging
from vidfleet.runner.begin import begin
from vidfleet.runner.devices import Devices
from vidfleet.runner.events import AttemptEnded, AttemptProgress, AttemptStarted, LaneLost, Notice, VideoEnded
from vidfleet.runner.failures import BY_NAME, DONE, INTERRUPTED, Kind, SameError, recognise
from vidfleet.runner.finish import finish, is_disk_full, publish_whole_stage, remember_failure
from vidfleet.runner.plan import judge_target
from vidfleet.runner.publish import complete_publishing, is_half_published
from vidfleet.runner.queue import Case, Queue, Running
from vidfleet.runner.text import said
from vidfleet.worker.messages import Progress, Ready, Start

if TYPE_CHECKING:
    from collections.abc import Callable

    from vidfleet.executors.base import Executor, LaneEvent
    from vidfleet.runner.claims import Claims
    from vidfleet.runner.events import Event
    from vidfleet.runner.ledger import RunFolder
    from vidfleet.runner.provenance import MadeBy
    from vidfleet.settings import RunSettings
    from vidfleet.workloads.base import Description, Workload

_BETWEEN_TICKS_S = 1.0
_MEMORY_BACK_S = 30.0


class Stop:
    """Somebody's wish that the run ends, or stands still; a signal handler may call its methods."""

    def __init__(self) -> None:
        self.signal = 0
        self.times = 0
        self.drain = False
        self.pause = False
        self._wake: Callable[[], None] | None = None

    def ask(self, number: int, *, drain: bool = False) -> None:
        """Ask once to end in order, twice to end at once; ``drain`` lets what runs finish first.

        Before lanes are open it ends by KeyboardInterrupt.
        """
        self.signal = self.signal or number
        self.drain = self.drain or drain
        self.times += not drain
        if self._wake is None:
            raise KeyboardInterrupt
        self._wake()

    def ask_to_pause(self) -> None:
        """Ask for a halt of all attempts and of this process, until SIGCONT."""
        if self._wake is None:
            os.kill(os.getpid(), signal.SIGSTOP)
            return
        self.pause = True
        self._wake()

    def arm(self, wake: Callable[[], None]) -> None:
        """From now on ``wake`` tells the run that it was asked."""
        self._wake = wake

    @property
    def is_asked(self) -> bool:
        """Nothing new is to be started."""
        return self.drain or self.times > 0


class Execution:
    """One run's queue, lanes and outcomes."""

    def __init__(
        self, tasks: tuple[Task, ...], lanes: tuple[Lane, ...], *, workload: Workload, description: Description,
        executor: Executor, settings: RunSettings, claims: Claims, folder: RunFolder, tell: Callable[[Event], None],
        tick: Callable[[float], None], stop: Stop, made_by: MadeBy, proven: bool,
    ) -> None:  # fmt: skip
        self._queue = Queue([Case(task) for task in tasks], lanes, settings.schedule)
        self._devices = Devices(lanes, settings.quarantine)
        self._same_error = SameError(lanes)
        if proven:
            self._same_error.succeeded()
        self._idle = list(lanes)
        self._lanes = lanes
        self._running: dict[str, Running] = {}
        self._workload = workload
        self._described = description
        self._seen_files = _stamps(description)
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
        self.stopped_by: Literal["", "interrupt", "setup", "disk_full"] = ""

    def run(self) -> None:
        """Work until every task has an outcome."""
        next_tick = time.monotonic()
        self._fill_lanes()
        while self._running:
            for event in self._executor.wait(max(next_tick - time.monotonic(), 0.0)):
                self._hear(event)
            self._heed_stop()
            self._heed_pause()
            self._fill_lanes()
            if time.monotonic() >= next_tick:
                self._tick(time.time())
                next_tick = time.monotonic() + _BETWEEN_TICKS_S
        for case in self._queue.rest():
            self._settle(case, Outcome(case.task.video, "not_started", reason="the run ended before its turn"))

    # ---- taking tasks

    def _fill_lanes(self) -> None:
        self._offer_work()
        if not self._running and not self._is_ending():  # all that is left waits for a verdict that cannot come
            self._devices.let_all_work()
            self._offer_work()

    def _offer_work(self) -> None:
        for lane in [lane for lane in self._idle if self._devices.may_work(lane)]:
            while not self._is_ending() and (case := self._take(lane)) and not self._begin(case, lane):
                pass  # settled without an attempt: the lane takes the next

    def _take(self, lane: Lane) -> Case | None:
        usable = [lane for lane in self._lanes if not self._devices.is_out(lane)]
        return self._queue.take(lane, list(self._running.values()), usable)

    def _is_ending(self) -> bool:
        return bool(self.stopped_by) or self._stop.is_asked

    def _begin(self, case: Case, lane: Lane) -> bool:
        """Claim, stage and start; False where the task was settled without an attempt."""
        trouble = self._look_again(case)
        try:
            if not trouble:
                self._claims.take(case.task.stage)
                if self._is_settled(case):
                    self._claims.release(case.task.stage)
                    return False
                begin(case.task, self._described, self._settings)
                self._start(case, lane)
                return True
        except ClaimedError as error:
            trouble = ("claimed", str(error))
        except OccupiedError as error:
            trouble = ("foreign", str(error))
        except (SetupError, UsageError) as error:  # the script is gone, or no longer what it was
            trouble = ("setup", str(error))
        except OSError as error:
            trouble = ("disk_full" if is_disk_full(error) else "error", f"its stage cannot be made ({said(error)})")
        self._claims.release(case.task.stage)
        self._settle_trouble(case, *trouble)
        return False

    def _look_again(self, case: Case) -> tuple[str, str] | None:
        """Hours may have passed since the video was found: kind and reason where it cannot be run any more."""
        video = case.task.video
        try:
            status = video.path.stat()
        except OSError:
            return ("bad_input", "it was there when the run began, and is no longer")
        if not stat.S_ISREG(status.st_mode) or not status.st_size:
            return ("bad_input", "it was a video when the run began, and is empty now")
        if (status.st_size, status.st_mtime_ns) != (video.size_bytes, video.mtime_ns):
            now = replace(video, size_bytes=status.st_size, mtime_ns=status.st_mtime_ns)
            case.task = replace(case.task, video=now)
        return None

    def _settle_trouble(self, case: Case, kind: str, reason: str) -> None:
        """Settle a task that no attempt was made at."""
        if kind in ("setup", "disk_full"):
            self._stop_for(kind, reason)  # type: ignore[arg-type]  # one of these two
        state: State = "blocked" if kind in ("claimed", "foreign") else "failed"
        self._settle(case, Outcome(case.task.video, state, kind, reason, probe=case.task.probe))

    def _is_settled(self, case: Case) -> bool:
        """Look once more, now that the video is ours: another runner, or a killed one, may have done it."""
        task = case.task
        self._describe_again()
        if is_half_published(task.stage):
            complete_publishing(task.stage)
        verdict = judge_target(task.video, task.stage, self._described, self._settings)
        if verdict.kind:
            self._settle(case, Outcome(task.video, "blocked", verdict.kind, verdict.reason, probe=task.probe))
        elif not verdict.must_run or publish_whole_stage(task, self._described, self._settings):
            self._settle(case, Outcome(task.video, "up_to_date", probe=task.probe))
        else:
            return False
        return True

    def _describe_again(self) -> None:
        """Hash the script again where one of its files has changed since."""
        stamps = _stamps(self._described)
        if stamps != self._seen_files:
            self._described = self._workload.describe(self._described.root)
            self._seen_files = _stamps(self._described)

    def _start(self, case: Case, lane: Lane) -> None:
        task, settings = case.task, self._settings
        start = Start(
            attempt=case.name,
            launch=self._workload.launch(task, lane, self._described),
            log=str(self._folder.log_path(task.video)),
            timeout_s=time_limit_s(settings.timeout, task.probe.duration_s),
            grace_s=settings.grace,
            stall_s=settings.stall or None,
            memory_back_s=_MEMORY_BACK_S if self._has_gpu_alone(lane) else None,
            watches_gpu=bool(lane.device.uuid),
            cores=lane.cores,
        )
        self._idle.remove(lane)
        self._running[case.name] = Running(case, lane, time.time(), self._described)
        self._tell(AttemptStarted(task, lane, len(case.attempts) + 1))
        self._executor.start(lane, start)

    def _has_gpu_alone(self, lane: Lane) -> bool:
        """A GPU that its driver knows, and no other lane on it."""
        return bool(lane.device.uuid) and sum(other.device == lane.device for other in self._lanes) == 1

    # ---- hearing of them

    def _hear(self, event: LaneEvent) -> None:
        message = event.message
        if isinstance(message, Ready):
            return
        if isinstance(message, Lost):
            self._tell(LaneLost(event.lane, message.reason))
        running = self._running.get(message.attempt)
        if running is None:
            return
        if isinstance(message, Progress):
            task = running.case.task
            self._tell(AttemptProgress(task, running.lane, message.stage, message.share_done))
            return
        if isinstance(message, Lost):
            evidence = Evidence(declared_kind="crash", message=message.reason)
        else:
            evidence = message.evidence
            self._tell_cold(evidence.cold_reason)
        del self._running[message.attempt]
        if running.ended:  # it was --on-stop
            if trouble := on_stop.trouble(running.case.task, evidence):
                self._notice(trouble)
            self._settle_attempt(running, running.ended)
        else:
            self._ended(running, evidence)

    def _ended(self, running: Running, evidence: Evidence) -> None:
        attempt = self._conclude(running, evidence)
        if self._settings.on_stop and attempt.kind != DONE:
            self._call_on_stop(running, attempt)
        else:
            self._settle_attempt(running, attempt)

    def _call_on_stop(self, running: Running, attempt: Attempt) -> None:
        """Before anything follows: a retry must not meet what this one has left, nor be ended in its place."""
        task, lane, name = running.case.task, running.lane, f"{running.case.name} on-stop"
        self._running[name] = replace(running, ended=attempt)
        self._tell(AttemptProgress(task, lane, "--on-stop", -1.0))
        log = self._folder.log_path(task.video)
        start = on_stop.make_start(name, task, lane, running.described.root, self._settings, log)
        self._executor.start(lane, start)

    def _settle_attempt(self, running: Running, attempt: Attempt) -> None:
        case, task = running.case, running.case.task
        kind = BY_NAME.get(attempt.kind)
        case.attempts.append(attempt)
        self._idle.append(running.lane)
        self._idle.sort(key=lambda lane: lane.index)
        if attempt.kind == INTERRUPTED:
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
        for label in labels:
            self._notice(
                f"{label} fails while others succeed: it gets no more videos in this run, and what failed on it is "
                "tried on the others"
            )
            for lane in self._lanes:
                if lane.device.label == label:
                    self._queue.give_away(lane)

    def _stop_for(self, what: Literal["setup", "disk_full"], reason: str) -> None:
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

    def _conclude(self, running: Running, evidence: Evidence) -> Attempt:
        """Name the kind of end; where it is a good one, write the record and publish."""
        case = running.case
        attempt = Attempt(
            number=len(case.attempts) + 1, lane=running.lane, host=self._host, started_at=running.started_at,
            ended_at=time.time(), kind=DONE, reason="", evidence=evidence,
        )  # fmt: skip
        if evidence.cancelled or (evidence.declared_kind == "crash" and self._stop.times):
            return replace(attempt, kind=INTERRUPTED, reason="the run was interrupted")
        kind = recognise(evidence)
        if kind is None:
            problem = finish(
                case.task, running.described, (*case.attempts, attempt), self._claims,
                made_by=self._made_by, settings=self._settings,
            )  # fmt: skip
            if problem is None:
                return attempt
            evidence = replace(evidence, declared_kind=problem.kind, message=problem.reason)
            kind = recognise(evidence)
            assert kind is not None
        return replace(attempt, kind=kind.name, reason=kind.say(evidence), evidence=evidence)

    def _may_retry(self, case: Case, kind: Kind) -> bool:
        """Whether there is a try left; failures on a GPU that is out have used up none."""
        used = sum(a.kind == kind.name and not self._devices.blamed(a) for a in case.attempts[:-1])
        allowed = self._settings.retries if kind.retries is None else kind.retries
        return not self._is_ending() and used < allowed

    def _empty_stage(self, task: Task) -> None:
        if self._described.traits.resumable:
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

    def _heed_pause(self) -> None:
        """Ctrl-Z: attempts stand still with us, and go on with us."""
        if not self._stop.pause:
            return
        self._stop.pause = False
        lanes = [running.lane for running in self._running.values()]
        for lane in lanes:
            self._executor.pause(lane)
        os.kill(os.getpid(), signal.SIGSTOP)
        for lane in lanes:
            self._executor.resume(lane)


def time_limit_s(timeout: str, duration_s: float) -> float | None:
    """Seconds that ``--timeout`` allows; ``5x`` needs a length, and allows any time where there is none."""
    if not timeout:
        return None
    if timeout.endswith("x"):
        return float(timeout[:-1]) * duration_s if duration_s else None
    return float(timeout)


def _stamps(description: Description) -> list[tuple[int, int]]:
    stamps = []
    for path in description.files:
        try:
            status = path.stat()
            stamps.append((status.st_mtime_ns, status.st_size))
        except OSError:
            stamps.append((0, 0))
    return stamps
