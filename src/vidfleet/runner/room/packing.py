"""How many attempts share a GPU, where the user leaves it to us: ``--per-gpu auto``.

It begins with one. As long as one more fits into the GPU's memory, one more is tried; where that is not clearly faster
(``gain.py``), it is taken back, and so it stays. GPUs of one kind and size learn from each other. What was found is
kept for the next run (``gate.py``).
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vidfleet.data import Lane
from vidfleet.runner.failures import DONE
from vidfleet.runner.room.gain import Took, enough, gain, is_faster
from vidfleet.runner.text import size
from vidfleet.worker.gpus import installed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vidfleet.data import Attempt, Task
    from vidfleet.worker.gpus import Gpus

_MARGIN = 1.10
"""What attempts hold is seen every two seconds only, and no video is quite like the last."""
_MOST_SHORT = 0.05
"""Where one of the others was missing for more than this share of an attempt's time, it says nothing of a full GPU."""
_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Found:
    """What was found for one kind of GPU."""

    at_once: int
    gain: float
    """Its work a second, in terms of one at a time."""
    peak_bytes: int
    """The most that one attempt was seen to hold of the GPU's memory; 0 where nothing tells."""
    settled: bool = True
    """More have been tried, or cannot be; else the run ended before that was known."""


@dataclass(slots=True)
class _Gpu:
    """One GPU, and who is on it."""

    lanes: list[Lane] = field(default_factory=list)
    busy: set[int] = field(default_factory=set)
    """Indices of lanes."""
    base_bytes: int = 0
    """In use before the first attempt."""
    total_bytes: int = 0
    short_s: float = 0.0
    """How long there was one fewer on it than may be."""
    short_since: float | None = None

    def has_been_short_s(self, now: float) -> float:
        return self.short_s + (now - self.short_since if self.short_since is not None else 0.0)


@dataclass(slots=True)
class _Flight:
    """An attempt under way."""

    cost: float
    changes: int
    """How often the number at a time had changed when it began."""
    short_s: float
    began_at: float
    most_beside: int = 1
    """The most that ran at a time on its GPU meanwhile, itself included."""


