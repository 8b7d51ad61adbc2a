"""Which lanes a cluster has: numbered over its nodes, no more than asked for, each with the GPU that Ray gave it."""

from __future__ import annotations

import pytest

from vidfleet.data import Device, Lane
from vidfleet.errors import UsageError
from vidfleet.executors.base import Told, check_machines
from vidfleet.executors.ray.cluster import Node, why_no_way
from vidfleet.executors.ray.holders import Holders
from vidfleet.executors.ray.inbox import Inbox
from vidfleet.executors.ray.node import NodeFacts, look
from vidfleet.executors.ray.pool import Pool, Seat, check, give_gpu, seats_on, share_of
from vidfleet.settings import RunSettings


def _node(name: str, *, cores: int = 4, gpus: int = 2) -> Node:
    return Node(name * 8, name, cores, 64 << 30, gpus)


def _seats(name: str, *, gpus: int = 2, settings: RunSettings | None = None) -> list[Seat]:
    node = _node(name, gpus=gpus)
    share = share_of(node, settings or RunSettings(), on_gpus=bool(gpus))
    assert share is not None
    return seats_on(node, share, look(share, "/"))


def _labels(pool: Pool) -> list[str]:
    return [seat.lane.label for seat in pool.seats.values()]


def test_the_first_lanes_are_on_different_nodes() -> None:
    pool = Pool(None)
    pool.add([_seats("a"), _seats("b")])
    assert _labels(pool) == ["a/gpu:0", "b/gpu:0", "a/gpu:1", "b/gpu:1"]
    assert list(pool.seats) == [seat.lane.index for seat in pool.seats.values()] == [0, 1, 2, 3]


def test_a_node_that_comes_has_indices_of_its_own() -> None:
    """No lane of a run is ever taken for one that was before it."""
    pool = Pool(None)
    pool.add([_seats("a")])
    pool.drop(pool.seats[1])
    assert [seat.lane.index for seat in pool.add([_seats("b")])] == [2, 3]


def test_no_more_lanes_than_wanted_and_others_take_the_place_of_lost_ones() -> None:
    pool = Pool(3)
    pool.add([_seats("a"), _seats("b")])
    assert _labels(pool) == ["a/gpu:0", "b/gpu:0", "a/gpu:1"]
    pool.drop(pool.seats[0])
    assert [seat.lane.label for seat in pool.fill()] == ["b/gpu:1"]
    assert pool.fill() == []


def test_what_few_videos_do_not_need_is_kept_for_when_a_node_is_lost() -> None:
    pool = Pool(None)
    pool.add([_seats("a"), _seats("b")])
    pool.keep_only([pool.seats[0].lane])
    assert _labels(pool) == ["a/gpu:0"]
    pool.forget("a" * 8)
    pool.drop(pool.seats[0])
    assert {seat.node.name for seat in pool.fill()} == {"b"}
    assert len(pool.seats) == 1


def test_a_node_that_is_refused_gives_no_lane() -> None:
    pool = Pool(None)
    pool.add([_seats("a"), _seats("b")])
    pool.refuse("a" * 8)
    assert _labels(pool) == ["b/gpu:0", "b/gpu:1"]
    assert [node.name for node in pool.nodes()] == ["b"]


def test_a_lane_is_that_of_the_gpu_which_ray_gave() -> None:
    """Two actors of one node may get them in any order; and a GPU that nobody thought of keeps its name."""
    pool = Pool(None)
    first, second = pool.add([_seats("a")])
    give_gpu(first, "1", pool)
    assert (first.lane.label, first.lane.index, second.lane.label) == ("a/gpu:1", 0, "a/gpu:0")
    first.is_up = True
    second.devices = (Device("gpu", "7", "Some GPU", "GPU-7"),)
    give_gpu(second, "7", pool)
    assert (second.lane.label, second.lane.device.model) == ("a/gpu:7", "Some GPU")


