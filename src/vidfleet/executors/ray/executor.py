"""Lanes on a Ray cluster: one actor each, on the nodes that are there, and on those that come.

Never Ray's tasks with a GPU: each would start a process anew, 0.5 to 1 s; a call of an actor takes 1 to 2 ms. Ray says
where a lane is and which GPU it has, and tells of deaths. Which video goes where is decided elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from vidfleet.data import Evidence
from vidfleet.errors import UsageError
from vidfleet.executors.base import Gone, Joined, LaneEvent, Told
from vidfleet.executors.ray import cluster
from vidfleet.executors.ray.holders import BETWEEN_LOOKS_S, Holders
from vidfleet.executors.ray.inbox import Inbox
from vidfleet.executors.ray.pool import Pool, Seat, check
from vidfleet.executors.ray.survey import Survey
from vidfleet.worker.lanes import Lanes, cores, make_lanes
from vidfleet.worker.messages import Cancel, Failed, Pause, Prefetch, Resume

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vidfleet.data import Lane
    from vidfleet.executors.base import Ground
    from vidfleet.settings import RunSettings
    from vidfleet.worker.messages import Start

_NO_MORE_COME_S = 5.0
"""At the start: lanes that take longer than so much after the last one join later."""
_NONE_COMES_S = 10.0
_CLOSE_S = 15.0
_OWN_HEAD_S = 3.0
"""A head on this machine that does not answer at two looks is no more."""


class RayExecutor:
    """A cluster's lanes. Without an address, and without RAY_ADDRESS, a cluster of this machine alone is started."""

    def __init__(self, address: str = "") -> None:
        self._address = address or os.environ.get("RAY_ADDRESS", "")
        self._said = f"--address {address}" if address else f"RAY_ADDRESS={self._address}"
        self._is_own = self._address in ("", "local")
        self._inbox = Inbox()
        self._pool = Pool(None)
        self._survey: Survey | None = None
        self._holders: Holders | None = None
        self._kept: list[LaneEvent | Told] = []
        self._is_woken = self._has_joined = False
        self._litter: Path | None = None
        """What a cluster that was started here writes: half a MiB below /tmp/ray for each run."""
        self._over = threading.Event()

    # ---- before the first video

    def lanes(self, settings: RunSettings) -> Lanes:
        """See :class:`~vidfleet.executors.base.Executor`."""
        check(settings)
        if self._is_own:
            cluster.ray_module()  # said now where it is not there
            return make_lanes(settings)
        self._pool.most = settings.lanes
        self._has_joined = cluster.join(self._address, self._said)
        self._survey = Survey(settings, self._pool, self._inbox)
        try:
            notices = self._survey.take_in()
        except UsageError:
            self.close()
            raise
        return Lanes(tuple(seat.lane for seat in self._pool.seats.values()), notices)

    def open(self, lanes: Sequence[Lane], mark: str, ground: Ground) -> tuple[Lane, ...]:
        """See :class:`~vidfleet.executors.base.Executor`."""
        self._holders = Holders(self._pool, self._inbox, mark, may_grow=self._survey is not None)
        if self._survey is None:
            self._start_own(lanes)
        else:
            self._pool.keep_only(lanes)
            self._kept += self._survey.refuse_blind(ground)
        self._holders.hold(list(self._pool.seats.values()))
        opened = self._wait_for_first(len(self._pool.seats))
        threading.Thread(target=self._look, name="cluster", daemon=True).start()
        return opened

    def _start_own(self, lanes: Sequence[Lane]) -> None:
        visible = [lane.device.visible for lane in lanes if lane.device.kind == "gpu"]
        is_amd = any(lane.device.maker == "AMD" for lane in lanes)
        self._litter = cluster.start_here(
            cores=max(cores(), len(lanes)), visible=list(dict.fromkeys(visible)), is_amd=is_amd
        )
        self._has_joined = True
        (node,) = cluster.nodes()
        each = max(map(visible.count, visible), default=0)
        gpus = int(10_000 / each) / 10_000 if each else 0.0
        self._pool.seats = {lane.index: Seat(lane, node, (lane.device,), 1.0, gpus) for lane in lanes}
        self._pool.most = len(lanes)

    def _wait_for_first(self, expected: int) -> tuple[Lane, ...]:
        """The lanes that are up soon; others join later."""
        up, until = dict[int, "Lane"](), time.monotonic() + _NONE_COMES_S
        while len(up) < expected and not self._is_woken and time.monotonic() < until:
            for event in self._inbox.take(max(until - time.monotonic(), 0.0)):
                if isinstance(event, LaneEvent) and isinstance(event.message, Joined):
                    up[event.lane.index], until = event.lane, time.monotonic() + _NO_MORE_COME_S
                else:
                    self._kept.append(event)
        if len(up) < expected and not self._is_woken:
            what = f"only {len(up)} of {expected} lanes are" if up else f"none of {expected} lanes is"
            then = "the others join when they are" if up else "waiting for them"
            self._kept.append(Told(f"{what} free on the Ray cluster yet: {then}"))
        return tuple(up[index] for index in sorted(up))

    def _look(self) -> None:
        """In a thread of its own, as the head of a cluster may take its time to answer."""
        patience_s, silent_since = cluster.head_patience_s() if self._survey else _OWN_HEAD_S, None
        while not self._over.wait(BETWEEN_LOOKS_S):
            if cluster.head_answers():
                silent_since = None
                self._inbox.put(partial(self._looked, cluster.nodes_or_none() if self._survey else ()))
                continue
            silent_since = silent_since or time.monotonic()
            if time.monotonic() - silent_since > patience_s:
                self._inbox.put(self._head_lost)
                return

    def _head_lost(self) -> list[LaneEvent]:
        """Without it nothing can be begun, and after a minute nodes and this process would be ended by Ray."""
        assert self._holders is not None
        self._litter = None  # it may tell why
        known = [seat for seat in self._pool.seats.values() if seat.is_known]
        self._holders.close(_CLOSE_S)
        self._kept.append(Told("the head of the Ray cluster is lost", is_last=True))
        return [LaneEvent(seat.lane, Gone(seat.attempt, "the head of the Ray cluster is lost")) for seat in known]

    def _looked(self, found: Sequence[cluster.Node]) -> list[LaneEvent | Told]:
        assert self._holders is not None
        if self._survey:
            self._survey.welcome(found, self._holders.hold)
        return self._holders.look()

    # ---- attempts

    def start(self, lane: Lane, start: Start) -> None:
        """See :class:`~vidfleet.executors.base.Executor`."""
        assert self._holders is not None
        seat = self._pool.seats.get(lane.index)
        if seat is None:  # what tells of its end is on its way to the runner
            gone = LaneEvent(lane, Gone(start.attempt, "its node was lost before it began"))
            self._inbox.put(lambda: [gone])
            return
        seat.attempt = start.attempt
        self._holders.order(seat, start)

    def read_ahead(self, lane: Lane, path: str) -> None:
        """See :class:`~vidfleet.executors.base.Executor`."""
        if (seat := self._up(lane)) and self._holders:
            self._holders.order(seat, Prefetch(path))

    def cancel(self, lane: Lane, grace_s: float) -> None:
        """See :class:`~vidfleet.executors.base.Executor`."""
        seat = self._pool.seats.get(lane.index)
        if seat and self._holders and seat.is_up:
            self._holders.order(seat, Cancel(grace_s))
        elif seat and seat.waiting:  # it has not begun
            seat.waiting.clear()
            attempt, seat.attempt = seat.attempt, ""
            ended = LaneEvent(seat.lane, Failed(attempt, Evidence(cancelled=True)))
            self._inbox.put(lambda: [ended])

    def pause(self, lane: Lane) -> None:
        """See :class:`~vidfleet.executors.base.Executor`; returns when it was heard, as this process stops next."""
        if (seat := self._up(lane)) and self._holders:
            cluster.failing([self._holders.order(seat, Pause())], _CLOSE_S)

    def resume(self, lane: Lane) -> None:
        """See :class:`~vidfleet.executors.base.Executor`."""
        if (seat := self._up(lane)) and self._holders:
            self._holders.order(seat, Resume())

    def _up(self, lane: Lane) -> Seat | None:
        seat = self._pool.seats.get(lane.index)
        return seat if seat and seat.is_up else None

    def wait(self, timeout_s: float | None) -> list[LaneEvent | Told]:
        """See :class:`~vidfleet.executors.base.Executor`."""
        kept, self._kept = self._kept, []
        return kept + self._inbox.take(0.0 if kept else timeout_s)

    def wake(self) -> None:
        """See :class:`~vidfleet.executors.base.Executor`."""
        self._is_woken = True
        self._inbox.put(tuple)

    def close(self) -> None:
        """See :class:`~vidfleet.executors.base.Executor`."""
        self._over.set()
        if self._holders:
            self._holders.close(_CLOSE_S)
        if self._has_joined:
            with contextlib.suppress(RuntimeError):
                cluster.ray_module().shutdown()
        if self._litter:
            shutil.rmtree(self._litter, ignore_errors=True)
