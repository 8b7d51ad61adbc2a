"""The whole of a run, from a folder to a summary."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import vidfleet
from vidfleet.data import Lane, Outcome, Summary
from vidfleet.errors import SetupError, UsageError, VidfleetError
from vidfleet.executors.base import Executor, Ground, check_machines, make_executor
from vidfleet.options import checked
from vidfleet.runner.adopt import adopt
from vidfleet.runner.claims import COMMON_NAME, Claims, bury_dead
from vidfleet.runner.discover import discover
from vidfleet.runner.disk import check_room
from vidfleet.runner.events import Event, Notice, RunEnded, RunStarted
from vidfleet.runner.execute import Execution
from vidfleet.runner.finish import is_disk_full, remember_unreadable
from vidfleet.runner.ledger import Ledger, RunFolder
from vidfleet.runner.live import Live
from vidfleet.runner.on_stop import check as check_on_stop
from vidfleet.runner.on_stop import stop_left
from vidfleet.runner.order.foretold import Foretold
from vidfleet.runner.order.learnt import read_learnt, remember
from vidfleet.runner.order.timing import Known
from vidfleet.runner.places import stage_of
from vidfleet.runner.plan import Plan, judge, make_plan
from vidfleet.runner.provenance import MadeBy
from vidfleet.runner.roots import remember_root
from vidfleet.runner.show.progress import Display, choose_display
from vidfleet.runner.show.report import write_report
from vidfleet.runner.show.show_plan import forecast_of, outlasting_in_run, write_plan
from vidfleet.runner.stopping import Stop
from vidfleet.runner.sweep import dead_runs, end_leftovers, remember_swept
from vidfleet.runner.text import plural, said
from vidfleet.settings import RunSettings
from vidfleet.worker.lanes import Lanes, share_cores
from vidfleet.workloads.adjusted import Adjusted
from vidfleet.workloads.base import Description, Workload

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TextIO

    from vidfleet.data import Video


_VIDEOS_LOOKED_AT = 3
_FILES_LOOKED_AT = 8
"""The script is the first."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run that could begin; nothing was touched for it."""

    root: Path
    workload: Workload
    description: Description
    settings: RunSettings
    executor: Executor
    lanes: tuple[Lane, ...]
    plan: Plan
    notices: tuple[str, ...]
    known: tuple[Known, ...] = ()
    """What earlier runs have shown of how long videos take."""

    @property
    def first_lanes(self) -> tuple[Lane, ...]:
        """Without the spare ones, of which nobody knows yet whether they will be used."""
        return tuple(lane for lane in self.lanes if not lane.spare)

    @property
    def base(self) -> Path:
        """Where everything of the run lies: the root, or ``--output``."""
        return (self.settings.output or self.root).absolute()


def run(
    root: str | os.PathLike[str],
    workload: Workload,
    *,
    settings: RunSettings | None = None,
    show: TextIO | None = None,
    plain: bool | None = None,
    stop: Stop | None = None,
) -> Summary:
    """Run ``workload`` on every video below ``root`` that is not done yet.

    ``show`` is a stream for the progress display (nothing: no display); ``stop`` lets another thread or a signal
    handler end the run. Raises UsageError and SetupError before anything was touched.
    """
    return execute(prepare(root, workload, settings=settings), show=show, plain=plain, stop=stop)


def prepare(root: str | os.PathLike[str], workload: Workload, *, settings: RunSettings | None = None) -> Prepared:
    """Find the videos and plan the run; what ``--dry-run`` prints."""
    settings = checked(settings or RunSettings())
    check_machines(settings)
    check_on_stop(settings)
    if not os.fspath(root):
        raise UsageError("the folder with the videos has an empty name")
    top = Path(os.path.abspath(root))  # noqa: PTH100 - keeps symbolic links, as outputs land beside them
    found = discover(top, settings)
    if settings.only == "failed" and not settings.retry_failed:
        raise UsageError("--only failed and --no-retry-failed leave nothing to run")
    workload = Adjusted(workload, settings.depends, settings.resume_stage)
    description = workload.describe(top)
    is_on_slurm = settings.executor == "slurm"
    executor = make_executor(replace(settings, executor="local") if is_on_slurm else settings)
    lanes = Lanes(()) if is_on_slurm else executor.lanes(settings)  # its nodes have theirs
    base = (settings.output or top).absolute()
    known = read_learnt(base, description.name)
    plan = make_plan(found.videos, description, settings, known)
    notices = (*found.notices, *lanes.notices, *description.notices, *plan.notices)
    return Prepared(top, workload, description, settings, executor, lanes.lanes, plan, notices, known)


