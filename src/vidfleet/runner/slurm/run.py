"""The whole of a run on Slurm: begun, or taken up where an earlier driver has left it; with record and report."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import signal
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vidfleet.data import Lane, Outcome, Stage, Summary
from vidfleet.errors import ClaimedError, LetGoError, UsageError
from vidfleet.runner.adopt import adopt
from vidfleet.runner.claims import Claims, bury_dead
from vidfleet.runner.disk import check_room
from vidfleet.runner.events import Event, LaneJoined, LaneOut, Notice, RunEnded, RunStarted, VideoEnded
from vidfleet.runner.ledger import OWNER_NAME, Heard, Ledger, RunFolder, all_runs, read_ledger
from vidfleet.runner.lines import Reader
from vidfleet.runner.live import Live
from vidfleet.runner.order.forecast import Forecast
from vidfleet.runner.order.learnt import remember
from vidfleet.runner.owner import Owner
from vidfleet.runner.run import (
    Prepared,
    end_what_is_left,
    made_by_run,
    make_folder,
    nearest,
    note_root,
    note_unreadable,
)
from vidfleet.runner.show.progress import Display, choose_display
from vidfleet.runner.show.report import write_report
from vidfleet.runner.slurm import ending, site
from vidfleet.runner.slurm.drive import Drive
from vidfleet.runner.slurm.follow import Follower
from vidfleet.runner.slurm.jobs import Jobs
from vidfleet.runner.slurm.orders import Orders, read_orders, write_orders
from vidfleet.runner.slurm.place import Place
from vidfleet.runner.slurm.wishes import sbatch_options
from vidfleet.runner.text import plural, said
from vidfleet.runner.writing import write_whole
from vidfleet.workloads.adjusted import Adjusted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import TextIO

    from vidfleet.data import Task
    from vidfleet.runner.stopping import Stop

_LAST_WAIT_S = 20.0
"""Elements that find nothing more to do end within a second or two."""


def execute(prepared: Prepared, *, show: TextIO | None, plain: bool | None, stop: Stop) -> Summary:
    """Run what was planned, as array elements; the same command again goes on with it.

    Raises LetGoError where the elements go on without us: ``--detach``, or our own end by a signal.
    """
    prepared.executor.close()  # elements open lanes of their own
    options = sbatch_options(prepared.settings.slurm)
    site.check_commands()
    workload = prepared.workload.workload if isinstance(prepared.workload, Adjusted) else prepared.workload
    orders = Orders(
        secrets.token_hex(16), prepared.root, prepared.base, workload, prepared.settings, prepared.description.name,
        prepared.description.fingerprint,
    )  # fmt: skip
    if run := _goes_on(prepared.base, orders):
        return _TakenUp(prepared, options, show, plain, stop).go_on(run)
    return _Begun(prepared, options, show, plain, stop).begin(orders)


def _goes_on(base: Path, orders: Orders) -> RunFolder | None:
    """The last run, where it is one on Slurm that nobody has brought to its end, by the same command.

    Raises UsageError where elements of another command are at work.
    """
    last = all_runs(base)[-1:]
    if not last or not Place.of(last[0].path).path.is_dir() or last[0].has_ended():
        return None
    place = Place.of(last[0].path)
    if place.is_anothers():  # as two local runners: who works on a video is told by its claim
        return None
    place.check()
    is_at_work = any(not state.is_over for state in site.look(place.jobs_prefix))
    owner = last[0].owner()
    if not (is_at_work or place.submissions()) and owner and owner != Owner.me() and owner.alive():
        raise UsageError(
            f"process {owner.pid} is just handing in the videos of this folder: see `vidfleet status {base}`"
        )
    if is_at_work:
        place.over.unlink(missing_ok=True)
    else:
        place.touch(place.over)
    if place.stop.exists():
        if is_at_work:
            raise UsageError("the Slurm jobs over this folder are being ended: try again when they are gone")
        return None
    if place.submissions() or is_at_work:
        if read_orders(place).is_alike(orders):
            return last[0]
        if is_at_work:
            raise UsageError(
                "Slurm jobs of another command are at work over this folder: give that command again to follow them, "
                f"or end them with `vidfleet stop {base}`"
            )
    return None


@dataclass
class _Teller:
    """All that is told what happens, each thing at the time at which it happened."""

    ledger: Ledger
    live: Live
    forecast: Forecast
    display: Display | None
    at: float
    """When what is shown just now has happened."""

    def tell(self, event: Event, heard: Heard | None = None) -> None:
        self.at = heard.at if heard else time.time()
        self.ledger.write(event, heard)
        self.show(event, self.at)

    def show(self, event: Event, at: float) -> None:
        """Without the ledger, which has it already."""
        self.at = at
        self.forecast.apply(event, at)
        self.live.take(event)
        if self.display:
            self.display.show(event)

    def tick(self, now: float) -> None:
        self.live.write()
        if self.display:
            self.display.tick(now)


class _Run:
    """What both have in common."""

    def __init__(
        self, prepared: Prepared, options: tuple[str, ...], show: TextIO | None, plain: bool | None, stop: Stop
    ) -> None:
        self.prepared, self.options, self.stop = prepared, options, stop
        self._show, self._plain = show, plain
        self.started_at = time.time()

    @contextlib.contextmanager
    def telling(self, folder: RunFolder) -> Iterator[_Teller]:
        with Ledger(folder.ledger) as ledger, contextlib.closing(Live(folder.path)) as live:
            teller = _Teller(ledger, live, Forecast(), None, time.time())
            if self._show:
                teller.display = choose_display(
                    self._show, plain=self._plain, run_folder=folder.path, clock=lambda: teller.at
                )
            try:
                yield teller
            finally:
                if teller.display:
                    teller.display.close()

    @contextlib.contextmanager
    def driving(self, place: Place) -> Iterator[Claims]:
        """Be the only driver; raises UsageError where there is another."""
        folder = place.path / f"driver-{secrets.token_hex(4)}"
        folder.mkdir(mode=0o700)
        claims, stage = Claims(folder), Stage(place.path / "driver", place.path, "", place.path)
        try:
            claims.take(stage)
        except ClaimedError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise UsageError(f"this run has its driver ({error}): see it with `vidfleet status`") from error
        write_whole(place.path.parent / OWNER_NAME, Owner.me().write())
        place.tell_clock(place.path)
        try:
            with claims.beating():
                yield claims
        finally:
            claims.release_all()
            shutil.rmtree(folder, ignore_errors=True)

    def make_drive(
        self, place: Place, tasks: tuple[Task, ...], orders: Orders, follower: Follower, teller: _Teller, most: int
    ) -> Drive:
        return Drive(
            tasks, {task.video.relative: task for task in self.prepared.plan.tasks}, place=place, orders=orders,
            jobs=Jobs(place, orders, self.options), follower=follower, settings=self.prepared.settings,
            forecast=teller.forecast, tell=teller.tell, tick=teller.tick, stop=self.stop,
            most_elements=most,
        )  # fmt: skip

    def follow(self, drive: Drive, place: Place, teller: _Teller) -> float:
        """Until the end; returns when that was."""
        drive.run()
        if drive.has_let_go:
            raise LetGoError(self.parting_words("This process ends; its Slurm jobs go on."), status=self._status())
        ended_at = time.time()
        teller.tell(RunEnded(ended_at - self.started_at, drive.stopped_by))
        with contextlib.suppress(site.SlurmError):
            site.cancel(state for state in site.look(place.jobs_prefix) if state.state == "PENDING")
            if not ending.wait_for_end(place, _LAST_WAIT_S, tick=lambda: teller.tick(time.time())):
                ending.end_at_once(place)  # one that hangs holds its node for nothing
        return ended_at

    def _signal(self, drive: Drive) -> int:
        """Which one has interrupted it; `vidfleet stop` counts as SIGTERM from whatever host it came."""
        return (self.stop.signal or signal.SIGTERM) if drive.stopped_by == "interrupt" else self.stop.signal

    def _status(self) -> int:
        return 128 + self.stop.signal

    def parting_words(self, first: str) -> str:
        base = self.prepared.base
        return (
            f"{first}\n  vidfleet status {base}    how far they are\n  vidfleet stop {base}      ends them\n"
            "The same command without --detach follows them, hands in again what is lost, and ends with the report."
        )

    def summarise(
        self, folder: RunFolder, drive: Drive, settled: tuple[Outcome, ...], notices: tuple[str, ...], ended_at: float
    ) -> Summary:
        prepared = self.prepared
        mine = [outcome for outcome in settled if outcome.video.relative not in drive.outcomes]
        outcomes = tuple(sorted((*mine, *drive.outcomes.values()), key=lambda o: o.video.position))
        used = {attempt.lane.index for outcome in outcomes for attempt in outcome.attempts}
        summary = Summary(
            outcomes, folder.path, self.started_at, ended_at,
            lanes=tuple(lane for lane in drive.lanes.values() if not lane.spare or lane.index in used),
            stopped_by=drive.stopped_by, signal=self._signal(drive), notices=(*notices, *drive.notices),
        )  # fmt: skip
        remember(prepared.base, prepared.description.name, summary.outcomes)
        try:
            write_report(summary, folder.path, root=str(prepared.root), workload=prepared.description.name)
        except OSError as error:
            return replace(summary, notices=(*summary.notices, f"the report cannot be written ({said(error)})"))
        return summary


class _Begun(_Run):
    """A run that begins."""

    def begin(self, orders: Orders) -> Summary:
        prepared, plan = self.prepared, self.prepared.plan
        notices = prepared.notices + end_what_is_left(prepared)
        for stage in plan.claimed:
            bury_dead(stage)
        if not plan.tasks and not plan.adopted and all(outcome.state == "up_to_date" for outcome in plan.settled):
            note_root(prepared)
            return Summary(plan.settled, None, self.started_at, time.time(), notices=notices)
        if prepared.settings.check_disk:
            check_room(plan.tasks, prepared.description, nearest(prepared.base))
        most_elements = site.most_elements()  # the controller answers: nothing has been touched so far
        folder = make_folder(prepared)
        place = Place.of(folder.path)
        place.make()
        with self.driving(place) as claims:
            settled = (
                *plan.settled,
                *adopt(plan.adopted, prepared.description, prepared.settings, claims, made_by_run(folder)),
            )
            write_orders(place, orders)
            note_unreadable(prepared)
            with self.telling(folder) as teller:
                for text in notices:
                    teller.tell(Notice(text))
                started = RunStarted(
                    str(prepared.root), prepared.description.name, (), plan.tasks, settled, prepared.known,
                    prepared.settings.schedule,
                )  # fmt: skip
                teller.tell(started)
                reader = Reader()
                reader.begin(started)
                made = self.make_drive(place, plan.tasks, orders, Follower(place, reader), teller, most_elements)
                with contextlib.closing(made) as drive:
                    ended_at = self._hand_in_and_follow(drive, place, teller)
        return self.summarise(folder, drive, settled, notices, ended_at)

    def _hand_in_and_follow(self, drive: Drive, place: Place, teller: _Teller) -> float:
        if self.prepared.plan.tasks:
            try:
                drive.hand_in()
            except site.SlurmError as error:
                place.touch(place.stop)  # should Slurm start something all the same, it ends at once
                place.touch(place.over)
                teller.tell(RunEnded(time.time() - self.started_at, "setup"))
                raise UsageError(f"{error}\nNothing was handed in.") from error
            if self.prepared.settings.detach:
                raise LetGoError(self.parting_words(drive.handed_in), status=0)
        return self.follow(drive, place, teller)


class _TakenUp(_Run):
    """A run whose driver was killed, or has let go."""

    def go_on(self, folder: RunFolder) -> Summary:
        place = Place.of(folder.path)
        with self.driving(place):
            found = _Found(place, folder)
            self.started_at = found.started_at
            with self.telling(folder) as teller:
                orders, most = read_orders(place), site.most_elements()
                made = self.make_drive(place, found.tasks, orders, found.follower, teller, most)
                with contextlib.closing(made) as drive:
                    for outcome in found.outcomes.values():
                        drive.has_outcome(outcome)
                    drive.lanes.update(found.all_lanes)
                    self._show_where_it_is(found, teller)
                    if self.prepared.settings.detach and drive.goes_on_alone():
                        first = drive.handed_in or "Its Slurm jobs were handed in before."
                        raise LetGoError(self.parting_words(first), status=0)
                    ended_at = self.follow(drive, place, teller)
        old = {task.video.relative for task in found.tasks}
        new = [task for task in self.prepared.plan.tasks if task.video.relative not in old]
        notices = (f"{plural(len(new), 'video')} came after the run had begun: the next one does them",) if new else ()
        return self.summarise(folder, drive, self.prepared.plan.settled, (*found.notices, *notices), ended_at)

    def _show_where_it_is(self, found: _Found, teller: _Teller) -> None:
        for event, at in found.events:
            teller.forecast.apply(event, at)
        left = tuple(task for task in found.tasks if task.video.relative not in found.outcomes)
        teller.at = time.time()
        names = {task.video.relative for task in found.tasks}
        before = [outcome for outcome in self.prepared.plan.settled if outcome.video.relative not in names]
        if teller.display:
            started = RunStarted(
                str(self.prepared.root), self.prepared.description.name, found.lanes, left,
                (*before, *found.outcomes.values()), self.prepared.known, self.prepared.settings.schedule,
            )  # fmt: skip
            teller.display.show(started)
        before_us = f": {plural(len(found.outcomes), 'video')} ended before" if found.outcomes else ""
        teller.tell(Notice(f"its jobs are followed again{before_us}"))


class _Found:
    """What the ledger of an earlier driver tells."""

    def __init__(self, place: Place, folder: RunFolder) -> None:
        reader = Reader()
        self.follower = Follower(place, reader)
        self.tasks: tuple[Task, ...] = ()
        self.outcomes: dict[str, Outcome] = {}
        self.lanes: tuple[Lane, ...] = ()
        self.all_lanes: dict[int, Lane] = {}
        self.notices: list[str] = []
        self.started_at = time.time()
        self.events: list[tuple[Event, float]] = []
        for plain in read_ledger(folder.ledger):
            event = reader.read(plain)
            if event is not None:
                self.follower.has_merged(plain, event)
                self._take(event, float(plain.get("at", 0)))
                if isinstance(event, Notice) and plain.get("element"):  # an earlier driver's own are old news
                    self.notices.append(event.text)

    def _take(self, event: Event, at: float) -> None:
        self.events.append((event, at))
        match event:
            case RunStarted(_, _, _, tasks):
                self.tasks, self.started_at = tasks, at
            case VideoEnded(task, outcome):
                self.outcomes[task.video.relative] = outcome
            case LaneJoined(lane):
                self.lanes = (*self.lanes, lane)
                self.all_lanes[lane.index] = lane
            case LaneOut(lane, reason) if reason:
                self.lanes = tuple(known for known in self.lanes if known != lane)
