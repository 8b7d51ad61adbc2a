"""Memory of this machine: no more attempts at a time than fit, and one fewer where it runs short all the same.

As GNU parallel's ``--memfree`` does: with less than so much available nothing new begins, and with less than half of it
the youngest attempt is ended and runs again later. That is no failure. One attempt may always run.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from vidfleet.runner.text import size
from vidfleet.worker.memory import host_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vidfleet.data import Attempt
    from vidfleet.runner.order.queue import Running
    from vidfleet.worker.memory import HostMemory

_DEFAULT_SHARE = 0.05
_DEFAULT_LEAST_BYTES, _DEFAULT_MOST_BYTES = 256 << 20, 16 << 30
_BETWEEN_LOOKS_S, _BETWEEN_LOOKS_NEAR_S = 1.0, 0.1
_NEAR = 4
"""With less available than so many times what is kept free, it is looked at more often: a second takes gigabytes."""
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_QUIET_ENDS = 2
"""After so many attempts' ends for each that may run, without want of memory, one more is tried."""
_SECOND_GRACE_S = 1.0


class Headroom:
    """How many attempts the memory of this machine bears."""

    def __init__(
        self, memfree: str, peak_bytes: int, say: Callable[[str], None],
        ask: Callable[[], HostMemory | None] = host_memory,
    ) -> None:  # fmt: skip
        now = ask()
        self._ask, self._say = ask, say
        self._floor_bytes = floor_bytes(memfree, now.total_bytes) if now else 0
        self._room_bytes = now.available_bytes - self._floor_bytes if now else 0
        """What there was for attempts when the run began."""
        self._available_bytes = now.available_bytes if now else 0
        self._peak_bytes = 0
        self._kept_peak_bytes = peak_bytes
        self._most: int | None = None
        """No more at a time than this: more have been too many."""
        self._quiet_ends = 0
        self._gives_way = ""
        """The attempt that was told to end, until it has."""
        self._told: set[int] = set()
        """What was said: numbers that fit, 0 for want of memory."""
        self.next_look = time.monotonic() + _BETWEEN_LOOKS_S if self._floor_bytes else float("inf")
        """When to call :meth:`look`, by the monotonic clock."""

    @property
    def peak_bytes(self) -> int:
        """The most that one attempt of this run held; of earlier runs while none has ended."""
        return self._peak_bytes or self._kept_peak_bytes

    def may_begin(self, running: int) -> bool:
        """Whether one more may begin beside so many that run."""
        if not running or not self._floor_bytes:
            return True
        if self._available_bytes < self._floor_bytes:
            if 0 not in self._told:
                self._told.add(0)
                free = f"{size(self._available_bytes)} of memory are free, and {size(self._floor_bytes)} are kept free"
                self._say(f"{free} (--memfree): nothing new begins beside what runs until there are more")
            return False
        if self._gives_way or running >= (self._most or running + 1):
            return False
        fit = self._room_bytes // self.peak_bytes if self.peak_bytes else running + 1
        fit = max(fit, 1)
        if running + 1 > fit and fit not in self._told:
            self._told.add(fit)
            self._say(
                f"{fit} at a time: one takes up to {size(self.peak_bytes)} of memory, and "
                f"{size(max(self._room_bytes, 0))} are there for them"
            )
        return running + 1 <= fit

    def bears(self, running: int) -> bool:
        """Whether so many at a time fit, as far as that is known."""
        if running <= 1 or not self._floor_bytes:
            return True
        fit = max(self._room_bytes // self.peak_bytes, 1) if self.peak_bytes else running
        return running <= min(self._most or running, fit)

    def look(self, running: Sequence[Running]) -> Running | None:
        """See how much is available; the attempt that has to give way, where it is too little for all that run."""
        self.next_look = time.monotonic() + _BETWEEN_LOOKS_S
        memory = self._ask()
        if memory is None or not self._floor_bytes:
            return None
        available = self._available_bytes = memory.available_bytes
        self._room_bytes = max(self._room_bytes, available - self._floor_bytes)  # others have let go of theirs
        if available < _NEAR * self._floor_bytes:
            self.next_look = time.monotonic() + _BETWEEN_LOOKS_NEAR_S
        if available < self._floor_bytes:
            self._quiet_ends = 0
        if available >= self._floor_bytes / 2 or len(running) < 2 or self._gives_way:
            return None
        youngest = max(running, key=lambda item: (bool(item.helps), item.started_at))  # help is lost at least cost
        if youngest.ended:
            return None  # --on-stop
        self._gives_way = youngest.name
        if self._most is None:  # said once: what else gives way stands in its own line
            self._say(
                f"memory is short ({size(available)} left): the youngest attempt is ended and runs again later, and "
                "fewer run at a time for now"
            )
        self._most = len(running) - 1
        return youngest

    def ended(self, name: str, attempt: Attempt, running: int) -> None:
        """An attempt has ended beside so many others."""
        self._peak_bytes = max(self._peak_bytes, attempt.evidence.peak_memory_bytes)
        if name == self._gives_way:
            self._gives_way = ""
            if self._floor_bytes and (memory := self._ask()):
                self._available_bytes = memory.available_bytes
        elif attempt.kind == "host_memory":  # the kernel was faster
            self._most, self._quiet_ends = max(running, 1), 0
        elif self._most is not None:
            self._quiet_ends += 1
            if self._quiet_ends >= _QUIET_ENDS * self._most:
                self._most, self._quiet_ends = self._most + 1, 0


def grace_s(grace: float) -> float:
    """Between SIGTERM and SIGKILL of an attempt that gives way: the others need its memory now."""
    return min(grace, _SECOND_GRACE_S)


def floor_bytes(memfree: str, total_bytes: int) -> int:
    """What ``--memfree`` keeps free; 0: nothing is watched."""
    if not memfree:
        share = int(_DEFAULT_SHARE * total_bytes)
        return min(max(share, _DEFAULT_LEAST_BYTES), _DEFAULT_MOST_BYTES, total_bytes // 2)
    if memfree.endswith("%"):
        return int(float(memfree[:-1]) / 100 * total_bytes)
    unit = _UNITS.get(memfree[-1].upper())
    return int(float(memfree[:-1]) * unit) if unit else int(float(memfree))