def execute(
    prepared: Prepared,
    *,
    show: TextIO | None = None,
    plain: bool | None = None,
    stop: Stop | None = None,
) -> Summary:
    """Run what was planned."""
    if prepared.settings.executor == "slurm":
        from vidfleet.runner.slurm.run import execute as execute_on_slurm

        return execute_on_slurm(prepared, show=show, plain=plain, stop=stop or Stop())
    started_at, plan = time.time(), prepared.plan
    notices = prepared.notices + end_what_is_left(prepared)
    for stage in plan.claimed:
        bury_dead(stage)
    if not plan.tasks and not plan.adopted and all(outcome.state == "up_to_date" for outcome in plan.settled):
        note_root(prepared)
        prepared.executor.close()
        return Summary(plan.settled, None, started_at, time.time(), notices=notices)
    if prepared.settings.check_disk:
        check_room(plan.tasks, prepared.description, nearest(prepared.base))
    folder = make_folder(prepared)
    claims, made_by, foretold = Claims(folder.path), made_by_run(folder), Foretold(started_at)
    settled = (*plan.settled, *adopt(plan.adopted, prepared.description, prepared.settings, claims, made_by))
    note_unreadable(prepared)
    stop = stop or Stop()
    with _listening(show, plain, folder, foretold) as listeners:
        for text in notices:
            listeners.tell(Notice(text))
        execution = _work(prepared, folder, settled, claims=claims, made_by=made_by, listeners=listeners, stop=stop)
        ended_at = time.time()
        listeners.tell(RunEnded(ended_at - started_at, execution.stopped_by))
    outcomes = tuple(sorted((*settled, *_look_again(execution.outcomes, prepared)), key=lambda o: o.video.position))
    trouble = (f"the ledger is not whole: {listeners.ledger.trouble}",) if listeners.ledger.trouble else ()
    summary = Summary(
        outcomes, folder.path, started_at, ended_at, lanes=_used(execution.roster.ever, outcomes),
        stopped_by=execution.stopped_by, signal=stop.signal, notices=(*notices, *execution.notices, *trouble),
        foretold_s=None if execution.stopped_by else foretold.after_first_fifth_s(ended_at - started_at),
    )  # fmt: skip
    remember(prepared.base, prepared.description.name, summary.outcomes)
    try:
        write_report(summary, folder.path, root=str(prepared.root), workload=prepared.description.name)
    except OSError as error:  # a full disk: what was done is done, and told on the screen
        return replace(summary, notices=(*summary.notices, f"the report cannot be written ({said(error)})"))
    return summary


def _needed(prepared: Prepared) -> tuple[Lane, ...]:
    """The lanes that get a video at all, the fastest; what the others would have of the cores, these get.

    In round-robin all, as each video has a lane of its own; and all where a lane may help another's video.
    """
    lanes, count = prepared.lanes, max(len(prepared.plan.tasks), 1)
    needs_all = prepared.settings.schedule == "round-robin" or prepared.description.traits.shares
    if needs_all or count >= len(lanes):
        return lanes
    fastest = sorted(sorted(lanes, key=forecast_of(prepared).slowness)[:count], key=lambda lane: lane.index)
    is_here = not any(lane.device.host for lane in fastest)
    return share_cores(fastest, prepared.settings) if is_here else tuple(fastest)


def _ground(prepared: Prepared, folder: RunFolder) -> Ground:
    """What other machines have to see: this run's claim, which has a random word in it, a few videos, the script."""
    token = folder.path / COMMON_NAME
    videos = tuple((task.video.path, task.video.size_bytes) for task in prepared.plan.tasks[:_VIDEOS_LOOKED_AT])
    files = tuple(path for path in prepared.description.files[:_FILES_LOOKED_AT] if path.is_file())
    return Ground(prepared.root, prepared.base, token, token.read_bytes(), videos, files)


def _open(prepared: Prepared, lanes: tuple[Lane, ...], folder: RunFolder) -> tuple[Lane, ...]:
    try:
        return prepared.executor.open(lanes, folder.id, _ground(prepared, folder))
    except VidfleetError:  # a run that never began shall not be taken for the last one
        shutil.rmtree(folder.path, ignore_errors=True)
        raise


def _used(lanes: Sequence[Lane], outcomes: tuple[Outcome, ...]) -> tuple[Lane, ...]:
    """All lanes, of the spare ones those that had an attempt, or helped."""
    attempts = [attempt for outcome in outcomes for attempt in outcome.attempts]
    used = {item.lane.index for attempt in attempts for item in (attempt, *attempt.helpers)}
    return tuple(lane for lane in lanes if not lane.spare or lane.index in used)


def _started(prepared: Prepared, lanes: tuple[Lane, ...], settled: tuple[Outcome, ...]) -> RunStarted:
    return RunStarted(
        str(prepared.root), prepared.description.name, lanes, prepared.plan.tasks, settled, prepared.known,
        prepared.settings.schedule,
    )  # fmt: skip


def nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def make_folder(prepared: Prepared) -> RunFolder:
    """Make the run's folder, with its plan in it; raises UsageError or SetupError where it cannot be made."""
    try:
        folder = RunFolder.create(prepared.base)
    except OSError as error:
        if is_disk_full(error):
            raise SetupError(
                f"there is no room left in {prepared.base} ({error.strerror})\n"
                "Free some, or write elsewhere with --output DIR."
            ) from error
        raise UsageError(
            f"{prepared.base} cannot be written ({error.strerror})\n"
            "Mirror the outputs somewhere else with --output DIR."
        ) from error
    write_plan(prepared, folder.path)
    note_root(prepared)
    return folder


def note_root(prepared: Prepared) -> None:
    """Also of a run that has nothing to do: its root may have been moved, and its outputs are still its own."""
    if prepared.settings.output:
        remember_root(prepared.base, prepared.root)


def end_what_is_left(prepared: Prepared) -> tuple[str, ...]:
    """What a killed run has left running holds memory and GPUs; a sentence where there was any."""
    dead = dead_runs(prepared.base)
    ended = end_leftovers(dead)
    stopped = stop_left(dead, _every_video(prepared.plan), prepared.root, prepared.settings)
    remember_swept(dead)
    told = []
    if ended:
        told.append(f"ended what a killed run had left running: {ended} process{'es' if ended > 1 else ''}")
    if stopped:
        told.append(f"--on-stop was run for {plural(stopped, 'attempt')} of a killed run")
    return tuple(told)


def _every_video(plan: Plan) -> Iterator[Video]:
    yield from (task.video for task in (*plan.tasks, *plan.adopted))
    yield from (outcome.video for outcome in plan.settled)


def note_unreadable(prepared: Prepared) -> None:
    """So that ``--only failed`` and ``--no-retry-failed`` know of them too."""
    for outcome in prepared.plan.settled:
        if outcome.kind == "bad_input" and not outcome.video.no_file:
            remember_unreadable(stage_of(outcome.video, prepared.root, prepared.settings), outcome.reason)


def made_by_run(folder: RunFolder) -> MadeBy:
    """What records say of how they were made."""
    return MadeBy({"version": vidfleet.__version__, "run": folder.id, "command": shlex.join(sys.argv)})


@dataclass(frozen=True, slots=True)
class _Listeners:
    """All that is told what happens."""

    ledger: Ledger
    live: Live
    foretold: Foretold
    display: Display | None

    def tell(self, event: Event) -> None:
        self.foretold.take(event, time.time())
        self.ledger.write(event)
        self.live.take(event)
        if self.display:
            self.display.show(event)

    def tick(self, now: float) -> None:
        self.live.write()
        self.foretold.tick(now)
        if self.display:
            self.display.tick(now)


@contextlib.contextmanager
def _listening(show: TextIO | None, plain: bool | None, folder: RunFolder, foretold: Foretold) -> Iterator[_Listeners]:
    display = choose_display(show, plain=plain, run_folder=folder.path) if show else None
    with Ledger(folder.ledger) as ledger, contextlib.closing(Live(folder.path)) as live:
        try:
            yield _Listeners(ledger, live, foretold, display)
        finally:
            if display:
                display.close()


def _work(
    prepared: Prepared, folder: RunFolder, settled: tuple[Outcome, ...], *, claims: Claims, made_by: MadeBy,
    listeners: _Listeners, stop: Stop,
) -> Execution:  # fmt: skip
    """Open the lanes, work, and leave nothing running whatever happens."""
    tasks, executor, lanes = prepared.plan.tasks, prepared.executor, _needed(prepared)
    stop.arm(executor.wake)
    execution = None
    try:
        if tasks:
            lanes = _open(prepared, lanes, folder)
        listeners.tell(_started(prepared, lanes, settled))
        shares = bool(prepared.description.traits.shares)
        if alone := outlasting_in_run(listeners.foretold.forecast, shares=shares):
            listeners.tell(Notice(alone))
        execution = Execution(
            tasks, lanes, workload=prepared.workload, description=prepared.description,
            executor=executor, settings=prepared.settings, claims=claims, folder=folder, tell=listeners.tell,
            tick=listeners.tick, stop=stop, made_by=made_by,
            proven=any(o.state == "up_to_date" for o in prepared.plan.settled),
            forecast=listeners.foretold.forecast, base=prepared.base,
        )  # fmt: skip
        if tasks:
            with claims.beating():
                execution.run()
        return execution
    finally:
        executor.close()
        claims.release_all()
        if execution:
            execution.room.keep()


def _look_again(outcomes: list[Outcome], prepared: Prepared) -> Iterator[Outcome]:
    """A video that another runner had claimed may be done by now."""
    for outcome in outcomes:
        if outcome.kind == "claimed":
            stage = stage_of(outcome.video, prepared.root, prepared.settings)
            verdict = judge(outcome.video, stage, prepared.description, prepared.settings)
            if not verdict.must_run and not verdict.kind:
                yield Outcome(outcome.video, "up_to_date", probe=outcome.probe)
                continue
        yield outcome
