"""Whether there is room for what a run will write, asked before its first video."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vidfleet.errors import SetupError
from vidfleet.runner.text import plural

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from vidfleet.data import Task
    from vidfleet.workloads.base import Description

_FILES_A_VIDEO = 40
_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Need:
    """What the outputs of some videos will take, roughly."""

    size_bytes: int
    files: int

    def __str__(self) -> str:
        """For people."""
        return f"about {self.size_bytes / _GIB:.1f} GiB in {plural(self.files, 'file')}"


def estimate(tasks: Iterable[Task], description: Description) -> Need | None:
    """What ``tasks`` will write; nothing where the workload does not tell."""
    use = description.disk
    if use is None:
        return None
    size = files = 0.0
    for task in tasks:
        probe = task.probe
        size += use.bytes_a_pixel_second * probe.width * probe.height * probe.duration_s
        files += use.files_a_second * probe.duration_s + _FILES_A_VIDEO
    return Need(round(size), round(files))


def check_room(tasks: Iterable[Task], description: Description, base: Path) -> None:
    """Raise SetupError where the estimate is over half of what is free, in bytes or in files (inodes)."""
    need = estimate(tasks, description)
    if need is None:
        return
    free = os.statvfs(base)
    free_bytes, free_files = free.f_bavail * free.f_frsize, free.f_favail
    short_of_files = free.f_files > 0 and need.files > free_files / 2  # 0: this file system does not count them
    if need.size_bytes > free_bytes / 2 or short_of_files:
        less = description.disk.less if description.disk else ""
        raise SetupError(
            f"the outputs will take {need}, which is over half of what is free in {base}: "
            f"{free_bytes / _GIB:.1f} GiB, {plural(free_files, 'file')}\n"
            f"{less} Or free some room, write elsewhere with --output DIR, or begin all the same with --no-check-disk."
        )
