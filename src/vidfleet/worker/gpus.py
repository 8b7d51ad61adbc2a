"""Which GPUs there are, and the lanes that a machine gives.

Everything that asks NVML is behind ``Gpus``; on a machine without a driver ``installed`` finds none.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from vidfleet.data import Device, Lane
from vidfleet.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vidfleet.settings import LaneSettings

_BYTES_A_CPU_LANE = 4 << 30
_LITTLE_BYTES = 256 << 20
"""Less than any process with a CUDA context takes."""
_MOST_CPU_LANES = 8
_ALLOWED_SET = "CUDA_VISIBLE_DEVICES"


class Gpus(Protocol):
    """What can be asked about a machine's GPUs."""

    def devices(self) -> tuple[Device, ...]:
        """All GPUs, in PCI bus order; none where there is no driver."""
        ...

    def used_bytes(self, visible: str) -> int | None:
        """Memory in use on a GPU, by its index or UUID; None where that cannot be told."""
        ...


class Nvml:
    """NVIDIA's own library, by nvidia-ml-py."""

    def devices(self) -> tuple[Device, ...]:
        """See :class:`Gpus`."""
        import pynvml

        devices = []
        with _nvml() as answers:
            driver = pynvml.nvmlSystemGetDriverVersion() if answers else ""
            for i in range(pynvml.nvmlDeviceGetCount() if answers else 0):
                with contextlib.suppress(pynvml.NVMLError):  # one that fell off the bus is none
                    handle = pynvml.nvmlDeviceGetHandleByIndex(i)
                    name, uuid = pynvml.nvmlDeviceGetName(handle), pynvml.nvmlDeviceGetUUID(handle)
                    devices.append(Device("gpu", str(i), name, uuid, driver))
        return tuple(devices)

    def used_bytes(self, visible: str) -> int | None:
        """See :class:`Gpus`."""
        import pynvml

        with _nvml() as answers, contextlib.suppress(pynvml.NVMLError):
            if answers and visible.isdecimal():
                handle = pynvml.nvmlDeviceGetHandleByIndex(int(visible))
            elif answers and visible:
                handle = pynvml.nvmlDeviceGetHandleByUUID(visible)
            else:
                return None
            return int(pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2).used)
        return None


@contextlib.contextmanager
def _nvml() -> Iterator[bool]:
    """Open NVML; False where no driver answers."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield False
        return
    try:
        yield True
    finally:
        pynvml.nvmlShutdown()


@dataclass(frozen=True, slots=True)
class Simulated:
    """GPUs that a file describes, for machines without any: a JSON list of objects, read anew at each question.

    Each has ``name``, ``uuid``, ``driver`` and ``used_bytes``, all of which may be left out.
    """

    path: Path

    def devices(self) -> tuple[Device, ...]:
        """See :class:`Gpus`."""
        return tuple(
            Device("gpu", str(i), gpu.get("name", "simulated"), gpu.get("uuid", f"GPU-{i}"), gpu.get("driver", "0"))
            for i, gpu in enumerate(self._read())
        )

    def used_bytes(self, visible: str) -> int | None:
        """See :class:`Gpus`."""
        for device, gpu in zip(self.devices(), self._read(), strict=True):
            if visible in (device.visible, device.uuid):
                return int(gpu.get("used_bytes", 0))
        return None

    def _read(self) -> list[dict[str, Any]]:
        plain: list[dict[str, Any]] = json.loads(self.path.read_text(encoding="utf-8"))
        return plain


SIMULATED = "VIDFLEET_SIMULATED_GPUS"
"""The environment variable that names a file for :class:`Simulated`."""


def installed() -> Gpus:
    """This machine's GPUs, or those that are simulated instead."""
    path = os.environ.get(SIMULATED)
    return Simulated(Path(path)) if path else Nvml()


class MemoryWatch:
    """Whether a GPU's memory is back where it was before an attempt."""

    def __init__(self, gpus: Gpus, visible: str) -> None:
        self._gpus, self._visible = gpus, visible
        self._before = gpus.used_bytes(visible)

    def is_back(self) -> bool:
        """As far as it can be told; a little more than before does not matter."""
        now = self._gpus.used_bytes(self._visible)
        return self._before is None or now is None or now <= self._before + _LITTLE_BYTES


@dataclass(frozen=True, slots=True)
class Lanes:
    """The lanes of a machine, with what the user ought to know about them."""

    lanes: tuple[Lane, ...]
    notices: tuple[str, ...] = ()


