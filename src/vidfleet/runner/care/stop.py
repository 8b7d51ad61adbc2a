"""``vidfleet stop``: ask the runner that works on a root to end, from another terminal."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vidfleet.runner.ledger import all_runs
from vidfleet.runner.text import printable

if TYPE_CHECKING:
    from vidfleet.runner.ledger import RunFolder
    from vidfleet.runner.owner import Owner

DRAIN = signal.SIGUSR1
"""What a runner takes for: no new work, let what runs finish."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked of whom."""

    was_asked: bool
    words: str


def stop_runs(root: Path, *, drain: bool) -> list[Asked]:
    """Signal every runner of this host that works on ``root``; one entry for each that works on it.

    Of a run on Slurm the elements are ended, from whatever host; its driver, if there is one, sees that.
    """
    asked = []
    for run in all_runs(root):
        if (ended := _end_elements(run, drain=drain)) is not None:
            asked.append(ended)
        elif run.is_running() and (owner := run.owner()) is not None:
            asked.append(_ask(owner, run.ledger, drain=drain))
    return asked


def _end_elements(run: RunFolder, *, drain: bool) -> Asked | None:
    if not run.may_go_on_alone():
        return None
    from vidfleet.runner.slurm import outside

    ended = outside.stop(run, drain=drain)
    return Asked(*ended) if ended else None


def _ask(owner: Owner, ledger: Path, *, drain: bool) -> Asked:
    who = f"process {owner.pid} on {printable(owner.host)}"
    if owner.alive() is None:
        flag = " --drain" if drain else ""
        return Asked(False, f"the runner is {who}, which is not here: run `vidfleet stop{flag}` there")
    with ExitStack() as closing:
        handle = -1
        try:
            if sys.platform == "linux":
                # The handle names this very process, even if its number is given to another one in the next moment.
                handle = os.pidfd_open(owner.pid)
                closing.callback(os.close, handle)
            if not _writes(owner.pid, ledger):
                return Asked(False, f"{who} works on the folder that this one is a copy of: it was left alone")
            number = _understood(owner.pid, (DRAIN,) if drain else (signal.SIGINT, signal.SIGTERM))
            if not owner.alive():
                return Asked(False, f"{who} has just ended by itself")
            if number is None:
                return Asked(False, f"{who} does not listen yet, or is of an older version: it was left alone")
            if handle >= 0:
                signal.pidfd_send_signal(handle, number)
            else:
                os.kill(owner.pid, number)
        except ProcessLookupError:
            return Asked(False, f"{who} has just ended by itself")
        except PermissionError:
            return Asked(False, f"{who} belongs to another user")
    what = "no new videos; what runs is let finish" if drain else "no new videos; what runs gets its --grace to end"
    return Asked(True, f"asked {who}: {what}")


def _writes(pid: int, ledger: Path) -> bool:
    """Whether a process has this very ledger open, as a runner has; also where nobody can tell."""
    try:
        here = ledger.stat()
        opened = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:  # not begun yet, not Linux, or another user's
        return True
    for path in opened:
        with suppress(OSError):
            if os.path.samestat(path.stat(), here):
                return True
    return False


def _understood(pid: int, wanted: tuple[signal.Signals, ...]) -> signal.Signals | None:
    """The first of these signals that the process has a handler for.

    Without one, SIGUSR1 would kill it; and SIGINT is ignored by what a script has put in the background.
    """
    if sys.platform != "linux":
        return wanted[0]
    for line in Path(f"/proc/{pid}/status").read_text("utf-8", "replace").splitlines():
        if line.startswith("SigCgt:"):
            caught = int(line.split()[1], 16)
            return next((number for number in wanted if caught >> (number - 1) & 1), None)
    return None
