"""The lanes that a machine gives."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from vidfleet.data import Device, Lane
from vidfleet.errors import UsageError
from vidfleet.worker.affinity import bind_lanes, usable_cores
from vidfleet.worker.gpus import installed
from vidfleet.worker.gpus.base import LITTLE_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vidfleet.settings import LaneSettings
    from vidfleet.worker.gpus import Gpus

_BYTES_A_CPU_LANE = 4 << 30
_MOST_CPU_LANES = 8
_MOST_PER_GPU = 8
"""With ``--per-gpu auto``. No GPU that is known got faster beyond: eight processes fill its schedule."""


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
    gpus = gpus or installed()
    if settings.devices:
        if settings.per_gpu == "auto":
            raise UsageError(
                "--per-gpu auto finds out how many attempts share a GPU, and --devices leaves the GPUs alone: say how "
                "many run at a time with --devices cpu:N"
            )
        made = _cpu_lanes(int(settings.devices.partition(":")[2]), ())
    else:
        made = _choose(settings, gpus)
    made = replace(made, lanes=made.lanes[: settings.lanes])
    return replace(made, lanes=share_cores(made.lanes, settings, gpus))


def share_cores(lanes: Sequence[Lane], settings: LaneSettings, gpus: Gpus | None = None) -> tuple[Lane, ...]:
    """Give each lane its share of the cores: near its GPU where that is known, and its own where there are enough.

    A spare lane shares with the first one on its GPU.
    """
    first = [lane for lane in lanes if not lane.spare]
    wanted = settings.cores_per_lane
    count = cores()
    most = wanted if isinstance(wanted, int) else None
    threads = count if wanted == "all" else most or max(1, count // max(len(first), 1))
    first = [replace(lane, threads=threads, cores=()) for lane in first]
    if wanted != "all" and (most or 1) * len(first) <= count:
        first = list(bind_lanes(first, gpus or installed(), most=most))
    return tuple(replace(first[lane.index % len(first)], index=lane.index, spare=lane.spare) for lane in lanes)


def _choose(settings: LaneSettings, gpus: Gpus) -> Lanes:
    found = gpus.devices()
    allowed = _allowed(found, os.environ.get(_allowed_set(found)))
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
        why = f"{_allowed_set(found)} allows none of the GPUs here" if found else "no GPU here"
        notices = [f"{why}: the videos run on the processor"]
        if settings.per_gpu == "auto":
            notices.append("--per-gpu auto is for GPUs; how many run at a time on the processor is --devices cpu:N")
        return _cpu_lanes(_default_cpu_lanes(), tuple(notices))
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
    memory = [(device, gpus.memory(device.visible)) for device in allowed]
    free = [device for device, use in memory if use is None or use.used_bytes <= LITTLE_BYTES]
    if not free:
        raise UsageError(f"--gpus free: none is free now; there are:\n{_listing(allowed)}")
    return free


def _allowed_set(found: Sequence[Device]) -> str:
    """The variable by which a user says from outside which GPUs we may use; on AMD's, HIP reads CUDA's as well."""
    is_amd = any(device.maker == "AMD" for device in found)
    return "HIP_VISIBLE_DEVICES" if is_amd and "HIP_VISIBLE_DEVICES" in os.environ else "CUDA_VISIBLE_DEVICES"


def _allowed(found: Sequence[Device], visible: str | None) -> list[Device]:
    """What the variable from outside lets us use, in its order."""
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
            raise UsageError(f"--gpus {word}: {_allowed_set(found)} does not allow it; {_there_are(found, allowed)}")
        chosen.setdefault(match[0].uuid, _as_named(match[0], word))
    return list(chosen.values())


def _matching(word: str, found: Sequence[Device]) -> list[Device]:
    """The GPUs that an index or the beginning of a UUID means; a share of a GPU (MIG) only by its whole UUID."""
    if word.startswith("MIG-") and found:
        return [Device("gpu", word, "a share of a GPU (MIG)", word, found[0].driver, found[0].maker)]
    if word.isdecimal():
        return [device for device in found if device.visible == str(int(word))]
    return [device for device in found if word and device.uuid.startswith(word)]


def _as_named(device: Device, word: str) -> Device:
    """By index where the user named an index, by UUID where a UUID; AMD's always by index, which every HIP knows."""
    return device if word.isdecimal() or device.maker == "AMD" else replace(device, visible=device.uuid)


def _there_are(found: Sequence[Device], allowed: Sequence[Device]) -> str:
    if len(allowed) == len(found):
        return f"there are {len(found)}:\n{_listing(found)}"
    return f"of the {len(found)} GPUs here {_allowed_set(found)} allows {len(allowed)}:\n{_listing(allowed)}"


def _listing(devices: Sequence[Device]) -> str:
    return "\n".join(f"  {d.visible}  {d.name}  {d.uuid}" for d in devices) or "  none"


def _gpu_lanes(devices: Sequence[Device], per_gpu: int | Literal["auto"], notices: tuple[str, ...]) -> Lanes:
    """Lane i is on GPU i mod N, so that the first N videos go to N GPUs."""
    most = _MOST_PER_GPU if per_gpu == "auto" else per_gpu
    made = _numbered([device for _ in range(most) for device in devices], notices)
    if per_gpu != "auto":
        return made
    return replace(made, lanes=tuple(replace(lane, spare=lane.index >= len(devices)) for lane in made.lanes))


def _cpu_lanes(count: int, notices: tuple[str, ...]) -> Lanes:
    return _numbered([Device("cpu", "")] * count, notices)


def _numbered(devices: Sequence[Device], notices: tuple[str, ...]) -> Lanes:
    return Lanes(tuple(Lane(i, device, 1) for i, device in enumerate(devices)), notices)


def _default_cpu_lanes() -> int:
    import psutil

    return default_cpu_lanes(cores(), psutil.virtual_memory().total)


def default_cpu_lanes(count: int, memory_bytes: int) -> int:
    """Lanes on the processor of a machine with so many cores and so much memory, where nobody says how many."""
    return max(1, min(_MOST_CPU_LANES, count, memory_bytes // _BYTES_A_CPU_LANE))


def cores() -> int:
    """The cores that this process may use."""
    return len(usable_cores()) or os.cpu_count() or 1
