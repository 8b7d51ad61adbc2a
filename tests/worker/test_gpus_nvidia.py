"""NVIDIA's GPUs; the library that asks the driver is stood in for, but for one question to the real one."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

from vidfleet.data import Device
from vidfleet.worker.gpus.base import GpuMemory
from vidfleet.worker.gpus.nvidia import Nvml

if TYPE_CHECKING:
    import pytest


def _memory(index: int, version: int) -> SimpleNamespace:
    assert version == 2
    return SimpleNamespace(used=(6 + index) << 30, total=80 << 30, reserved=1 << 30)


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

    def running(index: int) -> list[SimpleNamespace]:
        if index == 1:
            raise NVMLError  # as a share of a GPU may do
        return [SimpleNamespace(pid=7, usedGpuMemory=5 << 30), SimpleNamespace(pid=8, usedGpuMemory=None)]

    def affinity(index: int, words: int) -> list[int]:
        return [0b1010, 0b1, *[0] * (words - 2)][:words] if index == 0 else [0b1] * 1

    opened = SimpleNamespace(now=0, times=0)

    def count_init() -> None:
        init()
        opened.now, opened.times = opened.now + 1, opened.times + 1

    def shutdown() -> None:
        opened.now -= 1

    return SimpleNamespace(
        opened=opened, NVMLError=NVMLError, nvmlInit=count_init, nvmlShutdown=shutdown, nvmlMemory_v2=2,
        nvmlDeviceGetHandleByIndex=handle, nvmlDeviceGetHandleByUUID=lambda uuid: int(uuid.removeprefix("GPU-")),
        nvmlDeviceGetMemoryInfo=_memory,
        nvmlDeviceGetComputeRunningProcesses=running, nvmlDeviceGetCpuAffinity=affinity,
        nvmlSystemGetDriverVersion=lambda: "570", nvmlDeviceGetCount=lambda: count,
        nvmlDeviceGetName=lambda index: f"NVIDIA {index}", nvmlDeviceGetUUID=lambda index: f"GPU-{index}",
    )  # fmt: skip


def test_nvml_lists_gpus_in_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", _library(2))
    assert Nvml().devices() == (
        Device("gpu", "0", "NVIDIA 0", "GPU-0", "570", "NVIDIA"),
        Device("gpu", "1", "NVIDIA 1", "GPU-1", "570", "NVIDIA"),
    )


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


def test_memory_is_told_as_a_whole_and_by_process_as_far_as_the_driver_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", _library(3, broken=frozenset({2})))
    assert Nvml().memory("0") == GpuMemory(6 << 30, {7: 5 << 30}, 79 << 30)
    assert Nvml().memory("GPU-1") == GpuMemory(7 << 30, {}, 79 << 30)
    assert Nvml().memory("2") is None
    assert Nvml().memory("") is None


def test_cores_near_a_gpu_are_read_from_the_drivers_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    library = _library(2, broken=frozenset({1}))
    monkeypatch.setitem(sys.modules, "pynvml", library)
    monkeypatch.setattr("os.sysconf", lambda _: 65)
    assert Nvml().near_cores("0") == {1, 3, 64}
    assert Nvml().near_cores("1") == frozenset()


def test_the_library_is_closed_after_each_question_or_stays_open_for_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A runner that held it open would keep a GPU from being reset; a worker asks every two seconds."""
    library = _library(1)
    monkeypatch.setitem(sys.modules, "pynvml", library)
    for _ in range(3):
        Nvml().memory("0")
    assert (library.opened.now, library.opened.times) == (0, 3)
    patient = Nvml(stay_open=True)
    for _ in range(3):
        patient.memory("0")
    assert (library.opened.now, library.opened.times) == (1, 4)
