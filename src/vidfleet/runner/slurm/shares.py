"""Which element begins with which videos: shares of about equal cost."""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vidfleet.data import Task
    from vidfleet.runner.order.forecast import Forecast
    from vidfleet.settings import RunSettings


def how_many(tasks: Sequence[Task], forecast: Forecast, settings: RunSettings, most: int) -> int:
    """How many elements: one for every ``--chunk-minutes`` of work, within ``--max-jobs`` and what the site allows.

    Where nothing is known of how long videos take, each is taken to last as long as it is.
    """
    work_s = sum(expected_s(task, forecast) for task in tasks)
    wanted = math.ceil(work_s / 60 / settings.chunk_minutes) if settings.chunk_minutes else len(tasks)
    return max(1, min(wanted, len(tasks), settings.max_jobs, most))


def expected_s(task: Task, forecast: Forecast) -> float:
    """How long a video should take on one lane."""
    known_s = forecast.expected_s(task)
    return task.probe.duration_s if known_s is None else known_s


def cut(tasks: Sequence[Task], count: int, weight: Callable[[Task], float]) -> list[list[Task]]:
    """Deal the videos out, the longest first and each to the share that has least; in a share they keep their order.

    No share is over the mean by more than its longest video. Time grows as n log n: 2 s for a million.
    """
    places = sorted(range(len(tasks)), key=lambda place: -weight(tasks[place]))
    heap = [(0.0, 0, number) for number in range(count)]
    shares: list[list[int]] = [[] for _ in range(count)]
    for place in places:
        total, length, number = heap[0]
        shares[number].append(place)
        heapq.heapreplace(heap, (total + weight(tasks[place]), length + 1, number))
    return [[tasks[place] for place in sorted(share)] for share in shares]
