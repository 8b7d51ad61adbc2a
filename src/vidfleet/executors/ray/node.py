"""What is asked of a node before it gets lanes, and what is done on one after a lane's death; runs on the node."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vidfleet.data import Device, Lane
from vidfleet.settings import LaneSettings
from vidfleet.worker.affinity import usable_cores
from vidfleet.worker.family import end_marked
from vidfleet.worker.gpus import installed
from vidfleet.worker.lanes import default_cpu_lanes, share_cores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vidfleet.executors.base import Ground

_VISIBLE = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
"""Where set, those that Ray was started with."""
_SEEN_WITHIN_S = 5.0
"""What was written a moment ago on another host shows late on some file servers."""


@dataclass(frozen=True, slots=True)
class Share:
    """What Ray has of a node, and what of it is wanted."""

    cores: int
    memory_bytes: int
    gpus: int
    """To be used; 0: the lanes are on the processor."""
    per_gpu: int
    cpu_lanes: int
    """0: as many as seem right."""
    cores_per_lane: int | Literal["", "all"]


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a node says of itself."""

    lanes: tuple[Lane, ...]
    """The lanes that it can have, as on one machine: with its GPUs' names, and each lane's share of the cores."""
    devices: tuple[Device, ...]
    """Its GPUs, where a driver tells."""
    has_python: bool
    """Whether the runner's interpreter is there, by its path."""


def look(share: Share, python: str) -> NodeFacts:
    """Say what lanes this node can have; ``python`` is the path of the runner's interpreter."""
    gpus = installed()
    devices = tuple(gpus.devices())
    if share.gpus:
        named = next((os.environ[name] for name in _VISIBLE if os.environ.get(name)), "")
        visible = named.split(",") if named else [str(index) for index in range(share.gpus)]
        usable = [device_named(word, devices) for word in visible[: share.gpus]]
        placed = [device for _ in range(share.per_gpu) for device in usable]
    else:
        placed = [Device("cpu", "")] * (share.cpu_lanes or default_cpu_lanes(share.cores, share.memory_bytes))
    lanes = tuple(Lane(index, device, 1) for index, device in enumerate(placed))
    if share.cores >= len(usable_cores()):
        lanes = share_cores(lanes, LaneSettings(cores_per_lane=share.cores_per_lane), gpus)
    else:  # Ray has a part of the machine only, and nobody knows which cores
        each = share.cores_per_lane if isinstance(share.cores_per_lane, int) else share.cores // max(len(lanes), 1)
        lanes = tuple(Lane(lane.index, lane.device, max(each, 1)) for lane in lanes)
    return NodeFacts(lanes, devices, Path(python).exists())


def device_named(visible: str, devices: Sequence[Device]) -> Device:
    """The GPU that the variable names so; one of which no more is known where no driver told."""
    found = [device for device in devices if visible in (device.visible, device.uuid)]
    if not found:
        return Device("gpu", visible)
    known = found[0]
    return Device("gpu", visible, known.name, known.uuid, known.driver, known.maker)


def see(ground: Ground) -> str:
    """What keeps this node from working where the runner does: a sentence; nothing where all is well."""
    patience = time.monotonic() + _SEEN_WITHIN_S
    while True:
        trouble = _trouble(ground)
        if not trouble or time.monotonic() > patience:
            return trouble
        time.sleep(0.2)


def _trouble(ground: Ground) -> str:
    if not ground.root.is_dir():
        return f"it does not see {ground.root}"
    try:
        if ground.token.read_bytes() != ground.text:
            raise FileNotFoundError
    except FileNotFoundError:
        return f"its {ground.base} is another one"
    except OSError as error:
        return f"it cannot read {ground.token} ({error.strerror})"
    for path, size_bytes in ground.videos:
        try:
            if path.stat().st_size != size_bytes:
                return f"its {path} is another one"
        except OSError as error:
            return f"it does not see {path} ({error.strerror})"
    for path in ground.files:
        if not path.is_file():
            return f"it does not see {path}"
    return _cannot_write(ground.token.parent)


def _cannot_write(folder: Path) -> str:
    try:
        probe = folder / f"probe-{os.uname().nodename}-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        return f"it cannot write in {folder} ({error.strerror})"
    return ""


def sweep(mark: str) -> int:
    """End all that carries a dead lane's mark; returns how many processes when none is left."""
    ended = 0
    while found := end_marked(mark):
        ended += found
        time.sleep(0.02)
    return ended
