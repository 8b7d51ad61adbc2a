"""What runs on a node of the cluster, in a Ray worker process: one lane, held for as long as the run needs it.

The lane's own worker is a child of this process, the same as on one machine, and the local executor looks after it. Ray
gives this process its GPU, and may kill it at any time, or its raylet: the worker's pipe closes then, and everything
below it ends.
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vidfleet.executors.base import Gone, Joined, Lost
from vidfleet.executors.local import LocalExecutor
from vidfleet.executors.ray.times import HOLD_S, LEASE_S
from vidfleet.worker.messages import Cancel, Failed, Finished, Pause, Prefetch, Progress, Ready, Resume, Start
from vidfleet.worker.process import THREAD_VARIABLES

if TYPE_CHECKING:
    from vidfleet.data import Lane

News = Progress | Finished | Failed | Lost
Order = Start | Cancel | Pause | Resume | Prefetch
ORDERS = "orders"
"""The group of methods that may be called while others run, one after the other in a thread of their own."""
_RAYS_OWN = ("RAY_JOB_ID", "RAY_RAYLET_PID")
"""Variables that would tie a script that uses Ray itself to our job."""
_BETWEEN_LOOKS_S = 1.0


@dataclass(frozen=True, slots=True)
class Bound:
    """What Ray has given to a lane."""

    host: str
    visible: str
    """Its GPU, as the variable names it; empty without one."""


class LaneActor:
    """One lane. ``hello``, ``bind`` and ``hear`` come one after the other; ``order`` and ``close`` beside them."""

    def __init__(self) -> None:
        self._lane: Lane | None = None
        self._local = LocalExecutor()
        self._orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._is_asked = True
        self._asked_at = 0.0
        self._is_paused = False
        threading.Thread(target=self._watch, args=(_raylet(),), name="lease", daemon=True).start()

    def hello(self) -> Bound:
        """Which GPU it is: Ray has set the variable for it, and tells by what name."""
        import ray

        given = ray.get_runtime_context().get_accelerator_ids().get("GPU", [])
        return Bound(socket.gethostname(), given[0] if given else "")

    def bind(self, lane: Lane, mark: str, variables: tuple[tuple[str, str], ...]) -> None:
        """Start the worker, with these variables of the runner's on top of the node's."""
        for name in (*_RAYS_OWN, *THREAD_VARIABLES):  # Ray sets OMP_NUM_THREADS by what was asked of it
            os.environ.pop(name, None)
        os.environ.update(variables)
        self._lane = lane
        self._local.open((lane,), mark)
        self._asked_at, self._is_asked = _now(), False

    def order(self, order: Order) -> None:
        """Have the worker told; what comes of it is heard."""
        if isinstance(order, Pause):
            self._is_paused = True
        elif isinstance(order, Resume):
            self._asked_at, self._is_paused = _now(), False
        self._orders.put(order)
        self._local.wake()

    def hear(self) -> list[News]:
        """What happened; nothing after ``HOLD_S``."""
        self._is_asked = True
        until = time.monotonic() + HOLD_S
        try:
            while True:
                self._obey()
                left_s = max(until - time.monotonic(), 0.0)
                events = [] if self._closed.is_set() else self._local.wait(left_s)
                news = [event.message for event in events if not isinstance(event.message, Ready | Joined | Gone)]
                if news or left_s <= 0 or self._closed.is_set():
                    return news
        finally:
            self._asked_at, self._is_asked = _now(), False

    def close(self) -> None:
        """End all that runs here; returns when nothing is left."""
        self._orders.put(None)
        self._local.wake()
        self._closed.wait()

    def _obey(self) -> None:
        assert self._lane is not None
        while True:
            try:
                order = self._orders.get_nowait()
            except queue.Empty:
                return
            match order:
                case Start():
                    self._local.start(self._lane, order)
                case Cancel(grace_s):
                    self._local.cancel(self._lane, grace_s)
                case Pause():
                    self._local.pause(self._lane)
                case Resume():
                    self._local.resume(self._lane)
                case Prefetch(path):
                    self._local.read_ahead(self._lane, path)
                case None:
                    self._local.close()
                    self._closed.set()
                    return

    def _watch(self, raylet: int) -> None:
        """Leave, and so end everything, when the node is given up or nobody asks any more.

        A killed raylet leaves its workers alive, and until the cluster has noticed its death 12 to 16 s go by.
        """
        parent = os.getppid()
        while True:
            if raylet >= 0:
                is_gone = bool(select.select((raylet,), (), (), _BETWEEN_LOOKS_S)[0])
            else:
                time.sleep(_BETWEEN_LOOKS_S)
                is_gone = os.getppid() != parent
            if is_gone or not (self._is_asked or self._is_paused or _now() - self._asked_at < LEASE_S):
                os._exit(1)


def _raylet() -> int:
    """A descriptor that tells of the end of this node's raylet; -1 where there is none (macOS, Linux before 5.3)."""
    if hasattr(os, "pidfd_open"):
        for pid in (os.environ.get("RAY_RAYLET_PID", ""), str(os.getppid())):
            with contextlib.suppress(OSError, ValueError):  # none, or of another name space
                return os.pidfd_open(int(pid))
    return -1


def _now() -> float:
    """Counts time in which the machine slept, too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
