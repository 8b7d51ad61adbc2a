"""Each lane's own cores, near its GPU where that is known.

Data that crosses from one processor socket to the other on its way to a GPU is slow. And many libraries take as many
threads as there are cores that they may use (FFmpeg, OpenCV, OpenBLAS), whatever the variables say: to whom eight cores
of 64 are allowed takes eight threads. What that means in figures: docs/lanes.md.
"""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from vidfleet.worker.gpus.base import read_cpu_list

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vidfleet.data import Lane
    from vidfleet.worker.gpus import Gpus

_SYSFS = Path("/sys")


def usable_cores() -> frozenset[int]:
    """The cores that this process may use, by number; none where the system does not tell (macOS)."""
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset()


def bind_lanes(
    lanes: Sequence[Lane],
    gpus: Gpus,
    usable: frozenset[int] | None = None,
    *,
    most: int | None = None,
    sysfs: Path = _SYSFS,
) -> tuple[Lane, ...]:
    """Give each lane its share of the cores near its GPU, ``most`` at most; lanes near the same cores share them out.

    Where none is nearer than another, all are shared out. Where there are fewer cores than lanes, or one lane for
    all cores, nothing is bound.
    """
    usable = usable_cores() if usable is None else usable
    beside: dict[frozenset[int], list[Lane]] = defaultdict(list)
    for lane in lanes:
        near = gpus.near_cores(lane.device.visible) & usable if lane.device.uuid else frozenset()
        beside[near or usable].append(lane)
    if len(beside) > 1:
        beside.pop(usable, None)  # the cores of those that have none of their own are not known to be free
    bound = {lane.index: lane for lane in lanes}
    for near, sharers in beside.items():
        if len(near) >= len(sharers) and (len(sharers) > 1 or near < usable or (most and most < len(near))):
            for lane, share in zip(sharers, _shares(near, len(sharers), sysfs), strict=True):
                mine = share[:most]
                bound[lane.index] = replace(lane, cores=tuple(sorted(mine)), threads=most or len(mine))
    return tuple(bound[lane.index] for lane in lanes)


def _shares(near: frozenset[int], count: int, sysfs: Path) -> list[tuple[int, ...]]:
    """Cut into ``count`` parts of nearly one size; the threads of one core stay together."""
    ordered = sorted(near, key=lambda core: (_first_thread(core, sysfs), core))
    cuts = [index * len(ordered) // count for index in range(count + 1)]
    return [tuple(ordered[first:end]) for first, end in pairwise(cuts)]


def _first_thread(core: int, sysfs: Path) -> int:
    """The first number of those that are one core in truth (hyper-threads); its own where that is not known."""
    listing = sysfs / f"devices/system/cpu/cpu{core}/topology/thread_siblings_list"
    with contextlib.suppress(OSError, ValueError):
        return min(read_cpu_list(listing.read_text(encoding="ascii")), default=core)
    return core
