"""NVIDIA's GPUs, by its own library (nvidia-ml-py)."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from vidfleet.data import Device
from vidfleet.worker.gpus.base import GpuMemory

if TYPE_CHECKING:
    from collections.abc import Iterator

_WORD_BITS = 64


class Nvml:
    """See :class:`~vidfleet.worker.gpus.base.Gpus`."""

    def __init__(self, *, stay_open: bool = False) -> None:
        self._stay_open = stay_open
        self._is_open = False

    def devices(self) -> tuple[Device, ...]:
        """See :class:`~vidfleet.worker.gpus.base.Gpus`."""
        import pynvml

        devices = []
        with self._opened() as answers:
            driver = pynvml.nvmlSystemGetDriverVersion() if answers else ""
            for i in range(pynvml.nvmlDeviceGetCount() if answers else 0):
                with contextlib.suppress(pynvml.NVMLError):  # one that fell off the bus is none
                    handle = pynvml.nvmlDeviceGetHandleByIndex(i)
                    name, uuid = pynvml.nvmlDeviceGetName(handle), pynvml.nvmlDeviceGetUUID(handle)
                    devices.append(Device("gpu", str(i), name, uuid, driver, "NVIDIA"))
        return tuple(devices)

    def memory(self, visible: str) -> GpuMemory | None:
        """See :class:`~vidfleet.worker.gpus.base.Gpus`."""
        import pynvml

        with self._opened() as answers, contextlib.suppress(pynvml.NVMLError):
            if answers and visible:
                handle = _handle(visible)
                memory = pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2)
                # the second version leaves out of "used" what the driver keeps for itself, and tells it apart
                total = int(memory.total) - int(getattr(memory, "reserved", 0))
                return GpuMemory(int(memory.used), _by_process(handle), total)
        return None

    def near_cores(self, visible: str) -> frozenset[int]:
        """See :class:`~vidfleet.worker.gpus.base.Gpus`."""
        import pynvml

        with self._opened() as answers, contextlib.suppress(pynvml.NVMLError):
            if answers and visible:
                words = -(-os.sysconf("SC_NPROCESSORS_CONF") // _WORD_BITS)
                mask = pynvml.nvmlDeviceGetCpuAffinity(_handle(visible), words)
                bits = sum(int(word) << (_WORD_BITS * index) for index, word in enumerate(mask))
                return frozenset(core for core in range(bits.bit_length()) if bits >> core & 1)
        return frozenset()

    @contextlib.contextmanager
    def _opened(self) -> Iterator[bool]:
        """Open NVML; False where no driver answers. To open it anew takes longer than to ask."""
        import pynvml

        if self._is_open:
            yield True
            return
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError:
            yield False
            return
        self._is_open = self._stay_open
        try:
            yield True
        finally:
            if not self._stay_open:
                pynvml.nvmlShutdown()


def _handle(visible: str) -> Any:  # noqa: ANN401 - the library's own
    import pynvml

    if visible.isdecimal():
        return pynvml.nvmlDeviceGetHandleByIndex(int(visible))
    return pynvml.nvmlDeviceGetHandleByUUID(visible)


def _by_process(handle: Any) -> dict[int, int]:  # noqa: ANN401
    """What each process with a context holds; the driver may know of one without knowing how much."""
    import pynvml

    with contextlib.suppress(pynvml.NVMLError):  # not every share of a GPU tells
        running = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
        return {process.pid: process.usedGpuMemory for process in running if process.usedGpuMemory}
    return {}
