"""The arrays that were submitted for a run: handed in, looked at, and which of their elements have died."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vidfleet.runner.slurm import site
from vidfleet.runner.slurm.orders import write_share
from vidfleet.runner.slurm.place import NO_PYTHON, NO_RUN_FOLDER, NO_WORKING_FOLDER, Submission
from vidfleet.runner.slurm.site import JobState
from vidfleet.runner.slurm.wishes import LEAD_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vidfleet.data import Task
    from vidfleet.runner.slurm.orders import Orders
    from vidfleet.runner.slurm.place import Place

_UNSEEN_S = 60.0
"""An element that was just handed in counts as alive although squeue does not show it yet."""


@dataclass(frozen=True, slots=True)
class Death:
    """An element that will not run any more."""

    share: int
    state: JobState | None
    """What Slurm last said of it."""

    @property
    def was_cancelled(self) -> bool:
        """Whether somebody has ended it by scancel."""
        return self.state is not None and self.state.state == "CANCELLED"


class Jobs:
    """All elements of a run."""

    def __init__(self, place: Place, orders: Orders, options: Sequence[str]) -> None:
        self._place, self._orders, self._options = place, orders, options
        self._submissions = place.submissions()
        self._states: dict[int, JobState] = {}
        self._handed_in: dict[int, float] = {}
        """When each share was, by our monotonic clock; those of an earlier driver long ago."""
        self._buried = {share for each in self._submissions for share in each.instead_of}
        self.excluded = {node for each in self._submissions for node in each.excluded.split(",") if node}
        """Nodes that have shown to be of no use."""

    # ---- handing in

    @property
    def next_share(self) -> int:
        """The number of the first share of the next array; none is given twice, also where sbatch has failed."""
        return max([-1, *self._place.shares()]) + 1

    def submit(self, shares: Sequence[Sequence[Task]], *, instead_of: Sequence[int] = ()) -> int:
        """Write the shares down and hand an array in that works on them; returns the job's number.

        ``instead_of`` are shares of dead elements. Raises SlurmError.
        """
        first = self.next_share
        for number, tasks in enumerate(shares, first):
            write_share(self._place, number, tasks)
        name = f"{self._place.jobs_prefix}{first}"
        try:
            script = batch_script(self._place, self._orders.word, first)
            job = site.submit(script, self._all_options(), name=name, count=len(shares))
        except site.SlurmError:
            taken = self._taken_all_the_same(name)
            if taken is None:
                raise
            job = taken
        self._place.over.unlink(missing_ok=True)
        self._add(Submission(job, first, len(shares), ",".join(sorted(self.excluded)), tuple(instead_of)))
        self._place.remember(self._submissions)
        return job

    def _taken_all_the_same(self, name: str) -> int | None:
        """The number of a job whose sbatch has failed: a busy controller may have taken it, and answered too late."""
        with contextlib.suppress(site.SlurmError):
            return next((state.job for state in site.look(name) if state.name == name and not state.is_over), None)
        return None

    def _add(self, made: Submission) -> None:
        self._submissions.append(made)
        for share in range(made.first, made.first + made.count):
            self._handed_in[share] = time.monotonic()

    def _all_options(self) -> list[str]:
        excluded = sorted(self.excluded)
        options = [f"--signal=B:TERM@{LEAD_S}"]
        for option in self._options:
            if option.startswith("--exclude="):
                excluded.append(option.partition("=")[2])
            else:
                options.append(option)
        return [*options, f"--exclude={','.join(excluded)}"] if excluded else options

    # ---- looking

    def look(self) -> list[Death]:
        """Ask Slurm; returns the elements that have ended since the last look. Raises SlurmError."""
        states = {self._share_of(state): state for state in site.look(self._place.jobs_prefix)}
        vanished = self._vanished(states)
        self._states.update({share: state for share, state in states.items() if share >= 0})
        self._find_unwritten(states)
        stuck = [state for state in states.values() if state.is_stuck]
        if stuck:
            site.cancel(stuck)
        deaths = []
        for share in self._shares():
            state = states.get(share)
            gone = state is None and time.monotonic() - self._handed_in.get(share, -_UNSEEN_S) >= _UNSEEN_S
            state = state or vanished.get(share)
            if share not in self._buried and (gone or (state is not None and (state.is_over or state.is_stuck))):
                self._buried.add(share)
                deaths.append(Death(share, state or self._states.get(share)))
        return deaths

    def _vanished(self, states: dict[int, JobState]) -> dict[int, JobState]:
        """Elements that waited when they were last seen: one that is cancelled then is not shown any more."""
        return {
            share: replace(state, state="CANCELLED")
            for share, state in self._states.items()
            if share not in states and state.state == "PENDING"
        }

    def _share_of(self, state: JobState) -> int:
        first = state.name.removeprefix(self._place.jobs_prefix)
        return int(first) + state.index if first.isdecimal() else -1

    def _find_unwritten(self, states: dict[int, JobState]) -> None:
        """A driver that was killed while it submitted has not written down what."""
        for share, state in states.items():
            first = share - state.index
            was_refused = state.is_over and not state.node  # Slurm shows what it has refused as a job that failed
            if share >= 0 and not was_refused and all(each.first != first for each in self._submissions):
                count = sum(other.job == state.job for other in states.values())
                self._submissions.append(Submission(state.job, first, count))

    def _shares(self) -> list[int]:
        return [share for each in self._submissions for share in range(each.first, each.first + each.count)]

    @property
    def alive(self) -> list[int]:
        """Shares whose elements run, or will."""
        return [share for share in self._shares() if share not in self._buried]

    @property
    def goes_on(self) -> bool:
        """Whether one of them is not just being ended."""
        return any(share not in self._states or self._states[share].state != "COMPLETING" for share in self.alive)

    @property
    def states(self) -> list[JobState]:
        """What Slurm last said of those."""
        return [self._states[share] for share in self.alive if share in self._states]

    @property
    def numbers(self) -> list[int]:
        """The numbers of all arrays."""
        return [each.job for each in self._submissions]

    def end(self, share: int) -> None:
        """End one element. Raises SlurmError."""
        site.cancel(state for number, state in self._states.items() if number == share)

    def waiting(self) -> str:
        """Why elements wait, in Slurm's words, where none runs; empty where one does."""
        states = self.states
        if not states or any(state.state != "PENDING" for state in states):
            return ""
        return ", ".join(sorted({state.reason for state in states if state.reason != "None"}))


def batch_script(place: Place, word: str, first: int) -> bytes:
    """What Slurm starts on a node: it looks whether the node sees what we see, and becomes our Python.

    As the interpreter takes the shell's place, Slurm's signals to the batch script come to us.
    """
    folder, python = shlex.quote(str(place.path)), shlex.quote(sys.executable)
    lines = [
        "#!/bin/sh",
        f"cd {shlex.quote(os.getcwd())} || exit {NO_WORKING_FOLDER}",  # noqa: PTH109 - as it was written
        f"[ -d {folder} ] && [ -w {folder} ] || exit {NO_RUN_FOLDER}",
        f"[ -x {python} ] || exit {NO_PYTHON}",
        (
            f"exec {python} -m vidfleet.runner.slurm.element {folder} {shlex.quote(word)} {first}"
            f' "$SLURM_ARRAY_TASK_ID" >>{folder}/$(({first} + SLURM_ARRAY_TASK_ID)).txt 2>&1'
        ),
    ]
    return os.fsencode("\n".join(lines) + "\n")
