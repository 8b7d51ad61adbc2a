"""What comes before an attempt: the stage as the workload shall find it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vidfleet.runner import stage as staging

if TYPE_CHECKING:
    from vidfleet.data import Task
    from vidfleet.settings import RunSettings
    from vidfleet.workloads.base import Description


def begin(task: Task, description: Description, settings: RunSettings) -> None:
    """Make the task's stage ready; raises OSError or OccupiedError where it cannot be made."""
    staging.prepare(task.stage, task.video, settings, makes_output_folder=description.makes_output_folder)
