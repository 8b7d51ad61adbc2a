"""Which lanes a machine gives, with whatever GPUs it has."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Literal

import pytest

from vidfleet.data import Device
from vidfleet.errors import UsageError
from vidfleet.settings import LaneSettings
from vidfleet.worker import lanes as module
from vidfleet.worker.gpus import GpuMemory
from vidfleet.worker.lanes import Lanes, make_lanes


class Machine:
    """A machine with some GPUs, of which some are in use."""

    def __init__(self, count: int, maker: Literal["NVIDIA", "AMD"] = "NVIDIA", *, busy: tuple[str, ...] = ()) -> None:
        self.count, self.maker, self.busy = count, maker, busy

    def memory(self, visible: str) -> GpuMemory | None:
        return GpuMemory(1 << 30 if visible in self.busy else 1 << 20)

    def near_cores(self, visible: str) -> frozenset[int]:
        return frozenset()

    def devices(self) -> tuple[Device, ...]:
        return tuple(
            Device("gpu", str(i), f"{self.maker} {i}", f"GPU-{'abcdefgh'[i]}{i}-uuid", "570", self.maker)
            for i in range(self.count)
        )


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(module, "cores", lambda: 16)


def _lanes(count: int, settings: LaneSettings | None = None) -> Lanes:
    return make_lanes(settings or LaneSettings(), Machine(count))


def _visible(lanes: Lanes) -> list[str]:
    assert [lane.index for lane in lanes.lanes] == list(range(len(lanes.lanes)))
    return [lane.device.visible for lane in lanes.lanes]


def test_without_a_flag_every_gpu_is_a_lane_with_its_share_of_the_cores() -> None:
    lanes = _lanes(4)
    assert _visible(lanes) == ["0", "1", "2", "3"]
    assert {lane.threads for lane in lanes.lanes} == {4}
    assert lanes.lanes[1].device == Device("gpu", "1", "NVIDIA 1", "GPU-b1-uuid", "570", "NVIDIA")
    assert lanes.notices == ()


def test_num_gpus_takes_the_first_ones() -> None:
    assert _visible(_lanes(8, LaneSettings(num_gpus=4))) == ["0", "1", "2", "3"]


def test_more_than_there_are_is_an_error_that_lists_what_is_there() -> None:
    with pytest.raises(UsageError, match=r"(?s)--num_gpus 8, but there are 2:.*0  NVIDIA 0  GPU-a0.*1  NVIDIA 1"):
        _lanes(2, LaneSettings(num_gpus=8))


def test_without_a_driver_num_gpus_gives_lanes_all_the_same_and_says_so() -> None:
    lanes = _lanes(0, LaneSettings(num_gpus=3))
    assert _visible(lanes) == ["0", "1", "2"]
    assert "no NVIDIA driver" in lanes.notices[0]


def test_without_a_driver_named_gpus_are_believed_and_it_says_so() -> None:
    lanes = _lanes(0, LaneSettings(gpus=("2", "GPU-x", "2")))
    assert _visible(lanes) == ["2", "GPU-x"]
    assert "no NVIDIA driver" in lanes.notices[0]


def test_without_gpus_lanes_are_on_the_processor_and_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = SimpleNamespace(total=12 << 30)
    monkeypatch.setattr("psutil.virtual_memory", lambda: memory)
    lanes = _lanes(0)
    assert _visible(lanes) == ["", "", ""]
    assert [lane.label for lane in lanes.lanes] == ["cpu:0", "cpu:1", "cpu:2"]
    assert "no GPU here" in lanes.notices[0]
    memory.total = 999 << 30
    assert len(_lanes(0).lanes) == 8
    memory.total = 1 << 30
    assert len(_lanes(0).lanes) == 1


def test_devices_cpu_leaves_the_gpus_alone() -> None:
    lanes = _lanes(4, LaneSettings(devices="cpu:3"))
    assert [lane.device for lane in lanes.lanes] == [Device("cpu", "")] * 3
    assert {lane.threads for lane in lanes.lanes} == {5}


def test_gpus_by_index_and_by_the_beginning_of_a_uuid() -> None:
    """An index stays an index, for scripts that read a number; a UUID stays one."""
    assert _visible(_lanes(4, LaneSettings(gpus=("2", "GPU-b")))) == ["2", "GPU-b1-uuid"]
    assert _visible(_lanes(4, LaneSettings(gpus=("1", "1", "GPU-b1")))) == ["1"]


@pytest.mark.parametrize(
    ("word", "why"), [("7", "no such GPU"), ("GPU-z", "no such"), ("GPU-", "more than one"), ("x", "no such")]
)
def test_a_gpu_that_is_not_there_is_refused_with_the_list(word: str, why: str) -> None:
    with pytest.raises(UsageError, match=rf"(?s)--gpus {word}: .*{why}.*NVIDIA 1"):
        _lanes(2, LaneSettings(gpus=(word,)))


def test_per_gpu_lets_lane_i_be_on_gpu_i_mod_n() -> None:
    lanes = _lanes(2, LaneSettings(per_gpu=2))
    assert _visible(lanes) == ["0", "1", "0", "1"]
    assert {lane.threads for lane in lanes.lanes} == {4}
    assert _visible(_lanes(0, LaneSettings(num_gpus=2, per_gpu=2))) == ["0", "1", "0", "1"]


@pytest.mark.parametrize(
    ("allowed", "visible"),
    [
        ("2,0", ["2", "0"]),
        (" 1 , 3", ["1", "3"]),
        ("1,1", ["1"]),
        ("GPU-b1-uuid,GPU-d", ["GPU-b1-uuid", "GPU-d3-uuid"]),
        ("MIG-1234", ["MIG-1234"]),
        ("0,9", ["0"]),
    ],
)
def test_what_is_set_from_outside_is_the_allowed_set(
    monkeypatch: pytest.MonkeyPatch, allowed: str, visible: list[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
    assert _visible(_lanes(4)) == visible


@pytest.mark.parametrize("nothing", ["", "-1", "NoDevFiles"])
def test_an_empty_allowed_set_means_the_processor(monkeypatch: pytest.MonkeyPatch, nothing: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", nothing)
    lanes = _lanes(4)
    assert {lane.device.kind for lane in lanes.lanes} == {"cpu"}
    assert "CUDA_VISIBLE_DEVICES allows none" in lanes.notices[0]
    with pytest.raises(UsageError, match="of the 4 GPUs here CUDA_VISIBLE_DEVICES allows 0"):
        _lanes(4, LaneSettings(num_gpus=1))


def test_flags_choose_within_the_allowed_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    assert _visible(_lanes(4, LaneSettings(num_gpus=1))) == ["3"]
    assert _visible(_lanes(4, LaneSettings(gpus=("1", "GPU-d")))) == ["1", "GPU-d3-uuid"]
    with pytest.raises(UsageError, match=re.escape("--gpus 0: CUDA_VISIBLE_DEVICES does not allow it")):
        _lanes(4, LaneSettings(gpus=("0",)))
    with pytest.raises(UsageError, match="allows 2"):
        _lanes(4, LaneSettings(num_gpus=3))


def test_free_leaves_alone_what_others_use() -> None:
    assert _visible(make_lanes(LaneSettings(gpus=("free",)), Machine(3, busy=("1",)))) == ["0", "2"]
    with pytest.raises(UsageError, match=r"(?s)none is free now; there are:.*NVIDIA 1"):
        make_lanes(LaneSettings(gpus=("free",)), Machine(2, busy=("0", "1")))


def test_on_amd_the_allowed_set_is_hips_and_else_cudas_as_hip_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert _visible(make_lanes(LaneSettings(), Machine(4, "AMD"))) == ["1"]
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "3,2")
    assert _visible(make_lanes(LaneSettings(), Machine(4, "AMD"))) == ["3", "2"]
    assert _visible(make_lanes(LaneSettings(), Machine(4, "NVIDIA"))) == ["1"]
    with pytest.raises(UsageError, match="HIP_VISIBLE_DEVICES does not allow it"):
        make_lanes(LaneSettings(gpus=("0",)), Machine(4, "AMD"))


def test_amds_gpus_go_by_index_also_where_a_uuid_was_named() -> None:
    """Not every HIP reads UUIDs."""
    assert _visible(make_lanes(LaneSettings(gpus=("GPU-b",)), Machine(4, "AMD"))) == ["1"]


def test_auto_gives_each_gpu_one_lane_and_spare_ones_that_share_its_cores() -> None:
    lanes = _lanes(2, LaneSettings(per_gpu="auto")).lanes
    assert [lane.device.visible for lane in lanes] == ["0", "1"] * 8
    assert [lane.spare for lane in lanes] == [False] * 2 + [True] * 14
    assert {(lane.device.visible, lane.threads, lane.cores) for lane in lanes[2:]} == {
        (lane.device.visible, lane.threads, lane.cores) for lane in lanes[:2]
    }


def test_auto_on_the_processor_is_a_mistake_by_name_and_a_note_where_there_is_no_gpu() -> None:
    with pytest.raises(UsageError, match=r"--devices leaves the GPUs alone: say how many run .* cpu:N"):
        _lanes(1, LaneSettings(per_gpu="auto", devices="cpu:2"))
    assert "--per-gpu auto is for GPUs" in _lanes(0, LaneSettings(per_gpu="auto")).notices[1]


def test_cores_for_each_lane_are_as_many_as_one_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where that is more than there are, nothing is bound; all divides nothing."""
    monkeypatch.setattr(module, "cores", lambda: 16)
    monkeypatch.setattr("vidfleet.worker.affinity.usable_cores", lambda: frozenset(range(16)))
    shared = _lanes(0, LaneSettings(devices="cpu:4")).lanes
    assert [(lane.threads, len(lane.cores)) for lane in shared] == [(4, 4)] * 4
    assert len({core for lane in shared for core in lane.cores}) == 16
    three = _lanes(0, LaneSettings(devices="cpu:4", cores_per_lane=3)).lanes
    assert [(lane.threads, len(lane.cores)) for lane in three] == [(3, 3)] * 4
    many = _lanes(0, LaneSettings(devices="cpu:4", cores_per_lane=8)).lanes
    assert [(lane.threads, lane.cores) for lane in many] == [(8, ())] * 4
    undivided = _lanes(0, LaneSettings(devices="cpu:4", cores_per_lane="all")).lanes
    assert [(lane.threads, lane.cores) for lane in undivided] == [(16, ())] * 4


def test_lanes_that_are_not_needed_leave_their_cores_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidfleet.worker.affinity.usable_cores", lambda: frozenset(range(16)))
    settings = LaneSettings(devices="cpu:8")
    few = module.share_cores(_lanes(0, settings).lanes[:2], settings)
    assert [(lane.index, lane.threads, len(lane.cores)) for lane in few] == [(0, 8, 8), (1, 8, 8)]


def test_no_more_lanes_than_wanted_share_all_cores() -> None:
    """``--lanes``."""
    assert _lanes(4, LaneSettings(lanes=2)) == _lanes(4, LaneSettings(num_gpus=2))
    assert len(_lanes(0, LaneSettings(devices="cpu:4", lanes=3)).lanes) == 3
