"""What a process must not have when it forks: the fork would have half of it.

A thread stops existing in the fork with all that it holds; a device, a socket, a pipe or a file that is written would
be shared by all videos of the lane, as would memory that is shared with other processes.
"""

from __future__ import annotations

import fcntl
import os
import signal
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_HARMLESS = {(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0)}
"""null, zero, full, random, urandom, tty, by their numbers."""
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)


def trouble(own: set[int]) -> str:
    """Why it is not safe to fork, as the end of a sentence; nothing where it is. ``own`` files are ours."""
    if len(os.listdir("/proc/self/task")) > 1:
        return "starts a thread"
    if signal.getsignal(signal.SIGCHLD) not in (signal.SIG_DFL, None):  # the end of a fork would not reach us
        return "handles SIGCHLD"
    if any(signal.getitimer(timer)[0] for timer in _TIMERS):  # no fork has it, and it would ring here
        return "sets an alarm"
    for fd, target in _files(own):
        said = _file_trouble(fd, target)
        if said:
            return said
    return ""


def deep_trouble(own: set[int]) -> str:
    """:func:`trouble`, and what takes longer to see and can only come with a module: children, shared memory."""
    said = trouble(own)
    if said:
        return said
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", "rb") as file:
            if file.read().split():
                return "leaves a process running"
    except OSError:  # a kernel that does not list them
        pass
    with open("/proc/self/maps", "rb") as file:
        for line in file:
            words = line.split(None, 5)
            if words[1].startswith(b"rw") and words[1].endswith(b"s"):
                what = words[5].strip().decode("ascii", "replace") if len(words) > 5 else ""
                return f"shares memory with other processes ({what or 'no name'})"
    return ""


def standard_streams() -> list[tuple[int, int] | None]:
    """What stands behind the standard streams, by its device's number and its own; nothing where one is closed."""
    found: list[tuple[int, int] | None] = []
    for fd in (0, 1, 2):
        try:
            status = os.fstat(fd)
            found.append((status.st_dev, status.st_ino))
        except OSError:
            found.append(None)
    return found


def open_files() -> Iterator[tuple[int, int]]:
    """Files and folders that are open beside the standard streams, with their flags; all are only read."""
    for fd, _ in _files(set()):
        mode = os.fstat(fd).st_mode
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
            yield fd, fcntl.fcntl(fd, fcntl.F_GETFL) & ~(os.O_CREAT | os.O_EXCL | os.O_TRUNC)


def _files(own: set[int]) -> Iterator[tuple[int, str]]:
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        if fd > 2 and fd not in own:
            try:
                yield fd, os.readlink("/proc/self/fd/" + name)
            except OSError:  # it was the listing's own
                continue


def _file_trouble(fd: int, target: str) -> str:
    status = os.fstat(fd)
    mode = status.st_mode
    if stat.S_ISDIR(mode):
        return ""
    if stat.S_ISREG(mode):
        writes = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
        return f"keeps a file open for writing ({target})" if writes else ""
    if stat.S_ISCHR(mode) and (os.major(status.st_rdev), os.minor(status.st_rdev)) in _HARMLESS:
        return ""
    if stat.S_ISSOCK(mode):
        return "opens a socket"
    return "opens a pipe" if stat.S_ISFIFO(mode) else "opens " + target