def make_lanes(settings: LaneSettings, gpus: Gpus | None = None) -> Lanes:
    """The lanes that ``settings`` ask for on this machine; raises UsageError where it has not so many GPUs."""
    named = [flag for flag in ("num_gpus", "gpus", "devices") if getattr(settings, flag)]
    if len(named) > 1:
        raise UsageError(f"--{named[0]} and --{named[1]} exclude each other")
    if settings.devices:
        return _cpu_lanes(int(settings.devices.partition(":")[2]), ())
    gpus = gpus or installed()
    found = gpus.devices()
    allowed = _allowed(found, os.environ.get(_ALLOWED_SET))
    if settings.gpus == ("free",):
        return _gpu_lanes(_free(gpus, allowed), settings.per_gpu, ())
    if settings.gpus and found:
        return _gpu_lanes(_named(settings.gpus, found, allowed), settings.per_gpu, ())
    if settings.gpus:
        unknown = [Device("gpu", word) for word in dict.fromkeys(settings.gpus)]
        warning = "no NVIDIA driver answers here; the GPUs of --gpus are taken to be there all the same"
        return _gpu_lanes(unknown, settings.per_gpu, (warning,))
    if settings.num_gpus is None:
        if allowed:
            return _gpu_lanes(allowed, settings.per_gpu, ())
        why = f"{_ALLOWED_SET} allows none of the GPUs here" if found else "no GPU here"
        return _cpu_lanes(_default_cpu_lanes(), (f"{why}: the videos run on the processor",))
    if not found:
        unknown = [Device("gpu", str(index)) for index in range(settings.num_gpus)]
        warning = (
            f"no NVIDIA driver answers here; {settings.num_gpus} lanes all the same, with CUDA_VISIBLE_DEVICES "
            f"0 to {settings.num_gpus - 1}"
        )
        return _gpu_lanes(unknown, settings.per_gpu, (warning,))
    if settings.num_gpus > len(allowed):
        raise UsageError(f"--num_gpus {settings.num_gpus}, but {_there_are(found, allowed)}")
    return _gpu_lanes(allowed[: settings.num_gpus], settings.per_gpu, ())


def _free(gpus: Gpus, allowed: Sequence[Device]) -> list[Device]:
    """The GPUs whose memory nobody uses."""
    free = [device for device in allowed if (gpus.used_bytes(device.visible) or 0) <= _LITTLE_BYTES]
    if not free:
        raise UsageError(f"--gpus free: none is free now; there are:\n{_listing(allowed)}")
    return free


def _allowed(found: Sequence[Device], visible: str | None) -> list[Device]:
    """What ``CUDA_VISIBLE_DEVICES`` from outside lets us use, in its order."""
    if visible is None:
        return list(found)
    words = dict.fromkeys(word.strip() for word in visible.split(",") if word.strip())
    return [_as_named(device, word) for word in words for device in _matching(word, found)]


def _named(words: Sequence[str], found: Sequence[Device], allowed: Sequence[Device]) -> list[Device]:
    chosen: dict[str, Device] = {}
    for word in words:
        match = _matching(word, found)
        if len(match) != 1:
            several = "there is more than one such GPU" if match else "there is no such GPU"
            raise UsageError(f"--gpus {word}: {several}; {_there_are(found, allowed)}")
        if not any(device.uuid == match[0].uuid for device in allowed):
            raise UsageError(f"--gpus {word}: {_ALLOWED_SET} does not allow it; {_there_are(found, allowed)}")
        chosen.setdefault(match[0].uuid, _as_named(match[0], word))
    return list(chosen.values())


def _matching(word: str, found: Sequence[Device]) -> list[Device]:
    """The GPUs that an index or the beginning of a UUID means; a share of a GPU (MIG) only by its whole UUID."""
    if word.startswith("MIG-") and found:
        return [Device("gpu", word, "a share of a GPU (MIG)", word, found[0].driver)]
    if word.isdecimal():
        return [device for device in found if device.visible == str(int(word))]
    return [device for device in found if word and device.uuid.startswith(word)]


def _as_named(device: Device, word: str) -> Device:
    """By index where the user named an index, by UUID where a UUID."""
    return device if word.isdecimal() else replace(device, visible=device.uuid)


def _there_are(found: Sequence[Device], allowed: Sequence[Device]) -> str:
    if len(allowed) == len(found):
        return f"there are {len(found)}:\n{_listing(found)}"
    return f"of the {len(found)} GPUs here {_ALLOWED_SET} allows {len(allowed)}:\n{_listing(allowed)}"


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
