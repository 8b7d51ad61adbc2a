"""Lanes keep to the cores near their GPUs, share them, and never claim what is not theirs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from vidfleet.data import Device, Lane
from vidfleet.worker.affinity import bind_lanes
from vidfleet.worker.gpus.base import read_cpu_list
from vidfleet.worker.gpus.simulated import Simulated

if TYPE_CHECKING:
    from pathlib import Path

ALL = frozenset(range(16))
LEFT, RIGHT = list(range(8)), list(range(8, 16))


def _bound(tmp_path: Path, near: list[list[int]], usable: frozenset[int] = ALL, per_gpu: int = 1) -> list[list[int]]:
    path = tmp_path / "gpus.json"
    path.write_text(json.dumps([{"near_cores": cores} for cores in near]))
    gpus = Simulated(path)
    lanes = [Lane(i, device, 4) for i, device in enumerate(gpus.devices() * per_gpu)]
    bound = bind_lanes(lanes, gpus, usable, sysfs=tmp_path)
    assert [lane.index for lane in bound] == [lane.index for lane in lanes]
    return [list(lane.cores) for lane in bound]


def test_gpus_at_one_socket_share_its_cores(tmp_path: Path) -> None:
    assert _bound(tmp_path, [LEFT, LEFT, RIGHT]) == [[0, 1, 2, 3], [4, 5, 6, 7], RIGHT]
    assert _bound(tmp_path, [LEFT, RIGHT], per_gpu=2) == [[0, 1, 2, 3], [8, 9, 10, 11], [4, 5, 6, 7], [12, 13, 14, 15]]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_every_core_near_is_given_once(tmp_path: Path, count: int) -> None:
    shares = _bound(tmp_path, [LEFT] * count)
    assert sorted(core for share in shares for core in share) == LEFT
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_only_cores_that_this_process_may_use(tmp_path: Path) -> None:
    assert _bound(tmp_path, [LEFT, RIGHT], frozenset({0, 1, 8})) == [[0, 1], [8]]


@pytest.mark.parametrize("near", [[], list(ALL), list(range(99))])
def test_where_no_core_is_nearer_all_are_shared_out(tmp_path: Path, near: list[int]) -> None:
    """One socket, or a driver that does not tell. One lane alone is bound to nothing."""
    assert _bound(tmp_path, [near, near]) == [LEFT, RIGHT]
    assert _bound(tmp_path, [near]) == [[]]


def test_too_few_cores_for_all_are_left_to_all(tmp_path: Path) -> None:
    assert _bound(tmp_path, [LEFT] * 9) == [[]] * 9
    assert _bound(tmp_path, [[]] * 17) == [[]] * 17


def test_a_gpu_whose_cores_are_not_known_takes_none_of_anothers(tmp_path: Path) -> None:
    assert _bound(tmp_path, [LEFT, []]) == [LEFT, []]


def test_no_more_cores_than_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "gpus.json").write_text("[]")
    lanes = [Lane(i, Device("cpu", ""), 8) for i in range(2)]
    bound = bind_lanes(lanes, Simulated(tmp_path / "gpus.json"), ALL, most=3, sysfs=tmp_path)
    assert [(lane.cores, lane.threads) for lane in bound] == [((0, 1, 2), 3), ((8, 9, 10), 3)]


def test_the_threads_of_one_core_stay_together(tmp_path: Path) -> None:
    """Cores 0 to 3 with their second threads 4 to 7."""
    for core in LEFT:
        topology = tmp_path / f"devices/system/cpu/cpu{core}/topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(f"{core % 4},{core % 4 + 4}\n")
    assert _bound(tmp_path, [LEFT, LEFT]) == [[0, 1, 4, 5], [2, 3, 6, 7]]


def test_lanes_on_the_processor_have_cores_of_their_own(tmp_path: Path) -> None:
    """And as many threads."""
    (tmp_path / "gpus.json").write_text("[]")
    lanes = [Lane(i, Device("cpu", ""), 4) for i in range(3)]
    bound = bind_lanes(lanes, Simulated(tmp_path / "gpus.json"), ALL, sysfs=tmp_path)
    assert [lane.cores for lane in bound] == [tuple(range(5)), tuple(range(5, 10)), tuple(range(10, 16))]
    assert [lane.threads for lane in bound] == [5, 5, 6]


def test_the_kernels_lists_of_cores_are_read() -> None:
    assert read_cpu_list("0-3,8,10-11\n") == {0, 1, 2, 3, 8, 10, 11}
    assert read_cpu_list("\n") == frozenset()
    with pytest.raises(ValueError, match="invalid literal"):
        read_cpu_list("a-b")
