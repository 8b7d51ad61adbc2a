"""What follows a good attempt: check what was promised, write the record, publish."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vidfleet.data import ERROR_ENDING, Attempt
from vidfleet.errors import OccupiedError, RecordError
from vidfleet.runner import record as records
from vidfleet.runner import stage as staging
from vidfleet.runner.begin import BEGUN_ENDING, carry_over
from vidfleet.runner.changes import difference
from vidfleet.runner.claims import read_claim
from vidfleet.runner.failures import DONE, INTERRUPTED, ended_with_us, recognise
from vidfleet.runner.lines import attempt_for_record
from vidfleet.runner.publish import publish
from vidfleet.runner.reading import read_json
from vidfleet.runner.text import said
from vidfleet.runner.writing import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from vidfleet.data import Stage, Task
    from vidfleet.runner.claims import Claims
    from vidfleet.runner.order.queue import Over
    from vidfleet.runner.provenance import MadeBy
    from vidfleet.runner.record import Record
    from vidfleet.settings import RunSettings
    from vidfleet.workloads.base import Description


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a good attempt does not count after all."""

    kind: str
    reason: str


def conclude(
    over: Over, helpers: tuple[Attempt, ...], claims: Claims, *, host: str, is_interrupted: bool, made_by: MadeBy,
    settings: RunSettings,
) -> Attempt:  # fmt: skip
    """Name the kind of end; where it is a good one, write the record and publish.

    ``helpers`` is what other lanes have done for it; their processor time is the video's.
    """
    running, case = over.running, over.running.case
    evidence = replace(over.evidence, cpu_s=over.evidence.cpu_s + sum(item.evidence.cpu_s for item in helpers))
    attempt = Attempt(
        number=len(case.attempts) + 1, lane=running.lane, host=running.lane.device.host or host,
        started_at=running.started_at, ended_at=over.ended_at, kind=DONE, reason="", evidence=evidence,
        helpers=helpers,
    )  # fmt: skip
    if running.gives_way and evidence.cancelled:
        return replace(attempt, kind=INTERRUPTED, reason="memory was short, and it was the youngest: it runs again")
    if evidence.cancelled or (is_interrupted and ended_with_us(evidence)):
        return replace(attempt, kind=INTERRUPTED, reason="the run was interrupted")
    kind = recognise(evidence)
    if kind is None:
        attempts = (*case.attempts, attempt)
        problem = finish(case.task, running.described, attempts, claims, made_by=made_by, settings=settings)
        if problem is None:
            return attempt
        evidence = replace(evidence, declared_kind=problem.kind, message=problem.reason)
        kind = recognise(evidence)
        assert kind is not None
    return replace(attempt, kind=kind.name, reason=kind.say(evidence), evidence=evidence)


def _lost(stage: Stage) -> Problem:
    now = read_claim(stage.claim)
    how = f"another runner took the video over meanwhile ({now})"
    if now is None or not now.token:
        how = "its claim in .vidfleet was removed or altered meanwhile"
    return Problem("error", f"{how}; this output is dropped")


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
        return _lost(task.stage)  # the stage may be another's now
    missing = records.missing_promises(task.stage.output_at, description.promise)
    if missing:
        return Problem("missing_output", f"it ended well, but left no {', '.join(missing[:4])}")
    try:
        carry_over(task.stage, description.traits.carry)
        old = _look_at_old(task, description, settings)
        beside = staging.gather(task.stage, old.replaceable)
        record = records.make_record(
            task, description, attempts, _shown(task, beside, old), made_by, content=settings.fingerprint == "content"
        )
        records.write_record(task.stage.output_at, record)
        if not claims.still_ours(task.stage):
            return _lost(task.stage)
        _publish(task, beside, old, settings)
    except (OccupiedError, RecordError) as error:
        return Problem("error", str(error))
    except OSError as error:
        if is_disk_full(error):
            return Problem("disk_full", f"its output cannot be published ({said(error)})")
        return Problem("error", f"its output cannot be published ({said(error)})")
    _forget_attempts(task)
    return None


@dataclass(frozen=True, slots=True)
class _Old:
    """What stands where an output goes."""

    is_ours: bool
    beside: frozenset[str]
    """What an output of ours has put beside the video."""
    replaceable: frozenset[str]
    """Those of them that nobody has touched since."""
    put_aside: tuple[str, ...]
    """Names of what was somebody else's there, before and now."""
    goes_to: str
    """The name that somebody else's folder gets now; empty where there is none, or it must not be touched."""


