"""AMD's GPUs, out of folders such as the kernel shows them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from vidfleet.data import Device, Lane
from vidfleet.worker.gpus import installed
from vidfleet.worker.gpus.amd import Amd
from vidfleet.worker.gpus.base import GpuMemory
from vidfleet.worker.process import lane_environment

if TYPE_CHECKING:
    from pathlib import Path

_GIB = 1 << 30


class Machine:
    """A made-up ``/sys`` and ``/dev/kfd``."""

    def __init__(self, top: Path) -> None:
        self.sysfs, self.door = top / "sys", top / "kfd"
        self.door.touch()
        self._nodes = self.sysfs / "class/kfd/kfd/topology/nodes"
        self._count = 0

    def write(self, path: str, value: object) -> None:
        """One file of ``/sys``."""
        file = self.sysfs / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")

    def processor(self) -> None:
        """The next entry of the list is a processor."""
        self._node(0, "cpu_cores_count 64\nsimd_count 0\ndrm_render_minor 0")

    def gpu(self, *, unique_id: int = 0, name: str = "", vram_gib: float = 64, near: str = "0-3") -> None:
        """The next entry of the list is a GPU."""
        minor, card = 128 + self._count, f"class/drm/renderD{128 + self._count}/device"
        properties = f"simd_count 440\ngfx_target_version 90010\ndrm_render_minor {minor}\nunique_id {unique_id}"
        self.write(f"{card}/mem_info_vram_total", int(vram_gib * _GIB))
        self.write(f"{card}/mem_info_vram_used", 10 << 20)
        self.write(f"{card}/local_cpulist", near)
        if name:
            self.write(f"{card}/product_name", name)
        self._node(1000 + self._count, properties)

    def _node(self, gpu_id: int, properties: str) -> None:
        self.write(f"class/kfd/kfd/topology/nodes/{self._count}/gpu_id", gpu_id)
        self.write(f"class/kfd/kfd/topology/nodes/{self._count}/properties", properties)
        self._count += 1

    @property
    def gpus(self) -> Amd:
        """What is to be tested."""
        return Amd(self.sysfs, self.door)


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Two processors, three GPUs."""
    made = Machine(tmp_path)
    made.processor()
    made.processor()
    made.gpu(unique_id=0xAB, name="AMD Instinct MI250X", near="0-31,64-95")
    made.gpu(unique_id=0xCD)
    made.gpu()
    return made


def test_gpus_are_those_of_rocm_in_its_order(machine: Machine) -> None:
    """Processors do not count; what has no number of its own goes by the driver's."""
    machine.write("module/amdgpu/version", "6.8.5")
    assert machine.gpus.devices() == (
        Device("gpu", "0", "AMD Instinct MI250X", "GPU-00000000000000ab", "6.8.5", "AMD"),
        Device("gpu", "1", "AMD gfx90a", "GPU-00000000000000cd", "6.8.5", "AMD"),
        Device("gpu", "2", "AMD gfx90a", "KFD-1004", "6.8.5", "AMD"),
    )


def test_the_order_is_by_number_not_by_letter(machine: Machine) -> None:
    for index in range(8):
        machine.gpu(unique_id=0x100 + index)
    assert [device.uuid[-3:] for device in machine.gpus.devices()[3:]] == [f"10{index}" for index in range(8)]


def test_parts_of_one_gpu_can_be_told_apart(machine: Machine) -> None:
    """A GPU in several partitions is several entries with one number."""
    machine.gpu(unique_id=0xAB)
    uuids = [device.uuid for device in machine.gpus.devices()]
    assert len(set(uuids)) == len(uuids) == 4


def test_without_rocms_door_there_is_no_gpu(machine: Machine) -> None:
    """A driver for the screen alone runs no models."""
    machine.door.unlink()
    assert machine.gpus.devices() == ()