@dataclass(slots=True)
class _Kind:
    """GPUs of one kind and size, and what they have shown."""

    gpus: list[_Gpu] = field(default_factory=list)
    most: int = 1
    at_once: int = 1
    proven: int = 1
    """The number that was last found to pay."""
    settled: bool = False
    changes: int = 0
    peak_bytes: int = 0
    tells_whose: bool = False
    """The driver tells what an attempt holds: there is no need to go by all that is in use."""
    took: dict[int, list[Took]] = field(default_factory=lambda: defaultdict(list))
    """Number at a time → what videos took."""
    gain: float = 1.0
    """Of ``at_once``, in terms of one at a time."""

    @property
    def room_bytes(self) -> float:
        """What others leave, on the fullest of them."""
        told = [gpu.total_bytes - gpu.base_bytes for gpu in self.gpus if gpu.total_bytes]
        return min(told, default=math.inf)

    def fits(self, at_once: int) -> bool:
        return self.peak_bytes * at_once * _MARGIN <= self.room_bytes

    @property
    def name(self) -> str:
        """``gpu:0``, or ``gpu:0 gpu:1 gpu:2 and 5 more``."""
        labels = [gpu.lanes[0].label for gpu in self.gpus]
        more = len(labels) - _MOST_NAMED
        return " ".join(labels[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


class Packing:
    """The gate in front of each GPU that has spare lanes; others it leaves alone."""

    def __init__(
        self, lanes: Sequence[Lane], say: Callable[[str], None], kept: Mapping[str, Found], gpus: Gpus | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._say, self._clock = say, clock
        self._kinds: dict[str, _Kind] = {}
        self._of: dict[str, tuple[_Kind, _Gpu]] = {}
        """By the label of the GPU."""
        self._flights: dict[int, _Flight] = {}
        self._loaded: set[int] = set()
        """Lanes that have had an attempt."""
        packed = {lane.device.label for lane in lanes if lane.spare}
        self._driver = (gpus or installed()) if packed else None
        for lane in lanes:
            if lane.device.label in packed:
                self._add(lane)
        for name, kind in self._kinds.items():
            kind.most = max(len(gpu.lanes) for gpu in kind.gpus)
            self._begin(kind, kept.get(name))

    def _add(self, lane: Lane) -> None:
        if lane.device.label not in self._of:
            assert self._driver is not None
            memory = self._driver.memory(lane.device.visible) if lane.device.uuid else None
            total = memory.total_bytes if memory else 0
            gpu = _Gpu(base_bytes=memory.used_bytes if memory else 0, total_bytes=total)
            kind = self._kinds.setdefault(f"{lane.device.name or 'GPU'}, {total >> 20} MiB", _Kind())
            kind.gpus.append(gpu)
            self._of[lane.device.label] = kind, gpu
        self._of[lane.device.label][1].lanes.append(lane)

    def _begin(self, kind: _Kind, found: Found | None) -> None:
        if found is None:
            return
        kind.peak_bytes = found.peak_bytes
        if found.at_once <= kind.most and kind.fits(found.at_once):
            kind.at_once = kind.proven = found.at_once
            kind.gain, kind.settled = found.gain, found.settled
            so_far = "" if found.settled else " so far"
            self._say(f"{kind.name}: {found.at_once} at a time, as an earlier run has found{so_far}")

    # ---- the gate

    def packs(self, lane: Lane) -> bool:
        """Whether a lane is on a GPU of which it is to be found out how many it bears."""
        return lane.device.label in self._of

    def is_open(self, lane: Lane) -> bool:
        """Whether a lane gets videos at all, as things stand."""
        if lane.device.label not in self._of:
            return True
        kind, gpu = self._of[lane.device.label]
        return lane in gpu.lanes[: kind.at_once]

    def may_begin(self, lane: Lane) -> bool:
        """Whether a lane may begin one now: what runs on lanes that were closed meanwhile counts too."""
        if lane.device.label not in self._of:
            return True
        kind, gpu = self._of[lane.device.label]
        return self.is_open(lane) and len(gpu.busy) < kind.at_once

    def share(self, lane: Lane) -> int:
        """How many share the cores of a lane now."""
        return self._of[lane.device.label][0].at_once if lane.device.label in self._of else 1

    # ---- what happens

    def began(self, lane: Lane, task: Task) -> None:
        """A lane has begun a video."""
        if lane.device.label not in self._of:
            return
        kind, gpu = self._of[lane.device.label]
        now = self._clock()
        gpu.busy.add(lane.index)
        if len(gpu.busy) >= kind.at_once:
            gpu.short_s, gpu.short_since = gpu.has_been_short_s(now), None
        self._flights[lane.index] = _Flight(task.cost, kind.changes, gpu.short_s, now)
        for index in gpu.busy:
            flight = self._flights[index]
            flight.most_beside = max(flight.most_beside, len(gpu.busy))

    def look(self) -> bool:
        """See how much of each GPU is in use, as in containers the driver may not tell whose it is.

        False: nothing is left to be found out.
        """
        for kind, gpu in self._of.values():
            if gpu.total_bytes and gpu.busy and self._driver and not (kind.settled or kind.tells_whose):
                memory = self._driver.memory(gpu.lanes[0].device.visible)
                more = memory.used_bytes - gpu.base_bytes if memory else 0
                kind.peak_bytes = max(kind.peak_bytes, more // len(gpu.busy))
        return not all(kind.settled or kind.tells_whose for kind in self._kinds.values())

    def ended(self, attempt: Attempt, *, stays: bool) -> bool:
        """A lane's attempt has ended; True where it failed for the company that it had: then it is not its fault.

        ``stays``: its lane keeps what it has loaded, so the first video of a lane says little of the next.
        """
        lane = attempt.lane
        flight = self._flights.pop(lane.index, None)
        if flight is None:
            return False
        kind, gpu = self._of[lane.device.label]
        now = self._clock()
        short_s = gpu.has_been_short_s(now) - flight.short_s
        gpu.busy.discard(lane.index)
        if gpu.short_since is None and len(gpu.busy) < kind.at_once:
            gpu.short_since = now
        kind.peak_bytes = max(kind.peak_bytes, attempt.evidence.peak_gpu_memory_bytes)
        kind.tells_whose = kind.tells_whose or attempt.evidence.peak_gpu_memory_bytes > 0
        if attempt.kind == "gpu_memory":
            return flight.most_beside > 1 and self._too_many(kind, flight.most_beside)
        first = lane.index not in self._loaded
        self._loaded.add(lane.index)
        if attempt.kind != DONE or kind.settled or flight.changes != kind.changes or (first and stays):
            return False
        if attempt.helpers:  # on other GPUs, too: it says nothing of what this one can do
            return False
        if short_s <= _MOST_SHORT * (now - flight.began_at):
            kind.took[kind.at_once].append(Took(flight.cost, attempt.seconds))
            self._judge(kind)
        return False

    # ---- what follows

    def _judge(self, kind: _Kind) -> None:
        """Take one more at a time, or one fewer, or stay, or wait for more videos."""
        here, before = kind.took[kind.at_once], kind.took[kind.at_once - 1]
        if not before:  # the first number of this run
            if len(here) < enough(kind.at_once):
                return
        else:
            faster = is_faster(before, kind.at_once - 1, here, kind.at_once)
            if faster is None:
                return
            ratio = gain(before, kind.at_once - 1, here, kind.at_once)[0]
            if not faster:
                tried = kind.at_once
                self._change(kind, tried - 1)
                self._settle(kind, f"{tried} do {ratio:.2f} times the work of {tried - 1}")
                return
            kind.gain *= ratio
            kind.proven = kind.at_once
        if kind.at_once == kind.most:
            self._settle(kind, f"more than {kind.most} are not tried")
        elif not kind.fits(kind.at_once + 1):
            self._settle(kind, "one more would not fit")
        else:
            self._change(kind, kind.at_once + 1)

    def _change(self, kind: _Kind, at_once: int) -> None:
        kind.at_once = at_once
        kind.changes += 1
        now = self._clock()
        for gpu in kind.gpus:
            gpu.short_s, gpu.short_since = gpu.has_been_short_s(now), None
            if len(gpu.busy) < at_once:
                gpu.short_since = now

    def _settle(self, kind: _Kind, why: str) -> None:
        kind.settled = True
        got = f", {kind.gain:.1f} times the work of one" if kind.at_once > 1 else ""
        used = kind.peak_bytes * kind.at_once
        memory = f"; {size(used)} of {size(kind.gpus[0].total_bytes)}" if used and kind.gpus[0].total_bytes else ""
        each = " on each" if len(kind.gpus) > 1 else ""
        self._say(f"{kind.name}: {kind.at_once} at a time{each}{got}{memory} ({why})")

    def _too_many(self, kind: _Kind, beside: int) -> bool:
        """So many were too many for its memory; never that many again."""
        kind.most = min(kind.most, beside - 1)
        if kind.at_once > kind.most:
            self._change(kind, kind.most)
            ratios = [
                gain(kind.took[few], few, kind.took[few + 1], few + 1)[0]
                for few in range(1, kind.most)
                if kind.took[few] and kind.took[few + 1]
            ]
            kind.gain = math.prod(ratios)
            self._settle(kind, f"{beside} have run out of its memory; what did not fit runs again")
        return True

    def found(self) -> dict[str, Found]:
        """What is known by now, by kind of GPU; nothing of one at a time, where more were not tried to the end."""
        return {
            name: Found(
                kind.at_once if kind.settled else kind.proven, round(kind.gain, 3), kind.peak_bytes, kind.settled
            )
            for name, kind in self._kinds.items()
            if kind.settled or kind.proven > 1
        }
