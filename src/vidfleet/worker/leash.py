"""What ends an attempt when the worker that started it is killed, without any code in the attempt's own process.

The parent-death signal has to be asked for by the new process itself, between fork and exec. That takes a whole fork
of this interpreter: 1.1 ms more for each video than a start that shares memory until exec (2.2 against 1.1 ms for
``cp``). So the worker holds both ends of a pipe, and has told the kernel to signal the attempt's process group when
something happens at the reading end: nothing is ever written, so that is when the writing end is closed, and this
process, which alone has it, is gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys


class Leash:
    """Holds one process group at a time; what it holds gets SIGKILL when this process dies, however it dies (Linux).

    The signal is sent only where the writing end goes before the reading end, and in which order a dying process
    closes its files is the kernel's affair (since 4.3 mostly the last first). So there are two pipes: in one of them
    the writing end has the higher number, in the other the lower one.
    """

    def __init__(self) -> None:
        self._fds: list[int] = []
        self._ends: tuple[int, ...] = ()
        if sys.platform != "linux":
            return
        low, writing = os.pipe()
        other, writing_too = os.pipe()
        reading = fcntl.fcntl(other, fcntl.F_DUPFD_CLOEXEC, writing_too + 1)
        os.close(other)
        self._fds, self._ends = [low, writing, reading, writing_too], (low, reading)
        for end in self._ends:
            fcntl.fcntl(end, fcntl.F_SETSIG, signal.SIGKILL)
            fcntl.fcntl(end, fcntl.F_SETFL, fcntl.fcntl(end, fcntl.F_GETFL) | os.O_ASYNC)

    def hold(self, group: int) -> None:
        """Hold this process group, and no longer the one before."""
        for end in self._ends:
            with contextlib.suppress(OSError):  # it is gone already
                fcntl.fcntl(end, fcntl.F_SETOWN, -group)

    def close(self) -> None:
        """Let go: what is held goes on living. The reading ends go first, which signals nobody."""
        for fd in (*self._ends, *(fd for fd in self._fds if fd not in self._ends)):
            os.close(fd)
        self._fds, self._ends = [], ()
