"""A GPU's memory while an attempt runs on it: the most that the attempt held, and whether it is back afterwards."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from vidfleet.worker.family import is_below
from vidfleet.worker.gpus.base import LITTLE_BYTES

if TYPE_CHECKING:
    from vidfleet.worker.gpus import Gpus

_FIRST_LOOK_S = 0.5
_BETWEEN_LOOKS_S = 2.0


class GpuWatch:
    """One attempt's; made before it starts."""

    def __init__(self, gpus: Gpus, visible: str) -> None:
        self._gpus, self._visible = gpus, visible
        memory = gpus.memory(visible)
        self._before_bytes = memory.used_bytes if memory else None
        self.next_look = time.monotonic() + _FIRST_LOOK_S
        """When to call :meth:`look`, by the monotonic clock."""
        self.peak_bytes = 0
        """The most that processes below this one were seen to hold."""

    def look(self) -> None:
        """See what they hold now."""
        memory = self._gpus.memory(self._visible)
        if memory:
            held = sum(size for pid, size in memory.by_process.items() if is_below(pid))
            self.peak_bytes = max(self.peak_bytes, held)
        self.next_look = time.monotonic() + _BETWEEN_LOOKS_S

    def is_back(self) -> bool:
        """Whether memory is where it was before, as far as that can be told; a little more does not matter."""
        memory = self._gpus.memory(self._visible)
        if self._before_bytes is None or memory is None:
            return True
        return memory.used_bytes <= self._before_bytes + LITTLE_BYTES
