"""A run on Slurm seen by those who are not its driver: ``vidfleet status``, ``report``, ``stop``."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from vidfleet.errors import VidfleetError
from vidfleet.runner.events import RunEnded, RunStarted, VideoEnded
from vidfleet.runner.ledger import read_ledger
from vidfleet.runner.lines import Reader, to_events
from vidfleet.runner.slurm import ending, site
from vidfleet.runner.slurm.follow import Follower, is_final
from vidfleet.runner.slurm.place import Place
from vidfleet.runner.text import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vidfleet.runner.events import Event
    from vidfleet.runner.ledger import RunFolder

_HARD_END_S = 60.0
"""Sites give a process 30 s between SIGTERM and SIGKILL."""
_SLOW_S = 30.0
"""Beside ``--grace``: for stages to be left in order, and for Slurm to notice."""


def told(run: RunFolder) -> Iterator[tuple[float, Event]]:
    """A run's events: its ledger, and what elements have told since that nobody has merged into it yet.

    One that nobody follows has ended when all its videos have, or when `vidfleet stop` has ended it.
    """
    place = Place.of(run.path)
    if not place.path.is_dir():
        yield from to_events(read_ledger(run.ledger))
        return
    reader, watch = Reader(), _Watch()
    follower = Follower(place, reader)
    for plain in read_ledger(run.ledger):
        event = reader.read(plain)
        if event is not None:
            follower.has_merged(plain, event)
            yield watch.take(event, float(plain.get("at", 0)))
    if run.has_ended():
        return
    try:
        heard = follower.poll()
    except OSError:  # another user's: its folder is not ours to read
        return
    for _, event, at in heard:
        if isinstance(event, VideoEnded) and not (event.task.video.relative in watch.open and is_final(event.outcome)):
            continue
        yield watch.take(event, at.at)
    owner = run.owner()
    if owner is None or owner.alive() is not True:
        yield from watch.end(place)


class _Watch:
    """What is still to come of a run."""

    def __init__(self) -> None:
        self.open: set[str] = set()
        """Videos without an outcome."""
        self._began = self._last = 0.0

    def take(self, event: Event, at: float) -> tuple[float, Event]:
        match event:
            case RunStarted(_, _, _, tasks):
                self._began, self.open = at, {task.video.relative for task in tasks}
            case VideoEnded(task):
                self.open.discard(task.video.relative)
        self._last = max(self._last, at)
        return at, event

    def end(self, place: Place) -> Iterator[tuple[float, Event]]:
        """Nothing, where it may go on."""
        is_stopped = place.stop.exists() and place.over.exists()
        if self._began and (is_stopped or not self.open):
            yield self._last, RunEnded(self._last - self._began, "interrupt" if self.open else "")


def look(run: RunFolder) -> str:
    """What Slurm has of a run that has not ended, in words; empty where there is nothing, or nobody can be asked.

    Notes where nothing is left.
    """
    place = Place.of(run.path)
    if not run.may_go_on_alone() or run.has_ended() or not shutil.which("squeue"):
        return ""
    try:
        place.check()
        states = site.look(place.jobs_prefix)
    except VidfleetError:
        return ""
    going = [state for state in states if not state.is_over]
    if not going:
        owner = run.owner()
        if owner is None or owner.alive() is False:
            place.touch(place.over)
        return ""
    numbers = ", ".join(map(str, sorted({state.job for state in going})))
    waiting = [state.reason for state in going if state.state == "PENDING"]
    why = ", ".join(sorted(set(waiting) - {"None", ""}))
    told = f"Slurm job {numbers}: {plural(len(going) - len(waiting), 'element')} running, {len(waiting)} waiting"
    return f"{told} ({why})" if why else told


def stop(run: RunFolder, *, drain: bool) -> tuple[bool, str] | None:
    """Have a run's elements end, and wait for that unless they may drain; nothing where it has none.

    Whether they were asked, and in words what came of it.
    """
    from vidfleet.runner.slurm.orders import read_orders

    place = Place.of(run.path)
    if not run.may_go_on_alone() or run.has_ended():
        return None
    if place.is_anothers():
        return False, "its Slurm jobs are another user's, who alone can end them"
    try:
        place.check()
        site.check_commands()
        count = ending.ask_to_end(place, drain=drain)
        if not count:
            place.touch(place.over)
            return None
        who = plural(count, "Slurm array element")
        if drain:
            return True, f"asked {who}: no new videos; what runs is let finish"
        grace_s = read_orders(place).settings.grace
        if ending.wait_for_end(place, grace_s + _SLOW_S):
            return True, f"ended {who}"
        ending.end_at_once(place)
        is_over = ending.wait_for_end(place, _HARD_END_S)
        return True, f"ended {who} at once, as they did not end in time" if is_over else f"{who} do not end: see squeue"
    except VidfleetError as error:
        return False, str(error).splitlines()[0]
