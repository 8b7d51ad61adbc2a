"""Lanes on this machine: one worker process each."""

from __future__ import annotations

import contextlib
import math
import os
import selectors
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from vidfleet.errors import LaneError
from vidfleet.executors.base import LaneEvent, Lost
from vidfleet.worker.lanes import make_lanes
from vidfleet.worker.messages import Cancel, Failed, Finished, Heartbeat, Pause, Prefetch, Resume
from vidfleet.worker.patience import Patience
from vidfleet.worker.process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vidfleet.data import Lane
    from vidfleet.executors.base import Ground
    from vidfleet.settings import RunSettings
    from vidfleet.worker.lanes import Lanes
    from vidfleet.worker.messages import Start

_MAX_DEATHS_IDLE = 3
_BEATS_MISSED = 9
_ANSWER_S = 10.0
"""A worker that is asked to end its attempt says at once that it has heard."""


class LocalExecutor:
    """A selector over the workers' pipes; nothing is polled.

    A worker that has an attempt and says nothing for ``silence_s`` hangs, and is ended. Time in which this process
    itself stands still does not count.
    """

    def __init__(self, *, silence_s: float = 90.0) -> None:
        self._silence_s = silence_s
        self._selector = selectors.DefaultSelector()
        self._workers: dict[int, WorkerProcess] = {}
        self._attempts: dict[int, str] = {}
        self._patience: dict[int, Patience] = {}
        self._next_look = math.inf
        """When the first of them has to be looked at, at the latest; by the monotonic clock."""
        self._heard: Counter[int] = Counter()
        self._asked: set[int] = set()
        """Lanes whose workers were told to end their attempts, and have not answered."""
        self._idle_deaths = 0
        self._mark = ""
        self._woken = self._wake = -1

    def lanes(self, settings: RunSettings) -> Lanes:
        """See :class:`~vidfleet.executors.base.Executor`."""
        return make_lanes(settings)

    def open(self, lanes: Sequence[Lane], mark: str, ground: Ground | None = None) -> tuple[Lane, ...]:  # noqa: ARG002
        """See :class:`~vidfleet.executors.base.Executor`."""
        self._mark = mark
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._wake, False)
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        for lane in lanes:
            if not lane.spare:  # those have their workers when they have their first attempts
                self._start_worker(lane)
        return tuple(lanes)

    def _start_worker(self, lane: Lane) -> None:
        worker = WorkerProcess(lane, self._mark)
        self._workers[lane.index] = worker
        self._selector.register(worker, selectors.EVENT_READ, worker)

    def start(self, lane: Lane, start: Start) -> None:
        """See :class:`~vidfleet.executors.base.Executor`."""
        if lane.index not in self._workers:
            self._start_worker(lane)
        self._attempts[lane.index] = start.attempt
        self._be_patient(lane.index)
        beat_s = self._silence_s / _BEATS_MISSED
        self._workers[lane.index].send(start if start.heartbeat_s == beat_s else replace(start, heartbeat_s=beat_s))

    def read_ahead(self, lane: Lane, path: str) -> None:
        """See :class:`~vidfleet.executors.base.Executor`."""
        worker = self._workers[lane.index]
        if worker.can_take_more():  # one that hangs must not make us hang
            worker.send(Prefetch(path))

    def cancel(self, lane: Lane, grace_s: float) -> None:
        """See :class:`~vidfleet.executors.base.Executor`."""
        self._workers[lane.index].send(Cancel(grace_s))
        if lane.index in self._patience and lane.index not in self._asked:
            self._asked.add(lane.index)
            self._be_patient(lane.index)

    def pause(self, lane: Lane) -> None:
        """See :class:`~vidfleet.executors.base.Executor`."""
        self._workers[lane.index].send(Pause())

    def resume(self, lane: Lane) -> None:
        """See :class:`~vidfleet.executors.base.Executor`."""
        self._workers[lane.index].send(Resume())

    def wait(self, timeout_s: float | None) -> list[LaneEvent]:
        """See :class:`~vidfleet.executors.base.Executor`."""
        events = list[LaneEvent]()
        for key, _ in self._selector.select(self._until_look_s(timeout_s)):
            if key.data is None:
                self._drain()
            else:
                events += self._hear(key.data)
        return events + self._end_silent()

    def _may_be_silent_s(self, index: int) -> float:
        return min(self._silence_s, _ANSWER_S) if index in self._asked else self._silence_s

    def _be_patient(self, index: int) -> None:
        self._patience[index] = patience = Patience(None, self._may_be_silent_s(index))
        self._next_look = min(self._next_look, patience.next_tick() or math.inf)

    def _until_look_s(self, timeout_s: float | None) -> float | None:
        """How long to wait at most, so that a worker's silence is noticed in time."""
        look_s = max(self._next_look - time.monotonic(), 0.0)
        if timeout_s is None:
            return None if look_s == math.inf else look_s
        return min(look_s, timeout_s)

    def _end_silent(self) -> list[LaneEvent]:
        """Replace workers that hang; each that is alive was heard just before."""
        if time.monotonic() < self._next_look:
            return []
        events = []
        for index, patience in list(self._patience.items()):
            if time.monotonic() >= (patience.next_tick() or 0.0):
                patience.tick(is_stopped=False, activity=self._heard[index])
            if patience.has_stalled:
                worker = self._workers[index]
                worker.kill()
                silence_s = self._may_be_silent_s(index)
                events.append(self._replace(worker, f"its worker said nothing for {silence_s:g} s"))
        self._next_look = min((p.next_tick() or math.inf for p in self._patience.values()), default=math.inf)
        return events

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._woken, 512):
                pass

    def _hear(self, worker: WorkerProcess) -> list[LaneEvent]:
        lane = worker.lane
        messages = worker.receive()
        if messages is None:
            return [self._replace(worker, "its worker process was killed or crashed")]
        self._idle_deaths = 0
        self._heard[lane.index] += 1
        if lane.index in self._asked:  # it does not hang
            self._asked.discard(lane.index)
            self._be_patient(lane.index)
        if any(isinstance(message, Finished | Failed) for message in messages):
            self._forget_attempt(lane)
        told = [message for message in messages if not isinstance(message, Heartbeat)]
        return [LaneEvent(lane, message) for message in told]  # type: ignore[arg-type]  # a worker says no more

    def _forget_attempt(self, lane: Lane) -> str:
        self._asked.discard(lane.index)
        self._patience.pop(lane.index, None)
        return self._attempts.pop(lane.index, "")

    def _replace(self, worker: WorkerProcess, reason: str) -> LaneEvent:
        """Bury a dead worker, with all that it ran, and start another."""
        self._selector.unregister(worker)
        worker.end()
        attempt = self._forget_attempt(worker.lane)
        if not attempt:
            self._idle_deaths += 1
            if self._idle_deaths > _MAX_DEATHS_IDLE:
                raise LaneError(
                    f"the worker of lane {worker.lane.label} dies again and again before it does anything; "
                    "what it says of it stands above"
                )
        self._start_worker(worker.lane)
        return LaneEvent(worker.lane, Lost(attempt, reason))

    def wake(self) -> None:
        """See :class:`~vidfleet.executors.base.Executor`."""
        with contextlib.suppress(OSError):  # it has been woken often enough, or is not open yet
            os.write(self._wake, b"w")

    def close(self) -> None:
        """See :class:`~vidfleet.executors.base.Executor`."""
        for worker in self._workers.values():
            worker.close_orders()
        for worker in self._workers.values():
            worker.end()
        self._workers.clear()
        self._selector.close()
        for fd in {self._woken, self._wake} - {-1}:
            os.close(fd)
