"""What an element works on: its own share, and when that is through, what nobody has taken of the others'."""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import TYPE_CHECKING

from vidfleet.data import Outcome, Task
from vidfleet.runner.finish import last_failure
from vidfleet.runner.plan import judge
from vidfleet.runner.slurm.orders import read_share

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vidfleet.runner.claims import Claims
    from vidfleet.runner.slurm.orders import Orders
    from vidfleet.runner.slurm.place import Place
    from vidfleet.workloads.base import Description

_MOST_TRIES = 3
"""A video that cannot even be remembered as failed, on a full disk, is not begun again and again."""
_LEAST_PAUSE_S, _PAUSE_PER_LOOK = 1.0, 20.0
"""Looking takes no more than a twentieth of the time of an element that has nothing else to do."""


class Feed:
    """Hands tasks to an ``Execution``, a few at a time, so that other elements find something to do as well."""

    def __init__(
        self, place: Place, orders: Orders, mine: int, *, claims: Claims, description: Description, batch: int
    ) -> None:
        self._place, self._orders, self._mine = place, orders, mine
        self._claims, self._description, self._batch = claims, description, batch
        self._since = place.orders.stat().st_mtime
        """When the run began, by the file server's clock."""
        self._left: dict[int, deque[Task]] = {}
        """Of each share that was looked at: what may still have to be done."""
        self._given: Counter[str] = Counter()
        self._next_look = 0.0
        self.is_cut_off = False
        """Nothing more is taken from others' shares: too much fails here."""

    def own(self) -> tuple[list[Task], list[Outcome]]:
        """What is left of our own share, in its order; and what has become of the rest of it before us."""
        tasks, outcomes = list[Task](), list[Outcome]()
        for task in self._load(self._mine):
            if self._has_failed(task):
                kind, reason = last_failure(task.stage)
                outcomes.append(Outcome(task.video, "failed", kind, reason, probe=task.probe))
                continue
            verdict = judge(task.video, task.stage, self._description, self._orders.settings)
            if verdict.kind:
                outcomes.append(Outcome(task.video, "blocked", verdict.kind, verdict.reason, probe=task.probe))
            elif not verdict.must_run:
                outcomes.append(Outcome(task.video, "up_to_date", reason=verdict.reason, probe=task.probe))
            else:
                tasks.append(task)
        self._left[self._mine] = deque(tasks)
        self._given.update(task.video.relative for task in tasks)
        return tasks, outcomes

    def more(self, is_pressing: bool) -> list[Task]:
        """A few videos that nobody has; ``is_pressing``: else we end. Nothing where there are none just now."""
        began = time.monotonic()
        if self.is_cut_off or self._place.stop.exists() or (began < self._next_look and not is_pressing):
            return []
        found: list[Task] = []
        for task in self._open():
            found.append(task)
            self._given[task.video.relative] += 1
            if len(found) == self._batch:
                return found
        took_s = time.monotonic() - began
        self._next_look = began + max(_LEAST_PAUSE_S, _PAUSE_PER_LOOK * took_s)
        return found

    def _open(self) -> Iterator[Task]:
        for number in self._numbers():
            if number not in self._left:
                self._left[number] = deque(self._load(number))
            left = self._left[number]
            for _ in range(len(left)):
                task = left.pop()  # from the end: its own element comes from the front
                if self._is_settled(task):
                    continue
                left.appendleft(task)
                if self._claims.is_free(task.stage):
                    yield task
            if not left:
                self._place.touch(self._place.through(number))

    def _numbers(self) -> list[int]:
        """Shares of which something may be left: ours, and then round from ours, so that not all help the same."""
        numbers = [number for number, is_open in self._place.shares().items() if is_open]
        return [n for n in numbers if n >= self._mine] + [n for n in numbers if n < self._mine]

    def _load(self, number: int) -> list[Task]:
        return read_share(self._place, number, self._orders)

    def _is_settled(self, task: Task) -> bool:
        """Whether a video is done, has failed in this run, or must not be touched."""
        if self._given[task.video.relative] >= _MOST_TRIES or self._has_failed(task):
            return True
        verdict = judge(task.video, task.stage, self._description, self._orders.settings)
        return bool(verdict.kind) or not verdict.must_run

    def _has_failed(self, task: Task) -> bool:
        """Whether it has failed since the run began."""
        try:
            return task.stage.error.stat().st_mtime >= self._since
        except OSError:
            return False
