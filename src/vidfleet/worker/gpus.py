"""Which GPUs there are, and the lanes that a machine gives.

Everything that asks NVML is behind ``Gpus``; on a machine without a driver ``installed`` finds none.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from vidfleet.data import Device, Lane
from vidfleet.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vidfleet.settings import LaneSettings

_BYTES_A_CPU_LANE = 4 << 30
_MOST_CPU_LANES = 8


class Gpus(Protocol):
    """What can be asked about a machine's GPUs."""

    def devices(self) -> tuple[Device, ...]:
        """All GPUs, in PCI bus order; none where there is no driver."""
        ...


class Nvml:
    """NVIDIA's own library, by nvidia-ml-py."""

    def devices(self) -> tuple[Device, ...]:
        """See :class:`Gpus`."""
        import pynvml

        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError:  # no driver, or none that answers
            return ()
        try:
            driver = pynvml.nvmlSystemGetDriverVersion()
            handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
            return tuple(
                Device("gpu", str(i), pynvml.nvmlDeviceGetName(h), pynvml.nvmlDeviceGetUUID(h), driver)
                for i, h in enumerate(handles)
            )
        finally:
            pynvml.nvmlShutdown()


@dataclass(frozen=True, slots=True)
class Lanes:
    """The lanes of a machine, with what the user ought to know about them."""

    lanes: tuple[Lane, ...]
    notices: tuple[str, ...] = ()


def make_lanes(settings: LaneSettings, gpus: Gpus | None = None) -> Lanes:
    """The lanes that ``settings`` ask for on this machine; raises UsageError where it has not so many GPUs."""
    if settings.devices:
        return _cpu_lanes(int(settings.devices.partition(":")[2]), ())
    found = (gpus or Nvml()).devices()
    allowed = _allowed(found, os.environ.get("CUDA_VISIBLE_DEVICES"))
    if settings.gpus:
        return _gpu_lanes(_named(settings.gpus, found), settings.per_gpu, ())
    if settings.num_gpus is None:
        if allowed:
            return _gpu_lanes(allowed, settings.per_gpu, ())
        return _cpu_lanes(_default_cpu_lanes(), ("no GPU here: the videos run on the processor",))
    if not found:
        unknown = [Device("gpu", str(index)) for index in range(settings.num_gpus)]
        warning = (
            f"no NVIDIA driver answers here; {settings.num_gpus} lanes all the same, with CUDA_VISIBLE_DEVICES "
            f"0 to {settings.num_gpus - 1}"
        )
        return _gpu_lanes(unknown, settings.per_gpu, (warning,))
    if settings.num_gpus > len(allowed):
        raise UsageError(f"--num_gpus {settings.num_gpus}, but there are {len(allowed)}:\n{_listing(allowed)}")
    return _gpu_lanes(allowed[: settings.num_gpus], settings.per_gpu, ())


def _allowed(found: Sequence[Device], visible: str | None) -> list[Device]:
    """What ``CUDA_VISIBLE_DEVICES`` from outside lets us use, in its order."""
    if visible is None:
        return list(found)
    words = [word.strip() for word in visible.split(",") if word.strip()]
    return [device for word in words for device in found if _is_named(device, word)]


def _named(words: Sequence[str], found: Sequence[Device]) -> list[Device]:
    if not found:
        return [Device("gpu", word) for word in words]
    chosen = []
    for word in words:
        match = [device for device in found if _is_named(device, word)]
        if len(match) != 1:
            raise UsageError(f"--gpus {word}: there is no such GPU, or more than one; there are:\n{_listing(found)}")
        by_uuid = not word.isdecimal()
        device = match[0]
        chosen.append(Device("gpu", device.uuid, device.name, device.uuid, device.driver) if by_uuid else device)
    return chosen


def _is_named(device: Device, word: str) -> bool:
    return device.visible == word if word.isdecimal() else bool(word) and device.uuid.startswith(word)


def _listing(devices: Sequence[Device]) -> str:
    return "\n".join(f"  {d.visible}  {d.name}  {d.uuid}" for d in devices) or "  none"


def _gpu_lanes(devices: Sequence[Device], per_gpu: int, notices: tuple[str, ...]) -> Lanes:
    """Lane i is on GPU i mod N, so that the first N videos go to N GPUs."""
    return _numbered([device for _ in range(per_gpu) for device in devices], notices)


def _cpu_lanes(count: int, notices: tuple[str, ...]) -> Lanes:
    return _numbered([Device("cpu", "")] * count, notices)


def _numbered(devices: Sequence[Device], notices: tuple[str, ...]) -> Lanes:
    threads = max(1, cores() // max(len(devices), 1))
    return Lanes(tuple(Lane(i, device, threads) for i, device in enumerate(devices)), notices)


def _default_cpu_lanes() -> int:
    import psutil

    return max(1, min(_MOST_CPU_LANES, cores(), psutil.virtual_memory().total // _BYTES_A_CPU_LANE))


def cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
