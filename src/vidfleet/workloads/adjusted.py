"""A workload with what a run's settings add to it: further files that it depends on, a stage that survives."""

from __future__ import annotations

import glob
import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vidfleet.errors import UsageError
from vidfleet.workloads.base import Workload, hash_file

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vidfleet.data import Lane, Task
    from vidfleet.workloads.base import Description, Launch


@dataclass(frozen=True)
class Adjusted:
    """Another workload, which it asks for everything."""

    workload: Workload
    depends: tuple[str, ...] = ()
    """Patterns of files whose content is part of the fingerprint; relative ones from the working directory."""
    resume_stage: bool = False

    def describe(self, root: Path) -> Description:
        """See :class:`~vidfleet.workloads.base.Workload`."""
        said = self.workload.describe(root)
        if self.resume_stage:
            said = replace(said, traits=replace(said.traits, resumable=True))
        if not self.depends:
            return said
        found = [(name, path) for pattern in self.depends for name, path in _files(pattern)]
        folders = {path.parent for _, path in found}  # a folder changes when a file comes
        return replace(
            said,
            parts={**said.parts, "depends": _hashes(found)},
            files=(*said.files, *(path for _, path in found), *sorted(folders)),
        )

    def launch(self, task: Task, lane: Lane, description: Description) -> Launch:
        """See :class:`~vidfleet.workloads.base.Workload`."""
        return self.workload.launch(task, lane, description)


def _files(pattern: str) -> list[tuple[str, Path]]:
    """Each file that matches, under its name below the part of the pattern that is fixed.

    So the same files are the same when the project has moved.
    """
    fixed = pattern if not glob.has_magic(pattern) else pattern[: _first_magic(pattern)]
    base = os.path.dirname(fixed)  # noqa: PTH120 - "conf/a*" is fixed up to "conf"
    found = [Path(path) for path in sorted(glob.glob(pattern, recursive=True)) if os.path.isfile(path)]  # noqa: PTH113, PTH207
    if not found:
        raise UsageError(f"--depends {pattern}: no file is called so")
    return [(os.path.relpath(path, base or "."), path.absolute()) for path in found]


def _first_magic(pattern: str) -> int:
    return next(index for index, char in enumerate(pattern) if char in "*?[")


def _hashes(found: Iterable[tuple[str, Path]]) -> dict[str, str]:
    """Name → hash; two files of one name, from two patterns, have one hash together."""
    hashes: dict[str, str] = {}
    for name, path in found:
        one = hash_file(path)
        hashes[name] = hashlib.sha256((hashes[name] + one).encode("ascii")).hexdigest() if name in hashes else one
    return hashes
