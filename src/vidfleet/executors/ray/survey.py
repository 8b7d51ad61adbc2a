"""Which nodes get lanes, and which: each is asked, as it comes, whether it can work where the runner does."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import vidfleet
from vidfleet.errors import SetupError, UsageError
from vidfleet.executors.base import Told
from vidfleet.executors.ray import cluster
from vidfleet.executors.ray.node import NodeFacts, see
from vidfleet.executors.ray.pool import seats_on, share_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vidfleet.executors.base import Ground
    from vidfleet.executors.ray.inbox import Inbox
    from vidfleet.executors.ray.node import Share
    from vidfleet.executors.ray.pool import Pool, Seat
    from vidfleet.settings import RunSettings

_ANSWER_S = 120.0
"""A node starts a process for its first question; a busy one takes its time."""
_LATE_S = 10.0
"""One that takes so much longer than another is not waited for: it is asked again, and joins. It looks for 5 s."""
_NO_NODES = "It has no node with processors or GPUs for Ray: start some (ray start --address HEAD:6379)."


class Survey:
    """Asks all nodes that are there at the start, and waits for them; then those that come or were late, without."""

    def __init__(self, settings: RunSettings, pool: Pool, inbox: Inbox) -> None:
        self._settings, self._pool, self._inbox = settings, pool, inbox
        self._on_gpus = False
        """Whether nodes without a GPU give no lanes."""
        self._known: set[str] = set()
        """Identities of nodes that were asked."""
        self._ground: Ground | None = None

    def take_in(self) -> tuple[str, ...]:
        """Fill the pool with what the cluster has; sentences about nodes that get no lanes.

        Raises UsageError where none gets any.
        """
        nodes = cluster.nodes()
        self._on_gpus = not self._settings.devices and any(node.gpus for node in nodes)
        if self._settings.num_gpus and not self._on_gpus:
            raise UsageError(f"--num-gpus {self._settings.num_gpus}, but no node of the Ray cluster has a GPU")
        asked = [(node, share, self._greet(node, share)) for node in nodes if (share := self._share_of(node))]
        self._known = {node.id for node in nodes}
        by_node, sentences = list[list["Seat"]](), list[str]()
        answers = cluster.answers([ref for _, _, ref in asked], _ANSWER_S, _LATE_S)
        for (node, share, _), answer in zip(asked, answers, strict=True):
            seats = _judge(node, share, answer)
            if cluster.is_late(answer):
                sentences.append(self._ask_again(node))
            elif isinstance(seats, str):
                sentences.append(seats)
            else:
                by_node.append(seats)
        if not by_node:
            raise UsageError("\n".join(["no node of the Ray cluster can have lanes", *(sentences or [_NO_NODES])]))
        self._pool.add(by_node)
        if not self._on_gpus and not self._settings.devices:
            sentences.append("no node of the Ray cluster has a GPU: the videos run on the processor")
        return tuple(sentences)

    def refuse_blind(self, ground: Ground) -> list[Told]:
        """Take the seats from nodes that don't see what the runner sees; raises SetupError where none does."""
        self._ground = ground
        nodes = self._pool.nodes()
        answers = cluster.answers([self._see(node, ground) for node in nodes], _ANSWER_S, _LATE_S)
        sentences = []
        for node, answer in zip(nodes, answers, strict=True):
            if trouble := _trouble(answer):
                sentences.append(self._ask_again(node) if cluster.is_late(answer) else _refused(node, trouble))
                self._pool.refuse(node.id)
        self._pool.fill()
        if not self._pool.seats:
            raise SetupError("\n".join(["no node of the Ray cluster sees the videos as this machine does", *sentences]))
        return [Told(sentence) for sentence in sentences]

    def _ask_again(self, node: cluster.Node) -> str:
        self._known.discard(node.id)  # at the next look it counts as one that has come
        return f"node {node.name} has not answered yet: its lanes join when it does"

    def welcome(self, found: Sequence[cluster.Node], then: Callable[[list[Seat]], None]) -> None:
        """Ask nodes that are new; ``then`` gets seats that were taken into use for them."""
        for node in found:
            if node.id not in self._known and (share := self._share_of(node)):
                self._inbox.when_done(self._greet(node, share), partial(self._introduced, node, share, then))
            self._known.add(node.id)

    def _introduced(
        self, node: cluster.Node, share: Share, then: Callable[[list[Seat]], None], answer: NodeFacts | str | Exception
    ) -> list[Told]:
        seats = _judge(node, share, answer)
        if isinstance(seats, str):
            return [Told(seats)]
        assert self._ground is not None
        self._inbox.when_done(self._see(node, self._ground), partial(self._seen, node, seats, then))
        return []

    def _seen(
        self, node: cluster.Node, seats: list[Seat], then: Callable[[list[Seat]], None], answer: str | Exception
    ) -> list[Told]:
        if trouble := _trouble(answer):
            return [Told(_refused(node, trouble))]
        then(self._pool.add([seats]))
        return []

    def _share_of(self, node: cluster.Node) -> Share | None:
        return share_of(node, self._settings, on_gpus=self._on_gpus)

    def _greet(self, node: cluster.Node, share: Share) -> Any:  # noqa: ANN401 - Ray's reference
        return cluster.task(cluster.greeting(), node).remote(vidfleet.__version__, share, cluster.interpreter())

    def _see(self, node: cluster.Node, ground: Ground) -> Any:  # noqa: ANN401
        return cluster.task(see, node).remote(ground)


def _judge(node: cluster.Node, share: Share, answer: NodeFacts | str | Exception) -> list[Seat] | str:
    """A node's seats, or a sentence why it gets no lanes."""
    if isinstance(answer, NodeFacts) and answer.has_python:
        return seats_on(node, share, answer)
    if isinstance(answer, NodeFacts):
        return _refused(node, f"it has no {cluster.interpreter()}, which this runner runs in")
    return _refused(node, _trouble(answer))


def _trouble(answer: str | Exception) -> str:
    return cluster.why_not(answer) if isinstance(answer, Exception) else answer


def _refused(node: cluster.Node, why: str) -> str:
    return f"node {node.name} gets no videos: {why}"
