"""Which lanes a machine gives; NVML itself is stood in for."""

from __future__ import annotations

import re
import sys
from types import SimpleNamespace

import pytest

from vidfleet.data import Device
from vidfleet.errors import UsageError
from vidfleet.settings import LaneSettings
from vidfleet.worker import gpus as module
from vidfleet.worker.gpus import Lanes, Nvml, make_lanes


class Machine:
    """A machine with some GPUs."""

    def __init__(self, count: int) -> None:
        self.count = count

    def used_bytes(self, visible: str) -> int | None:
        return None

    def devices(self) -> tuple[Device, ...]:
        return tuple(
            Device("gpu", str(i), f"NVIDIA {i}", f"GPU-{'abcdefgh'[i]}{i}-uuid", "570") for i in range(self.count)
        )


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
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
    assert lanes.lanes[1].device == Device("gpu", "1", "NVIDIA 1", "GPU-b1-uuid", "570")
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


def _library(count: int, *, broken: frozenset[int] = frozenset(), has_driver: bool = True) -> SimpleNamespace:
    class NVMLError(Exception):
        pass

    def init() -> None:
        if not has_driver:
            raise NVMLError

    def handle(index: int) -> int:
        if index in broken:
            raise NVMLError
        return index

    return SimpleNamespace(
        NVMLError=NVMLError, nvmlInit=init, nvmlShutdown=lambda: None, nvmlDeviceGetHandleByIndex=handle,
        nvmlSystemGetDriverVersion=lambda: "570", nvmlDeviceGetCount=lambda: count,
        nvmlDeviceGetName=lambda index: f"NVIDIA {index}", nvmlDeviceGetUUID=lambda index: f"GPU-{index}",
    )  # fmt: skip


def test_nvml_lists_gpus_in_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", _library(2))
    assert Nvml().devices() == (
        Device("gpu", "0", "NVIDIA 0", "GPU-0", "570"), Device("gpu", "1", "NVIDIA 1", "GPU-1", "570"),
    )  # fmt: skip


def test_a_gpu_that_does_not_answer_is_left_out_and_the_others_keep_their_index(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", _library(3, broken=frozenset({1})))
    assert [device.visible for device in Nvml().devices()] == ["0", "2"]


def test_no_driver_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", _library(2, has_driver=False))
    assert Nvml().devices() == ()


def test_the_real_library_answers_on_any_machine() -> None:
    assert all(device.kind == "gpu" for device in Nvml().devices())