def test_shares_of_a_gpu_and_of_the_processor_add_up_to_no_more_than_there_is() -> None:
    for settings, gpus in ((RunSettings(per_gpu=3), 2), (RunSettings(devices="cpu:3"), 0), (RunSettings(), 0)):
        seats = _seats("a", gpus=gpus, settings=settings)
        assert len(seats) == {2: 6, 0: 3 if settings.devices else 4}[gpus]
        assert sum(seat.gpus for seat in seats) <= gpus
        assert sum(seat.cpus for seat in seats) <= 4
        assert all(seat.cpus or seat.gpus for seat in seats)


def test_nodes_without_what_is_wanted_give_nothing() -> None:
    assert share_of(_node("a", gpus=0), RunSettings(), on_gpus=True) is None
    assert share_of(_node("a", cores=0, gpus=0), RunSettings(), on_gpus=False) is None
    share = share_of(_node("a", gpus=8), RunSettings(num_gpus=3), on_gpus=True)
    assert share is not None
    assert share.gpus == 3


def test_a_gpu_that_comes_to_a_cluster_without_one_gets_lanes() -> None:
    """Beside those on the processor; unless the user wants the processor."""
    share = share_of(_node("a", gpus=2), RunSettings(), on_gpus=False)
    assert share is not None
    assert share.gpus == 2
    share = share_of(_node("a", gpus=2), RunSettings(devices="cpu:3"), on_gpus=False)
    assert share is not None
    assert (share.gpus, share.cpu_lanes) == (0, 3)


def test_a_part_of_a_machine_is_shared_out_without_its_cores() -> None:
    """Three nodes of one machine must not all take its first core."""
    node = Node("a" * 8, "a", 1, 64 << 30, 0)
    share = share_of(node, RunSettings(devices="cpu:1"), on_gpus=False)
    assert share is not None
    (lane,) = look(share, "/").lanes
    assert (lane.threads, lane.cores) == (1, ())


def test_an_interpreter_that_is_not_there_is_seen() -> None:
    share = share_of(_node("a"), RunSettings(), on_gpus=True)
    assert share is not None
    assert look(share, "/no/such/python") == NodeFacts(look(share, "/").lanes, (), has_python=False)


def test_gpus_are_not_named_with_ray() -> None:
    with pytest.raises(UsageError, match="--num-gpus 2"):
        check(RunSettings(gpus=("0",)))


def test_after_a_quarter_of_an_hour_without_a_lane_the_executor_gives_up() -> None:
    """And at once where none can come."""
    holders = Holders(Pool(None), Inbox(), "mark", may_grow=True)
    told = [holders.look() for _ in range(451)]
    assert not any(told[:450])
    assert told[450] == [Told("the Ray cluster has given no lane for 15 minutes", is_last=True)]
    holders = Holders(Pool(None), Inbox(), "mark", may_grow=False)
    assert [event.is_last for event in holders.look() if isinstance(event, Told)] == [True]


@pytest.mark.ray
def test_what_kept_us_out_of_a_cluster_is_said_with_what_helps() -> None:
    pytest.importorskip("ray")
    failed = RuntimeError("Failed to connect to Ray cluster at 10.0.0.5:6379")
    written = b"gcs_client.cc:210: Failed to get cluster ID from GCS server: Unauthenticated: RPC error"
    assert "RAY_AUTH_MODE=token" in why_no_way("10.0.0.5:6379", failed, written)
    assert why_no_way("10.0.0.5:6379", failed, b"").startswith("Failed to connect to Ray cluster at 10.0.0.5:6379\n")
    assert "No Ray runs on this machine" in why_no_way("auto", ConnectionError("none"), b"")


@pytest.mark.parametrize(
    "settings",
    [
        RunSettings(address="auto"), RunSettings(executor="slurm", address="auto"),
        RunSettings(executor="ray", detach=True), RunSettings(executor="ray", slurm=("gpus=1",)),
    ],
)  # fmt: skip
def test_an_option_of_another_executor_is_refused(settings: RunSettings) -> None:
    """Who says --detach shall not wait for a run that can't."""
    with pytest.raises(UsageError, match=f"and this is --executor {settings.executor}"):
        check_machines(settings)


def test_a_lane_on_another_machine_is_called_by_it() -> None:
    assert Lane(3, Device("cpu", "", host="node7"), 1).label == "node7/cpu:3"
    assert Device("gpu", "1", host="node7").label == "node7/gpu:1"
