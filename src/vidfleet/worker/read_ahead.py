"""Has the kernel read the beginning and the end of the next video while another one runs.

So on a slow disk or file server it is there when its turn comes: the header, and the index, which many MP4 files have
at their end. It is a hint: what cannot be read is said by the attempt.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import threading

_FIRST_BYTES = 4 << 20
_LAST_BYTES = 1 << 20
_STEP_BYTES = 128 << 10
"""Linux reads no more for one call than the device's read-ahead, which is so much by default."""


class ReadAhead:
    """One file at a time, in a thread: with a file server that does not answer, to open a file may take for ever."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None

    def begin(self, path: str) -> None:
        """Begin to read ``path``; does nothing while the file before is not through."""
        if sys.platform != "linux" or (self._thread and self._thread.is_alive()):
            return
        self._thread = threading.Thread(target=read_ends, args=(path,), name="read-ahead", daemon=True)
        self._thread.start()


def read_ends(path: str) -> None:
    """Ask for the first 4 MiB and the last MiB of a regular file; returns before they are there, raises nothing."""
    with contextlib.suppress(OSError, ValueError):
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                return
            first_end = min(status.st_size, _FIRST_BYTES)
            last_start = max(status.st_size - _LAST_BYTES, first_end)
            for start in (*range(0, first_end, _STEP_BYTES), *range(last_start, status.st_size, _STEP_BYTES)):
                os.posix_fadvise(file, start, _STEP_BYTES, os.POSIX_FADV_WILLNEED)
        finally:
            os.close(file)
