"""One array element, on its node: ``python -m vidfleet.runner.slurm.element FOLDER WORD FIRST INDEX``.

It runs ``runner/execute.py`` on the lanes that Slurm has given it, over its share of the videos. Told by Slurm that its
time is over, it ends in order and has itself put back into the queue.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import vidfleet
from vidfleet.data import Probe, Stage, Task
from vidfleet.errors import SetupError, VidfleetError
from vidfleet.executors.base import Ground, make_executor
from vidfleet.runner.claims import COMMON_NAME, Claims
from vidfleet.runner.events import AttemptEnded, LaneLost, Notice, RunEnded, RunStarted, VideoEnded
from vidfleet.runner.execute import Execution
from vidfleet.runner.failures import BY_NAME, DONE
from vidfleet.runner.ledger import LEDGER_NAME, Ledger
from vidfleet.runner.order.forecast import Forecast
from vidfleet.runner.order.learnt import read_learnt
from vidfleet.runner.provenance import MadeBy
from vidfleet.runner.reading import open_regular
from vidfleet.runner.slurm import site
from vidfleet.runner.slurm.feed import Feed
from vidfleet.runner.slurm.orders import read_orders, run_folder
from vidfleet.runner.slurm.place import FRUITLESS, REFUSED, ElementStart, Place
from vidfleet.runner.stopping import Stop
from vidfleet.runner.sweep import end_marked
from vidfleet.worker.affinity import usable_cores
from vidfleet.worker.lanes import make_lanes
from vidfleet.workloads.adjusted import Adjusted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vidfleet.data import Lane, Outcome
    from vidfleet.runner.events import Event
    from vidfleet.runner.slurm.orders import Orders
    from vidfleet.workloads.base import Description

_MOST_FRUITLESS = 5
_VIDEOS_LOOKED_AT = 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run one element; what it says here goes to a file in the run's folder."""
    folder, word, first, index = (sys.argv[1:] if argv is None else argv)[:4]
    stop = Stop()
    signal.signal(signal.SIGTERM, lambda number, _: stop.ask(number))
    signal.signal(signal.SIGUSR1, lambda *_: stop.ask(signal.SIGTERM, drain=True))
    place, share = Place(Path(folder)), int(first) + int(index)
    try:
        element = Element(place, word, share, stop)
        status = element.run()
    except KeyboardInterrupt:  # before its lanes were open
        status = 128 + signal.SIGTERM
    except VidfleetError as error:
        sys.stderr.write(f"{node()}: {str(error).splitlines()[0]}\n")  # what to do about it is not done on a node
        return REFUSED
    if stop.times and not stop.drain:
        return _put_back(place, share) or status
    return status


def node() -> str:
    """What Slurm calls this machine."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


class Element:
    """One start of one element."""

    def __init__(self, place: Place, word: str, share: int, stop: Stop) -> None:
        place.check()
        self._place, self._share, self._stop = place, share, stop
        self._orders = read_orders(place)
        if self._orders.word != word:
            raise SetupError(f"{place.path} is another folder here than where the run was started")
        self._started_at = time.time()
        self._forecast = Forecast()
        self._bad_in_a_row = 0
        self._has_succeeded = False

    def run(self) -> int:
        """Work until nothing is left to take, or somebody ends it; returns the exit status."""
        if self._place.stop.exists():  # it was just being started when somebody ended the run
            return 0
        orders = self._orders
        description = Adjusted(orders.workload, orders.settings.depends, orders.settings.resume_stage).describe(
            orders.root
        )
        self._check_alike(description)
        folder = self._make_folder()
        lanes, notices = _lanes(orders)
        claims = Claims(folder)
        feed = Feed(self._place, orders, self._share, claims=claims, description=description, batch=len(lanes))
        tasks, outcomes = feed.own()
        self._check_root(tasks)
        with Ledger(folder / LEDGER_NAME) as ledger:

            def tell(event: Event) -> None:
                if self._stop.is_asked and isinstance(event, Notice | LaneLost):
                    return  # Slurm signals our workers as well: nobody need hear of each
                self._forecast.apply(event, time.time())
                self._heed(event, feed)
                ledger.write(_seen_from_afar(event) if isinstance(event, RunStarted) else event)

            known = read_learnt(orders.base, description.name)
            tell(
                RunStarted(str(orders.root), description.name, lanes, tuple(tasks), (), known, orders.settings.schedule)
            )
            for text in notices:
                tell(Notice(text))
            for outcome in outcomes:
                ledger.write(VideoEnded(_named(outcome), outcome))
            stopped_by = self._work(tasks, lanes, claims, feed, description, folder, tell)
            tell(RunEnded(time.time() - self._started_at, stopped_by))
        return {"": 0, "interrupt": 128 + signal.SIGTERM}.get(stopped_by, 3)

    def _work(
        self, tasks: list[Task], lanes: tuple[Lane, ...], claims: Claims, feed: Feed, description: Description,
        folder: Path, tell: Callable[[Event], None],
    ) -> str:  # fmt: skip
        orders, run = self._orders, run_folder(self._place)
        executor = make_executor(replace(orders.settings, executor="local"))
        workload = Adjusted(orders.workload, orders.settings.depends, orders.settings.resume_stage)
        made_by = MadeBy({"version": vidfleet.__version__, "run": run.id, "command": f"slurm element {folder.name}"})
        self._stop.arm(executor.wake)
        stopped_by = ""
        try:
            token = folder / COMMON_NAME
            ground = Ground(orders.root, orders.base, token, token.read_bytes(), ())
            executor.open(lanes, f"{run.id}/{folder.name}", ground)
            with claims.beating():
                tasks = tasks or feed.more(is_pressing=True)
                while tasks and not stopped_by and not self._stop.is_asked:
                    execution = Execution(
                        tuple(tasks), lanes, workload=workload, description=description, executor=executor,
                        settings=orders.settings, claims=claims, folder=run, tell=tell, tick=lambda _: None,
                        stop=self._stop, made_by=made_by, proven=self._has_succeeded, forecast=self._forecast,
                        base=orders.base, more=feed.more,
                    )  # fmt: skip
                    execution.run()
                    execution.room.keep()
                    stopped_by = execution.stopped_by
                    tasks = [] if stopped_by else feed.more(is_pressing=True)
        finally:
            executor.close()
            claims.release_all()
        return stopped_by or ("interrupt" if self._stop.is_asked else "")

    def _heed(self, event: Event, feed: Feed) -> None:
        """A node on which one video after the other fails, as a GPU of it is broken, must not take others' videos."""
        if isinstance(event, AttemptEnded):
            kind = BY_NAME.get(event.attempt.kind)
            if event.attempt.kind == DONE:
                self._bad_in_a_row, self._has_succeeded = 0, True
            elif kind and kind.blames_device:
                self._bad_in_a_row += 1
            feed.is_cut_off = self._bad_in_a_row >= self._orders.settings.quarantine

    def _check_alike(self, description: Description) -> None:
        if (description.name, description.fingerprint) != (self._orders.name, self._orders.fingerprint):
            raise SetupError(
                f"what would run here is not what the run was planned with: {description.name} or a file that it "
                "depends on is another one on this node"
            )

    def _check_root(self, tasks: list[Task]) -> None:
        """Raise SetupError where the videos of our share are not those that were planned."""
        root, since = self._orders.root, self._place.orders.stat().st_mtime
        looked = tasks[:_VIDEOS_LOOKED_AT]
        if not root.is_dir() or (looked and not any(_is_there(task, since) for task in looked)):
            raise SetupError(f"{root} is not here, or another folder than where the run was started")

    def _make_folder(self) -> Path:
        """That of this start; one more where Slurm counts a start twice."""
        start = int(os.environ.get("SLURM_RESTART_COUNT") or 0)
        marks = {f"{run_folder(self._place).id}/{ElementStart(self._share, n).name}": 0.0 for n in range(start)}
        if marks:  # what an earlier start left running on this node holds memory and GPUs
            end_marked(marks)
        while True:
            folder = self._place.element(ElementStart(self._share, start))
            try:
                folder.mkdir(mode=0o700)
            except FileExistsError:
                start += 1
            else:
                self._place.tell_clock(folder)
                return folder


