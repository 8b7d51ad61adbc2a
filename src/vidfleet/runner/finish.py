"""What follows a good attempt: check what was promised, write the record, publish."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vidfleet.errors import OccupiedError, RecordError
from vidfleet.runner import record as records
from vidfleet.runner import stage as staging

if TYPE_CHECKING:
    from vidfleet.data import Attempt, Stage, Task
    from vidfleet.runner.claims import Claims
    from vidfleet.runner.provenance import MadeBy
    from vidfleet.runner.record import Record
    from vidfleet.settings import RunSettings
    from vidfleet.workloads.base import Description


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a good attempt does not count after all."""

    kind: str
    reason: str


_LOST = Problem("error", "another runner took the video over meanwhile; this output is dropped")


def finish(
    task: Task,
    description: Description,
    attempts: tuple[Attempt, ...],
    claims: Claims,
    *,
    made_by: MadeBy,
    settings: RunSettings,
) -> Problem | None:
    """Record and publish an attempt's output; a Problem where it cannot be."""
    if not claims.still_ours(task.stage):
        return _LOST  # the stage is another's now
    missing = records.missing_promises(task.stage.output, description.promise)
    if missing:
        return Problem("missing_output", f"it ended well, but left no {', '.join(missing[:4])}")
    try:
        old = records.read_record(task.stage.target)
        ours = old.beside if old else frozenset()
        beside = staging.gather(task.stage, ours)
        shown = _shown(task, beside, ours)
        records.write_record(task.stage.output, records.make_record(task, description, attempts, shown, made_by))
        if not claims.still_ours(task.stage):
            return _LOST
        staging.publish(task.stage, task.video, beside, is_ours=_is_ours(old, description), ours=ours)
    except (OccupiedError, RecordError) as error:
        return Problem("error", str(error))
    except OSError as error:
        if is_disk_full(error):
            return Problem("disk_full", f"its output cannot be published: {error}")
        return Problem("error", f"its output cannot be published: {error}")
    with contextlib.suppress(OSError):
        task.stage.error.unlink(missing_ok=True)
    return None


def _shown(task: Task, beside: tuple[str, ...], ours: frozenset[str]) -> tuple[str, ...]:
    """What the record names as published beside the video.

    With it what an earlier output of ours left there and still is there: were it forgotten, the next run would
    take ``<stem>_out.mp4`` for one more video.
    """
    new = {staging.visible_name(task.stage, name) for name in beside}
    return tuple(sorted(new | {name for name in ours if os.path.lexists(task.stage.target.parent / name)}))


def is_disk_full(error: OSError) -> bool:
    """Whether a call failed because there was no room, or none left to this user."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def publish_whole_stage(task: Task, description: Description, settings: RunSettings) -> bool:
    """Publish what a killed runner had finished but not yet published; False where there is no such thing."""
    if task.stage.output.is_symlink():
        return False  # leads to what was published
    try:
        record = records.read_record(task.stage.output)
        if record is None or records.difference(record, task.video, description, task.stage.output, settings):
            return False
        old = records.read_record(task.stage.target)
        staged = (_staged(task, name) for name in sorted(record.beside))
        beside = tuple(name for name in staged if os.path.lexists(task.stage.folder / name))
        staging.publish(
            task.stage, task.video, beside, is_ours=_is_ours(old, description), ours=old.beside if old else frozenset()
        )
    except (OSError, OccupiedError, RecordError):
        return False  # then it runs again
    return True


def _staged(task: Task, shown: str) -> str:
    """What an entry that is shown beside the video is called in the stage."""
    return task.stage.entry_stem + shown.removeprefix(task.stage.target.name)


def _is_ours(old: Record | None, description: Description) -> bool:
    return old is not None and old.maker == description.name


def remember_failure(task: Task, kind: str, attempt: Attempt) -> None:
    """Keep a video's last failure beside its stage, for ``--no-retry-failed`` and for people."""
    plain = {
        "schema": 1,
        "kind": kind,
        **records.plain_attempt(attempt),
        "log_tail": attempt.evidence.log_tail,
    }
    aside = task.stage.error.with_name(f"{task.stage.error.name}.{os.getpid()}")
    with contextlib.suppress(OSError):  # it is only a memory
        aside.write_text(json.dumps(plain, indent=1, ensure_ascii=True) + "\n", encoding="ascii")
        aside.replace(task.stage.error)


def last_failure(stage: Stage) -> tuple[str, str]:
    """Kind and reason of a video's last failure, as far as that is known."""
    try:
        plain = json.loads(stage.error.read_bytes())
        return str(plain["kind"]), str(plain["reason"])
    except (OSError, ValueError, KeyError, TypeError):
        return "error", "the reason is not known any more"
