"""Cores near a lane's GPU: data that crosses from one processor socket to the other on its way to a GPU is slow.

Only where the cores near a GPU are fewer than all: else none is nearer than another, and to bind an attempt would
only keep it from cores that others leave idle.
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
    lanes: Sequence[Lane], gpus: Gpus, usable: frozenset[int] | None = None, *, sysfs: Path = _SYSFS
) -> tuple[Lane, ...]:
    """Give each lane its share of the cores near its GPU; lanes near the same cores share them out."""
    usable = usable_cores() if usable is None else usable
    beside: dict[frozenset[int], list[Lane]] = defaultdict(list)
    for lane in lanes:
        near = gpus.near_cores(lane.device.visible) & usable
        beside[near if near < usable else frozenset()].append(lane)
    bound = {lane.index: lane for lane in lanes}
    for near, sharers in beside.items():
        if len(near) >= len(sharers):
            for lane, share in zip(sharers, _shares(near, len(sharers), sysfs), strict=True):
                bound[lane.index] = replace(lane, cores=share)
    return tuple(bound[lane.index] for lane in lanes)


def _shares(near: frozenset[int], count: int, sysfs: Path) -> list[tuple[int, ...]]:
    """Cut into ``count`` parts of nearly one size; the threads of one core stay together."""
    ordered = sorted(near, key=lambda core: (_first_thread(core, sysfs), core))
    cuts = [index * len(ordered) // count for index in range(count + 1)]
    return [tuple(sorted(ordered[first:end])) for first, end in pairwise(cuts)]


def _first_thread(core: int, sysfs: Path) -> int:
    """The first number of those that are one core in truth (hyper-threads); its own where that is not known."""
    listing = sysfs / f"devices/system/cpu/cpu{core}/topology/thread_siblings_list"
    with contextlib.suppress(OSError, ValueError):
        return min(read_cpu_list(listing.read_text(encoding="ascii")), default=core)
    return core
