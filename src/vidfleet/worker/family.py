"""A process and everything that it started: how to find it all, and how to end it all.

Linux gives three means, and all three are used. A *child subreaper* inherits orphans, so that what left its
group or session is still a descendant. The *parent-death signal* ends a process with the thread that started
it; for attempts a *leash* does, which is cheaper (``leash.py``). A *mark* in the environment tells whose a process
is when all of its ancestors are gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path

MARK = "VIDFLEET_MARK"
"""The environment variable that everything below a lane carries."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Make this process the one that orphaned descendants fall to (Linux; elsewhere nothing happens)."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Have this process get a signal when the thread that started it ends (Linux)."""
    _prctl(_PR_SET_PDEATHSIG, number)


def has_children() -> bool:
    """Whether this process has a child, after taking leave of those that have exited."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True


def end_descendants(*, within_s: float = 2.0) -> int:
    """SIGKILL all that this process started, again until nothing is left; returns how many were ended.

    What does not go within ``within_s`` (a process in an uninterruptible call of a broken disk or driver) is
    left to the kernel: the signal is with it.
    """
    ended: set[int] = set()
    patience = time.monotonic() + within_s
    while has_children():
        alive = descendants(0)
        end_all(alive)
        ended.update(alive)
        if time.monotonic() > patience:
            break
        time.sleep(0.002)
    return len(ended)


def end_orphans(keep: int, *, within_s: float = 2.0) -> int:
    """SIGKILL all that fell to this process, and what is below it, but for the child ``keep`` and its own.

    Returns how many were ended. Takes no leave of ``keep``. Linux only.
    """
    ended: set[int] = set()
    patience = time.monotonic() + within_s
    while orphans := children(os.getpid()) - {keep}:
        for pid in orphans:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        alive = {pid for orphan in children(os.getpid()) - {keep} for pid in _with_descendants(orphan)}
        end_all(alive)
        ended |= alive
        if time.monotonic() > patience:
            break
        if alive:
            time.sleep(0.002)
    return len(ended)


def _with_descendants(pid: int) -> set[int]:
    return {pid}.union(*map(_with_descendants, children(pid)))


def end_marked(mark: str) -> int:
    """SIGKILL every process of this user that carries ``mark``; returns how many there were."""
    import psutil

    ended = 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                process.kill()
                ended += 1
    return ended


def cpu_seconds(pid: int) -> float:
    """Processor time that a process and its living descendants have used so far."""
    import psutil

    used = 0.0
    with contextlib.suppress(psutil.Error):
        first = psutil.Process(pid)
        for process in (first, *first.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                used += times.user + times.system
    return used


def is_below(pid: int) -> bool:
    """Whether a process descends from this one, orphans that fell to it included."""
    import psutil

    with contextlib.suppress(psutil.Error):
        return any(process.pid == os.getpid() for process in psutil.Process(pid).parents())
    return False


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped by a signal."""
    import psutil

    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    except psutil.Error:
        return False


def descendants(pid: int) -> set[int]:
    """Everything below a process, and below this one what is not that process: its orphans fall to us."""
    if sys.platform == "linux" and not children(pid) and children(os.getpid()) <= {pid}:
        return set()  # the usual case, without a look at every process
    import psutil  # it costs 20 ms to import

    with contextlib.suppress(psutil.Error):
        return {child.pid for child in psutil.Process().children(recursive=True)} - {pid}
    return set()


def end_all(pids: set[int]) -> int:
    """SIGKILL these processes; returns how many were there."""
    ended = 0
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
            ended += 1
    return ended


def children(pid: int) -> set[int]:
    """A process's direct children, as Linux lists them by thread."""
    found: set[int] = set()
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found.update(map(int, (task / "children").read_bytes().split()))
    return found


def _prctl(operation: int, value: int) -> None:
    if sys.platform == "linux":
        _LIBC.prctl(operation, value, 0, 0, 0)


_LIBC = ctypes.CDLL(None, use_errno=True)