def test_what_a_container_may_not_use_is_not_there(machine: Machine) -> None:
    """The kernel shows it with nothing in it, and ROCm does not count it."""
    machine.write("class/kfd/kfd/topology/nodes/2/properties", "")
    assert [device.uuid for device in machine.gpus.devices()] == ["GPU-00000000000000cd", "KFD-1004"]
    assert [device.visible for device in machine.gpus.devices()] == ["0", "1"]


def test_graphics_inside_a_processor_are_no_lane_and_the_others_keep_their_index(tmp_path: Path) -> None:
    made = Machine(tmp_path)
    made.gpu(vram_gib=0.5)
    made.gpu(vram_gib=16, unique_id=1)
    assert [device.visible for device in made.gpus.devices()] == ["1"]


@pytest.mark.parametrize(
    ("allowed", "left"),
    [("2,0", ["KFD-1004", "GPU-00000000000000ab"]), ("GPU-00000000000000CD", ["GPU-00000000000000cd"]), ("", []),
     ("1,9,0", ["GPU-00000000000000cd"]), ("1,1,0", ["GPU-00000000000000cd"])],
)  # fmt: skip
def test_rocr_filters_first_and_hip_counts_what_is_left(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, allowed: str, left: list[str]
) -> None:
    """From 0, in its order; ROCm reads no further than the first word that it cannot use."""
    monkeypatch.setenv("ROCR_VISIBLE_DEVICES", allowed)
    devices = machine.gpus.devices()
    assert [device.uuid for device in devices] == left
    assert [device.visible for device in devices] == [str(index) for index in range(len(left))]


def test_memory_is_told_as_a_whole_and_by_process(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.write("class/drm/renderD131/device/mem_info_vram_used", 3 * _GIB)
    machine.write("class/kfd/kfd/proc/77/vram_1003", 2 * _GIB)
    machine.write("class/kfd/kfd/proc/77/vram_1002", 5)
    machine.write("class/kfd/kfd/proc/78/vram_1003", _GIB)
    told = GpuMemory(3 * _GIB, {77: 2 * _GIB, 78: _GIB}, 64 * _GIB)
    assert machine.gpus.memory("1") == told
    assert machine.gpus.memory("7") is None
    monkeypatch.setenv("ROCR_VISIBLE_DEVICES", "1")
    assert machine.gpus.memory("0") == told


def test_near_cores_are_the_cards(machine: Machine) -> None:
    assert machine.gpus.near_cores("0") == {*range(32), *range(64, 96)}
    machine.write("class/drm/renderD130/device/local_cpulist", "what?")
    assert machine.gpus.near_cores("0") == frozenset()
    assert machine.gpus.near_cores("7") == frozenset()


def test_an_attempt_sees_one_gpu_whichever_variable_its_libraries_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """HIP's and CUDA's alike; ROCR's stays the user's, for it filters before HIP counts."""
    monkeypatch.setenv("ROCR_VISIBLE_DEVICES", "2,3")
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "0,1")
    made = lane_environment(Lane(0, Device("gpu", "1", "MI300X", "GPU-1", "6.8", "AMD"), 4), "")
    assert (made["HIP_VISIBLE_DEVICES"], made["CUDA_VISIBLE_DEVICES"], made["ROCR_VISIBLE_DEVICES"]) == (
        "1",
        "1",
        "2,3",
    )
    on_processor = lane_environment(Lane(0, Device("cpu", ""), 4), "")
    assert (on_processor["HIP_VISIBLE_DEVICES"], on_processor["CUDA_VISIBLE_DEVICES"]) == ("-1", "")


def test_nvidias_lanes_get_nothing_of_amds(monkeypatch: pytest.MonkeyPatch) -> None:
    made = lane_environment(Lane(0, Device("gpu", "0", "H200", "GPU-1", "570", "NVIDIA"), 4), "")
    assert "HIP_VISIBLE_DEVICES" not in made


def test_a_machine_without_amds_driver_is_asked_in_vain() -> None:
    if os.path.exists("/dev/kfd"):
        pytest.skip("this machine has AMD's driver")
    assert Amd().devices() == ()
    assert not isinstance(installed(), Amd)
