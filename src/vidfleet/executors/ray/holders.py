"""The actors that hold the lanes: asked for, greeted, listened to, and buried.

A dead actor's lane gets another one on the same node, after the node has ended what was left. Where the node is lost
itself, nobody can look: then the time says when nothing can be at work there any more (``times.py``).
"""

from __future__ import annotations

import os
import queue
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from vidfleet.errors import LaneError
from vidfleet.executors.base import Gone, Joined, LaneEvent, Lost, Told
from vidfleet.executors.ray import cluster
from vidfleet.executors.ray.lane_actor import ORDERS, LaneActor, News
from vidfleet.executors.ray.node import sweep
from vidfleet.executors.ray.pool import Seat, give_gpu
from vidfleet.executors.ray.times import SURELY_OVER_S
from vidfleet.worker.messages import Failed, Finished
from vidfleet.worker.process import THREAD_VARIABLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vidfleet.executors.ray.inbox import Inbox
    from vidfleet.executors.ray.lane_actor import Bound, Order
    from vidfleet.executors.ray.pool import Pool

BETWEEN_LOOKS_S = 2.0
_SILENT_LOOKS = 30
"""A lane answers every 5 s; one that has not for so many looks hangs. Looks are not taken while we stand still."""
_UP_LOOKS = 60
"""So many until a lane whose actor has died must have another."""
_MOST_DEATHS = 3
_WITHOUT_LANES_LOOKS = 450
"""15 minutes: a cloud takes some to give machines."""


@dataclass(frozen=True, slots=True)
class _Answered:
    """A lane's answer to the question for news, or what came in its place."""

    seat: Seat
    actor: Any
    future: Future[list[News]]


