"""What an attempt's processes are together, looked at once a second: their memory, and the cores that they keep to.

Memory is what each has for itself and the most that one of them shares (libraries, files, shared memory): pages that
forks have in common count for each. The kernel's exact count (``smaps_rollup``) takes 10 ms a gigabyte; this one takes
0.05 ms a process.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from vidfleet.worker.family import children

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIRST_LOOK_S, _BETWEEN_LOOKS_S = 0.5, 1.0
_MOST_SHARE = 0.005
"""Of a core: with hundreds of processes or threads it looks less often."""


class TreeWatch:
    """One attempt's; made as it starts. Linux only: elsewhere there is nothing to look at."""

    def __init__(self, cores: tuple[int, ...]) -> None:
        self._cores = frozenset(cores)
        self.next_look = time.monotonic() + _FIRST_LOOK_S if sys.platform == "linux" else float("inf")
        """When to call :meth:`look`, by the monotonic clock."""
        self.peak_bytes = 0
        """The most that they were seen to hold together."""

    def look_if_due(self, *, apart: int = 0) -> None:
        """:meth:`look`, where it is time."""
        if time.monotonic() >= self.next_look:
            self.look(apart=apart)

    def look(self, *, apart: int = 0) -> None:
        """See what all processes below this one hold, and bring back threads that left the lane's cores.

        ``apart`` is a process of which the attempt is a fork, or that stays beside it: its memory does not count.

        ONNX Runtime counts the machine's cores and ties a thread to each, whatever the process was allowed.
        """
        began = time.process_time()
        own_bytes = most_shared_bytes = 0
        for pid in _below(os.getpid()):
            resident, shared = _resident(pid) if pid != apart else (0, 0)
            own_bytes += resident - shared
            most_shared_bytes = max(most_shared_bytes, shared)
            if self._cores:
                _keep_to(self._cores, pid)
        self.peak_bytes = max(self.peak_bytes, own_bytes + most_shared_bytes)
        took_s = time.process_time() - began
        self.next_look = time.monotonic() + max(_BETWEEN_LOOKS_S, took_s / _MOST_SHARE)


def _below(pid: int) -> Iterator[int]:
    for child in children(pid):
        yield child
        yield from _below(child)


def _resident(pid: int) -> tuple[int, int]:
    """Bytes of a process that are in memory, and of these such as others may have too."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        words = Path(f"/proc/{pid}/statm").read_bytes().split()
        return int(words[1]) * _PAGE, int(words[2]) * _PAGE
    return 0, 0


def _keep_to(cores: frozenset[int], pid: int) -> None:
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - names, not paths
            with contextlib.suppress(OSError):
                if not os.sched_getaffinity(int(thread)) <= cores:
                    os.sched_setaffinity(int(thread), cores)


_PAGE = os.sysconf("SC_PAGE_SIZE")
