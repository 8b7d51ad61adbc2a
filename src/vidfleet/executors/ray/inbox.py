"""Everything that Ray says, in one line: so one thread does all that there is to do, and waits for nothing else."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from vidfleet.executors.base import LaneEvent, Told

if TYPE_CHECKING:
    from concurrent.futures import Future

Events = Sequence[LaneEvent | Told]


class Inbox:
    """Answers of Ray, each with what is to be done about it. What is put in may come from any thread or handler."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Callable[[], Events]] = queue.SimpleQueue()

    def put(self, act: Callable[[], Events]) -> None:
        """Have ``act`` called by :meth:`take`, and what it returns told."""
        self._waiting.put(act)

    def when_done(self, ref: Any, act: Callable[[Any], Events]) -> None:  # noqa: ANN401 - Ray's reference
        """Have ``act`` called with Ray's answer when it is there, or with the exception that came in its place."""
        ref.future().add_done_callback(lambda future: self.put(partial(_act, act, future)))

    def take(self, timeout_s: float | None) -> list[LaneEvent | Told]:
        """Wait for something, do what is to be done about all that is there, and tell what came of it."""
        events = list[LaneEvent | Told]()
        with contextlib.suppress(queue.Empty):
            events += self._waiting.get(timeout=timeout_s)()
            while True:
                events += self._waiting.get_nowait()()
        return events


def _act(act: Callable[[Any], Events], future: Future[Any]) -> Events:
    error = future.exception()
    return act(future.result() if error is None else error)