def _named(outcome: Outcome) -> Task:
    """A task that is told of by its name alone."""
    place = Path()
    return Task(outcome.video, Stage(place, place, "", place), outcome.probe or Probe(0.0, 1, 0, 0, ""))


def _seen_from_afar(event: RunStarted) -> RunStarted:
    """As our ledger has it: the driver knows the videos, but not where our lanes are."""
    lanes = tuple(replace(lane, device=replace(lane.device, host=node())) for lane in event.lanes)
    return replace(event, lanes=lanes, tasks=())


def _is_there(task: Task, since: float) -> bool:
    """Whether a video is the one that was planned, or was changed or taken away since the run began.

    ``since`` is that time by the file server's clock. A file that was changed, and a folder out of which one was taken,
    have a later time of their own; another folder under the same path has not.
    """
    path = task.video.path
    try:
        status = path.stat()
        is_same = (status.st_size, status.st_mtime_ns) == (task.video.size_bytes, task.video.mtime_ns)
        return is_same or status.st_ctime >= since
    except OSError:
        with contextlib.suppress(OSError):
            return not path.is_symlink() and path.parent.stat().st_ctime >= since
    return False


def _lanes(orders: Orders) -> tuple[tuple[Lane, ...], tuple[str, ...]]:
    """The lanes of what Slurm has given us of this node."""
    settings = orders.settings
    given = int(os.environ.get("SLURM_CPUS_ON_NODE") or 0)
    is_bound = not given or len(usable_cores()) <= given
    made = make_lanes(settings)
    lanes = made.lanes[: settings.lanes]
    if not is_bound:  # the site counts cores and binds nobody to them: we keep to our number ourselves
        if lanes[0].device.kind == "cpu" and not settings.devices:
            lanes = lanes[:given]
        first = sum(not lane.spare for lane in lanes)
        lanes = tuple(replace(lane, threads=max(1, given // max(first, 1)), cores=()) for lane in lanes)
    return lanes, made.notices


def _put_back(place: Place, share: int) -> int:
    """Have Slurm start us again, where it was Slurm that ended us; an exit status where that is of no use."""
    job = os.environ.get("SLURM_JOB_ID", "")
    if place.stop.exists() or not job or site.state_of(job) != "RUNNING":  # cancelled, or ended by `vidfleet stop`
        return 0
    if _is_fruitless(place, share):
        sys.stderr.write(f"{_MOST_FRUITLESS} starts have not ended one video: the time limit may be too short\n")
        return FRUITLESS
    sys.stderr.write(f"{node()}: told to make way; it goes on when Slurm has room again\n")
    sys.stderr.flush()
    site.requeue(job)
    return 0


def _is_fruitless(place: Place, share: int) -> bool:
    """Whether the last starts have not ended a single video."""
    last = [start for start in place.starts() if start.share == share][-_MOST_FRUITLESS:]
    return len(last) == _MOST_FRUITLESS and not any(_has_done(place.element(start)) for start in last)


def _has_done(folder: Path) -> bool:
    try:
        with open_regular(folder / LEDGER_NAME) as file:
            return b'"state":"done"' in file.read()
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
