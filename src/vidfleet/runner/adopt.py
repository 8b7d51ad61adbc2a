"""``--existing adopt``: somebody else's finished output gets a record of ours; nothing is run for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vidfleet.data import Outcome
from vidfleet.errors import ClaimedError, RecordError
from vidfleet.runner.plan import judge
from vidfleet.runner.record import make_adopted, read_record, write_record
from vidfleet.runner.text import said

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vidfleet.data import Task
    from vidfleet.runner.claims import Claims
    from vidfleet.runner.provenance import MadeBy
    from vidfleet.settings import RunSettings
    from vidfleet.workloads.base import Description


def adopt(
    tasks: Iterable[Task], description: Description, settings: RunSettings, claims: Claims, made_by: MadeBy
) -> tuple[Outcome, ...]:
    """Write the records; an outcome for each task."""
    return tuple(_adopt_one(task, description, settings, claims, made_by) for task in tasks)


def _adopt_one(task: Task, description: Description, settings: RunSettings, claims: Claims, made_by: MadeBy) -> Outcome:
    video, stage = task.video, task.stage
    try:
        claims.take(stage)
    except ClaimedError as error:
        return Outcome(video, "blocked", "claimed", str(error), probe=task.probe)
    except OSError as error:
        return Outcome(video, "blocked", "foreign", f"its record cannot be written ({said(error)})", probe=task.probe)
    try:
        verdict = judge(video, stage, description, settings)  # once more, now that the video is ours
        if not verdict.takes:
            return Outcome(video, "blocked", "foreign", "its output folder has changed meanwhile", probe=task.probe)
        old = read_record(stage.target)
        content = settings.fingerprint == "content"
        write_record(stage.target, make_adopted(task, description, old, made_by, content=content))
    except (OSError, RecordError) as error:
        return Outcome(video, "blocked", "foreign", f"its record cannot be written ({said(error)})", probe=task.probe)
    finally:
        claims.release(stage)
    return Outcome(video, "up_to_date", reason=verdict.reason, probe=task.probe)
