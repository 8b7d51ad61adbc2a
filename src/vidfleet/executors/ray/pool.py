"""Which lanes a cluster can have, and where each is: the nodes that are there, and what each of them gives."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vidfleet.data import Device, Lane
from vidfleet.errors import UsageError
from vidfleet.executors.ray.cluster import Node
from vidfleet.executors.ray.lane_actor import Order
from vidfleet.executors.ray.node import Share, device_named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vidfleet.executors.ray.node import NodeFacts
    from vidfleet.settings import RunSettings


@dataclass
class Seat:
    """A lane's place on a node, and who holds it."""

    lane: Lane
    node: Node
    devices: tuple[Device, ...]
    """The node's GPUs, where a driver tells."""
    cpus: float
    """What Ray is asked for, with ``gpus``."""
    gpus: float
    actor: Any = None
    is_up: bool = False
    is_known: bool = False
    """The runner has heard of the lane."""
    attempt: str = ""
    waiting: list[Order] = field(default_factory=list)
    """What it is to be told when it is up."""
    asked_at: float = 0.0
    """When it was last asked for news, by the monotonic clock."""
    silent: int = 0
    """Looks at it since it was last heard."""
    deaths: int = 0
    """Of its actors, since an attempt has ended by itself."""


def check(settings: RunSettings) -> None:
    """Raise UsageError for what cannot be had with Ray."""
    if settings.gpus:
        raise UsageError("--gpus names GPUs of one machine, and Ray gives them out itself: say how many, --num-gpus 2")
    if settings.per_gpu == "auto":
        raise UsageError("--per-gpu auto is for --executor local: with Ray say how many, --per-gpu 2")
    if settings.num_gpus and settings.devices:
        raise UsageError("--num-gpus and --devices exclude each other")


def share_of(node: Node, settings: RunSettings, *, on_gpus: bool) -> Share | None:
    """What is wanted of a node; nothing where it has none of it.

    Without ``on_gpus`` a node with GPUs is asked for them all the same: it has come to a cluster that had none.
    """
    assert isinstance(settings.per_gpu, int)
    on_gpus = on_gpus or (bool(node.gpus) and not settings.devices)
    gpus = min(node.gpus, settings.num_gpus or node.gpus) if on_gpus else 0
    if (on_gpus and not gpus) or not (on_gpus or node.cores):
        return None
    cpu_lanes = int(settings.devices.partition(":")[2]) if settings.devices else 0
    return Share(node.cores, node.memory_bytes, gpus, settings.per_gpu, cpu_lanes, settings.cores_per_lane)


def seats_on(node: Node, share: Share, facts: NodeFacts) -> list[Seat]:
    """The node's lanes, not yet numbered."""
    count = len(facts.lanes)
    if share.gpus:
        cpus, gpus = float(node.cores >= count), 1.0 if share.per_gpu == 1 else int(10_000 / share.per_gpu) / 10_000
    else:
        cpus, gpus = float(node.cores // count) or int(100 * node.cores / count) / 100, 0.0
    placed = [replace(lane, device=replace(lane.device, host=node.name)) for lane in facts.lanes]
    return [Seat(lane, node, facts.devices, cpus, gpus) for lane in placed]


class Pool:
    """All seats, by the index of their lane; and those that are kept for when others are lost."""

    def __init__(self, most: int | None) -> None:
        self.most = most
        """No more lanes at a time than this."""
        self.seats: dict[int, Seat] = {}
        self.kept: list[Seat] = []
        self._next = 0

    def add(self, by_node: Sequence[Sequence[Seat]]) -> list[Seat]:
        """Number seats, the first of each node before the second of any; those beyond ``most`` are kept."""
        deepest = max(map(len, by_node), default=0)
        turns = [seats[turn] for turn in range(deepest) for seats in by_node if turn < len(seats)]
        self.kept += turns
        return self.fill()

    def fill(self) -> list[Seat]:
        """Take seats into use while there may be more; those that were taken."""
        taken = []
        while self.kept and (self.most is None or len(self.seats) < self.most):
            seat = self.kept.pop(0)
            seat.lane = replace(seat.lane, index=self._next)
            self.seats[self._next] = seat
            self._next += 1
            taken.append(seat)
        return taken

    def keep_only(self, lanes: Sequence[Lane]) -> None:
        """Use these lanes only; the others are kept, and no more are used than these at a time."""
        wanted = {lane.index for lane in lanes}
        if len(wanted) < len(self.seats):
            self.most = len(wanted)
            self.kept = [seat for index, seat in self.seats.items() if index not in wanted] + self.kept
            self.seats = {index: seat for index, seat in self.seats.items() if index in wanted}

    def drop(self, seat: Seat) -> None:
        """A seat is no more."""
        self.seats.pop(seat.lane.index, None)

    def forget(self, node_id: str) -> None:
        """Nothing is kept on this node any more: it is lost."""
        self.kept = [seat for seat in self.kept if seat.node.id != node_id]

    def refuse(self, node_id: str) -> None:
        """No seat of this node is to be used."""
        self.forget(node_id)
        self.seats = {index: seat for index, seat in self.seats.items() if seat.node.id != node_id}

    def nodes(self) -> list[Node]:
        """All nodes that seats are on, each once."""
        return list({seat.node.id: seat.node for seat in (*self.seats.values(), *self.kept)}.values())


def give_gpu(seat: Seat, visible: str, pool: Pool) -> None:
    """Make a lane the one of the GPU that Ray has given to its actor: another seat of the node may be meant by it."""
    if seat.lane.device.kind == "cpu" or seat.lane.device.visible == visible:
        return
    for other in pool.seats.values():
        is_free = other is not seat and not other.is_up and not other.is_known
        if is_free and other.node.id == seat.node.id and other.lane.device.visible == visible:
            mine, theirs = seat.lane, other.lane
            seat.lane, other.lane = replace(theirs, index=mine.index), replace(mine, index=theirs.index)
            return
    device = replace(device_named(visible, seat.devices), host=seat.lane.device.host)
    seat.lane = replace(seat.lane, device=device, cores=())
