"""What a lane's worker is told to do: an attempt, or help for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vidfleet.settings import time_limit_s
from vidfleet.worker.messages import Start

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vidfleet.data import Lane
    from vidfleet.runner.order.queue import Running
    from vidfleet.settings import RunSettings
    from vidfleet.workloads.base import Launch

_MEMORY_BACK_S = 30.0


def make_start(
    running: Running, launch: Launch, log: str, *, settings: RunSettings, lanes: Sequence[Lane],
    variables: tuple[tuple[str, str], ...],
) -> Start:  # fmt: skip
    """``lanes`` are all of the run, ``variables`` the lane's share of the cores where it is not the usual one.

    What helps has no time limit of its own: it ends with the attempt that it helps.
    """
    lane = running.lane
    return Start(
        attempt=running.name,
        launch=launch,
        log=log,
        timeout_s=None if running.helps else time_limit_s(settings.timeout, running.case.task.probe.duration_s),
        grace_s=settings.grace,
        stall_s=settings.stall or None,
        memory_back_s=_MEMORY_BACK_S if _has_gpu_alone(lane, lanes) else None,
        watches_gpu=bool(lane.device.uuid),
        cores=lane.cores,
        variables=variables,
    )


def _has_gpu_alone(lane: Lane, lanes: Sequence[Lane]) -> bool:
    """A GPU that its driver knows, and no other lane on it."""
    return bool(lane.device.uuid) and sum(other.device == lane.device for other in lanes) == 1
