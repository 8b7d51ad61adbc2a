"""What comes before an attempt: the stage as the workload shall find it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from vidfleet.errors import RecordError
from vidfleet.runner import stage as staging
from vidfleet.runner.reading import read_small
from vidfleet.runner.record import RECORD_NAME, read_record
from vidfleet.runner.writing import write_whole

if TYPE_CHECKING:
    from vidfleet.data import Stage, Task
    from vidfleet.settings import RunSettings
    from vidfleet.workloads.base import Description

BEGUN_ENDING = ".begun.json"


def begin(task: Task, description: Description, settings: RunSettings) -> None:
    """Make the task's stage ready; raises OSError or OccupiedError where it cannot be made.

    It is empty but for the video; or as the last attempt left it, where the workload continues and neither it nor
    the video has changed; or it holds a copy of somebody else's output (``--existing seed``).
    """
    stage = task.stage
    continues = description.traits.resumable and _was_begun_with(task, description)
    staging.prepare(
        stage, task.video, settings, makes_output_folder=description.makes_output_folder, keep=continues
    )  # fmt: skip
    if not continues:
        if settings.existing == "seed" and is_somebody_elses(stage, description):
            _copy_folder(stage.target, stage.output)
        carry_over(stage, description.traits.carry)
        if description.traits.carry and not is_somebody_elses(stage, description):
            _carry_folders(stage, description.traits.carry)
    if description.traits.shares:  # of an attempt that was killed, which cannot share any more
        with contextlib.suppress(OSError):
            (stage.output / description.traits.shares).unlink()
    if description.traits.resumable:
        write_whole(begun_with(stage), _identity(task, description))


def begun_with(stage: Stage) -> Path:
    """The file that says for which video and workload a stage was begun, where later attempts may continue in it."""
    return Path(stage.beside(BEGUN_ENDING))


def _identity(task: Task, description: Description) -> str:
    plain = {
        "schema": 1,
        "size_bytes": task.video.size_bytes,
        "mtime_ns": task.video.mtime_ns,
        "workload": description.name,
        "fingerprint": description.fingerprint,
    }
    return json.dumps(plain) + "\n"


def _was_begun_with(task: Task, description: Description) -> bool:
    try:
        return read_small(begun_with(task.stage)) == _identity(task, description).encode("ascii")
    except (OSError, ValueError):
        return False


def is_somebody_elses(stage: Stage, description: Description) -> bool:
    """Whether a folder stands at the target that this workload has not made."""
    if not stage.target.is_dir():
        return False
    try:
        record = read_record(stage.target)
    except RecordError:
        return False
    return record is None or record.maker != description.name


def _copy_folder(source: Path, target: Path) -> None:
    """Copy a folder but not its record; real copies, as a script may edit in place."""
    top = str(source)
    shutil.copytree(
        source, target, symlinks=True, dirs_exist_ok=True,
        ignore=lambda folder, names: {RECORD_NAME} & set(names) if folder == top else set(),
    )  # fmt: skip


def carry_over(stage: Stage, names: tuple[str, ...]) -> None:
    """Copy files of the folder that will be replaced into the new output, where it has none or an older one.

    Before the attempt, so that it can read them, and after it: a person may have edited the old one meanwhile.
    """
    for name in names:
        old, new = stage.target / name, stage.output / name
        if ".." in new.parts or not new.is_relative_to(stage.output) or not old.is_file():
            continue
        if not new.exists() or new.stat().st_mtime_ns < old.stat().st_mtime_ns:
            new.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(old, new)


def _carry_folders(stage: Stage, names: tuple[str, ...]) -> None:
    """Take folders of the folder that will be replaced over into the new output, by hard links where that goes.

    A film has more pictures than anybody wants to copy; who asks for it replaces files and never edits them.
    """
    for name in names:
        old, new = stage.target / name, stage.output / name
        inside = ".." not in new.parts and new.is_relative_to(stage.output)
        if name.endswith("/") and inside and old.is_dir() and not old.is_symlink():
            shutil.copytree(old, new, symlinks=True, copy_function=_link_or_copy, dirs_exist_ok=True)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(source, target, follow_symlinks=False)