def _look_at_old(task: Task, description: Description, settings: RunSettings, planned: Record | None = None) -> _Old:
    """``planned`` is the record of a whole stage, which has the name that somebody else's folder was to get."""
    target = task.stage.target
    old = records.read_record(target)
    if old is not None and old.maker == description.name:
        still = sorted(name for name in old.put_aside if os.path.lexists(target.with_name(name)))
        return _Old(True, old.beside, _untouched(target, old.beside), tuple(still), "")
    names = tuple(planned.put_aside) if planned else ()
    if settings.existing not in ("seed", "replace") or not target.is_dir():
        return _Old(False, frozenset(), frozenset(), names, "")
    return _Old(False, frozenset(), frozenset(), (name := _free_name(target, names),), name)


def _untouched(target: Path, names: frozenset[str]) -> frozenset[str]:
    """Names of files that are no newer than the record, which was written after them: else a person has been there."""
    written = os.lstat(target / records.RECORD_NAME).st_mtime_ns
    there = (name for name in names if os.path.lexists(target.with_name(name)))
    return frozenset(name for name in there if os.lstat(target.with_name(name)).st_mtime_ns <= written)


def _free_name(target: Path, planned: tuple[str, ...]) -> str:
    """``<stem>.old``, or with a number where that is taken."""
    wanted = (*planned, f"{target.name}.old", *(f"{target.name}.old{number}" for number in range(2, 1000)))
    return next(name for name in wanted if not os.path.lexists(target.with_name(name)))


def _publish(task: Task, beside: tuple[str, ...], old: _Old, settings: RunSettings) -> None:
    publish(
        task.stage, task.video, beside, is_ours=old.is_ours, ours=old.replaceable, put_aside=old.goes_to,
        durable=settings.durable,
    )  # fmt: skip


def _forget_attempts(task: Task) -> None:
    """A video that is done has neither a failure nor a stage to continue in."""
    for path in (task.stage.beside(ERROR_ENDING), task.stage.beside(BEGUN_ENDING)):
        with contextlib.suppress(OSError):
            os.unlink(path)


def _shown(task: Task, beside: tuple[str, ...], old: _Old) -> records.Shown:
    """What the record names as standing beside the video.

    With it what an earlier output of ours left there and still is there: were it forgotten, the next run would
    take ``<stem>_out.mp4`` for one more video.
    """
    new = {staging.visible_name(task.stage, name) for name in beside}
    still = {name for name in old.beside if os.path.lexists(task.stage.target.parent / name)}
    return records.Shown(tuple(sorted(new | still)), old.put_aside)


def is_disk_full(error: OSError) -> bool:
    """Whether a call failed because there was no room, or none left to this user."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def publish_whole_stage(task: Task, description: Description, settings: RunSettings) -> bool:
    """Publish what a killed runner had finished but not yet published; False where there is no such thing."""
    try:
        record = records.read_record(task.stage.output_at)
        if record is None or os.path.islink(task.stage.output_at):
            return False  # a link leads to what was published
        if difference(record, task.video, description, task.stage.output, settings):
            return False
        staged = (_staged(task, name) for name in sorted(record.beside))
        beside = tuple(name for name in staged if os.path.lexists(task.stage.folder / name))
        _publish(task, beside, _look_at_old(task, description, settings, record), settings)
    except (OSError, OccupiedError, RecordError):
        return False  # then it runs again
    _forget_attempts(task)
    return True


def _staged(task: Task, shown: str) -> str:
    """What an entry that is shown beside the video is called in the stage."""
    return task.stage.entry_stem + shown.removeprefix(task.stage.target.name)


def remember_failure(task: Task, kind: str, attempt: Attempt) -> None:
    """Keep a video's last failure beside its stage, for ``--no-retry-failed`` and for people."""
    plain = {
        "schema": 1,
        "kind": kind,
        **attempt_for_record(attempt),
        "log_tail": attempt.evidence.log_tail,
    }
    with contextlib.suppress(OSError):  # it is only a memory
        write_whole(task.stage.error, json.dumps(plain, indent=1) + "\n")


def remember_unreadable(stage: Stage, reason: str) -> None:
    """The same for a video that no attempt was made at."""
    plain = {"schema": 1, "kind": "bad_input", "reason": reason}
    if last_failure(stage) != ("bad_input", reason):
        with contextlib.suppress(OSError):
            stage.error.parent.mkdir(parents=True, exist_ok=True)
            write_whole(stage.error, json.dumps(plain, indent=1) + "\n")


def last_failure(stage: Stage) -> tuple[str, str]:
    """Kind and reason of a video's last failure, as far as that is known."""
    try:
        plain = read_json(stage.error)
        return str(plain["kind"]), str(plain["reason"])
    except (OSError, ValueError, KeyError, TypeError):
        return "error", "the reason is not known any more"
