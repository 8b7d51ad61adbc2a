"""What a killed run may have left running is ended by the next one.

Everything below a lane carries a mark with its run's name in its environment. A run whose lanes and runner were
killed at once, and whose scripts had moved processes to sessions of their own, leaves some with nobody above them.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from vidfleet.runner.ledger import OWNER_NAME, all_runs
from vidfleet.worker.family import MARK

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import psutil

    from vidfleet.runner.ledger import RunFolder

_SWEPT = "swept"
"""A file in a run's folder: all that it left has been ended."""
_ROUNDS = 5
_SLACK_S = 5.0


def dead_runs(base: Path) -> list[RunFolder]:
    """Runs over this root on this host that were killed, and that nobody has looked after yet.

    Nearly free where every earlier run has ended in order.
    """
    return [run for run in all_runs(base) if _died(run)]


def end_leftovers(dead: Sequence[RunFolder]) -> int:
    """End processes of dead runs; returns how many there were."""
    return end_marked({run.id: _started_at(run) for run in dead}) if dead else 0


def remember_swept(dead: Sequence[RunFolder]) -> None:
    """Note that nothing is left of these runs."""
    for run in dead:
        with contextlib.suppress(OSError):
            (run.path / _SWEPT).touch()


def _died(run: RunFolder) -> bool:
    """Whether a run on this host was killed, and nobody has looked after it yet."""
    if (run.path / _SWEPT).exists() or run.has_ended() or run.may_go_on_alone() or not (owner := run.owner()):
        return False
    return owner.alive() is False


def _started_at(run: RunFolder) -> float:
    """Nothing that it started is older than its owner's file."""
    try:
        return (run.path / OWNER_NAME).stat().st_mtime
    except OSError:
        return float("inf")


def end_marked(runs: dict[str, float]) -> int:
    """SIGKILL all of this user that carry a mark of these runs, again until nothing new is found."""
    import psutil

    ended: set[int] = set()
    for _ in range(_ROUNDS):
        found = set()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if _belongs(process, runs):
                    process.kill()
                    found.add(process.pid)
        if not found:
            break
        ended |= found
        time.sleep(0.02)
    return len(ended)


def _belongs(process: psutil.Process, runs: dict[str, float]) -> bool:
    """By mark, user and start time."""
    if process.pid == os.getpid() or process.uids().real != os.getuid():
        return False
    run = process.environ().get(MARK, "").partition(":")[0]
    return run in runs and process.create_time() >= runs[run] - _SLACK_S and process.status() != "zombie"