class Holders:
    """What happens to a seat between its taking and its end."""

    def __init__(self, pool: Pool, inbox: Inbox, mark: str, *, may_grow: bool) -> None:
        """``may_grow``: whether nodes may join."""
        self._pool, self._inbox, self._mark, self._may_grow = pool, inbox, mark, may_grow
        self._answered: queue.SimpleQueue[_Answered | None] = queue.SimpleQueue()
        threading.Thread(target=self._keep_asking, name="news", daemon=True).start()
        self._fenced: list[tuple[float, Seat]] = []
        """Seats on lost nodes, and when what ran there must be over, by the monotonic clock."""
        self._looks_without_lanes = 0

    def hold(self, seats: list[Seat]) -> None:
        """Ask Ray for an actor on each of them; its lane joins when it is up."""
        if not seats:
            return
        remote = cluster.ray_module().remote(concurrency_groups={ORDERS: 1})(LaneActor)
        for seat in seats:
            asked = {"num_cpus": seat.cpus, "num_gpus": seat.gpus, **cluster.on_node(seat.node)}
            actor = seat.actor = remote.options(max_restarts=0, max_task_retries=0, **asked).remote()
            seat.is_up, seat.silent = False, 0
            self._inbox.when_done(actor.hello.remote(), partial(self._greeted, seat, actor))

    def _greeted(self, seat: Seat, actor: Any, answer: Bound | Exception) -> list[LaneEvent]:  # noqa: ANN401
        if seat.actor is not actor:
            return []
        if isinstance(answer, Exception):
            return self._died(seat, answer)
        give_gpu(seat, answer.visible, self._pool)
        ref = actor.bind.remote(seat.lane, self._mark, _variables())
        self._inbox.when_done(ref, partial(self._bound, seat, actor))
        return []

    def _bound(self, seat: Seat, actor: Any, answer: Exception | None) -> list[LaneEvent]:  # noqa: ANN401
        if seat.actor is not actor:
            return []
        if answer is not None:
            return self._died(seat, answer)
        seat.is_up, seat.silent = True, 0
        self._ask(seat, actor)
        for order in seat.waiting:
            self.order(seat, order)
        seat.waiting.clear()
        if seat.is_known:
            return []
        seat.is_known = True
        return [LaneEvent(seat.lane, Joined())]

    def _ask(self, seat: Seat, actor: Any) -> None:  # noqa: ANN401
        seat.asked_at = time.monotonic()
        told = partial(_Answered, seat, actor)
        actor.hear.remote().future().add_done_callback(lambda future: self._answered.put(told(future)))

    def _keep_asking(self) -> None:
        """In a thread of its own: the runner may copy an output for minutes, and lanes must not take it for dead."""
        while answered := self._answered.get():
            seat, actor, future = answered.seat, answered.actor, answered.future
            answer: list[News] | BaseException = future.exception() or future.result()
            if not isinstance(answer, BaseException) and seat.actor is actor:
                self._ask(seat, actor)
            self._inbox.put(partial(self._heard, seat, actor, answer))

    def _heard(self, seat: Seat, actor: Any, answer: list[News] | BaseException) -> list[LaneEvent]:  # noqa: ANN401
        if seat.actor is not actor:
            return []
        if isinstance(answer, BaseException):
            return self._died(seat, answer)
        seat.silent = 0
        if any(isinstance(message, Finished | Failed | Lost) for message in answer):
            seat.attempt, seat.deaths = "", 0
        return [LaneEvent(seat.lane, message) for message in answer]

    def order(self, seat: Seat, order: Order) -> Any:  # noqa: ANN401 - Ray's reference, or nothing
        """Tell a lane, now or as soon as it is up."""
        if seat.is_up:
            return seat.actor.order.options(concurrency_group=ORDERS).remote(order)
        seat.waiting.append(order)
        return None

    # ---- deaths

    def _died(self, seat: Seat, error: BaseException) -> list[LaneEvent]:
        """An actor is dead, or its node: have the node look after what it may have left; if it still can."""
        cluster.kill(seat.actor)
        seat.actor, seat.is_up = None, False
        seat.waiting.clear()
        seat.deaths += 1
        self._inbox.when_done(self.sweep(seat), partial(self._swept, seat, seat.attempt, _death(error)))
        return []

    def sweep(self, seat: Seat) -> Any:  # noqa: ANN401
        """Have a lane's node end what carries its mark."""
        return cluster.task(sweep, seat.node).remote(f"{self._mark}:{seat.lane.index}")

    def _swept(self, seat: Seat, attempt: str, reason: str, answer: int | Exception) -> Sequence[LaneEvent | Told]:
        if isinstance(answer, Exception):  # there is no such node any more
            self._fenced.append((seat.asked_at + SURELY_OVER_S if seat.attempt else 0.0, seat))
            return self._lift_fences()
        if seat.deaths > _MOST_DEATHS:
            return self._leave(seat, f"{reason}, again and again")
        if seat.attempt == attempt:  # else it was given since, and waits for the next actor
            seat.attempt = ""
        self.hold([seat])
        return [LaneEvent(seat.lane, Lost(attempt, reason))] if seat.is_known else []

    def _lift_fences(self) -> list[LaneEvent | Told]:
        """Tell of lanes on lost nodes, once nothing of them can be at work any more."""
        now, events = time.monotonic(), list[LaneEvent | Told]()
        lifted = [seat for over_at, seat in self._fenced if over_at <= now]
        self._fenced = [(over_at, seat) for over_at, seat in self._fenced if over_at > now]
        for seat in lifted:
            self._pool.forget(seat.node.id)
            events += self._leave(seat, f"node {seat.node.name} was lost")
        return events

    def _leave(self, seat: Seat, reason: str) -> list[LaneEvent | Told]:
        """A lane is no more; others may be taken in its place."""
        cluster.kill(seat.actor)
        seat.actor, seat.is_up = None, False
        self._pool.drop(seat)
        self.hold(self._pool.fill())
        if seat.is_known:
            return [LaneEvent(seat.lane, Gone(seat.attempt, reason))]
        return [Told(f"{seat.lane.label} gives no lane: {reason}")]

    def look(self) -> list[LaneEvent | Told]:
        """Look at all of them, every ``BETWEEN_LOOKS_S``; the last word, where there were none for too long."""
        if not self._pool.seats and not self._may_grow:
            return [Told("Ray on this machine is lost, or gives no lane any more", is_last=True)]
        events = self._lift_fences()
        for seat in list(self._pool.seats.values()):
            seat.silent += 1
            if seat.is_up and seat.silent > _SILENT_LOOKS:
                silence_s = seat.silent * BETWEEN_LOOKS_S
                events += self._died(seat, LaneError(f"its actor said nothing for {silence_s:g} s"))
            elif seat.is_known and seat.actor and not seat.is_up and seat.silent > _UP_LOOKS:
                events += self._leave(seat, "its actor has died, and Ray gives it no other")
        has_lanes = any(seat.is_up for seat in self._pool.seats.values())
        self._looks_without_lanes = 0 if has_lanes else self._looks_without_lanes + 1
        if self._looks_without_lanes > _WITHOUT_LANES_LOOKS:
            minutes = self._looks_without_lanes * BETWEEN_LOOKS_S / 60
            events.append(Told(f"the Ray cluster has given no lane for {minutes:.0f} minutes", is_last=True))
        return events

    # ---- the end

    def close(self, within_s: float) -> None:
        """End all lanes; returns when nothing is left of them, or as much of ``within_s`` has gone by twice."""
        held = [seat for seat in self._pool.seats.values() if seat.actor is not None]
        self._answered.put(None)
        closing = {}
        for seat in held:
            if seat.is_up:
                seat.actor.hear.remote()  # the end is made in the thread of this call
                closing[seat.actor.close.options(concurrency_group=ORDERS).remote()] = seat
        left = cluster.failing(list(closing), within_s)
        for seat in held:
            cluster.kill(seat.actor)
        cluster.failing([self.sweep(closing[ref]) for ref in left], within_s)
        self._pool.seats.clear()


def _variables() -> tuple[tuple[str, str], ...]:
    """What lanes take over from here: our own variables, and numbers of threads that the user has set."""
    ours = {name for name in os.environ if name.startswith("VIDFLEET_")}
    return tuple((name, os.environ[name]) for name in sorted(ours | (set(THREAD_VARIABLES) & set(os.environ))))


def _death(error: BaseException) -> str:
    """How an actor died, in a sentence."""
    error = getattr(error, "cause", None) or error  # what it has raised itself comes in an exception of Ray's
    if isinstance(error, LaneError):
        return str(error).splitlines()[0]
    text = " ".join(str(error).split())
    if "low on memory" in text:
        return "Ray killed its actor because the node's memory ran out"
    return "its actor was killed or crashed"
