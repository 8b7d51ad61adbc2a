"""AMD's GPUs, as the kernel lists them for ROCm (``/sys/class/kfd``); needs no package of AMD's.

Source: the kernel's ``drivers/gpu/drm/amd/amdkfd/kfd_topology.c`` and ``kfd_process.c``.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vidfleet.data import Device
from vidfleet.worker.gpus.base import GpuMemory, read_cpu_list

if TYPE_CHECKING:
    from collections.abc import Sequence

_LEAST_BYTES = 3 << 30
"""Graphics inside a processor usually have up to 2 GiB set aside for them: no place for models."""


@dataclass(frozen=True, slots=True)
class _Node:
    """One GPU of the kernel's list."""

    device: Device
    gpu_id: int
    """What the driver calls it."""
    card: Path
    """Its folder as a graphics card."""


@dataclass(frozen=True, slots=True)
class Amd:
    """See :class:`~vidfleet.worker.gpus.base.Gpus`. Indices are HIP's, so ``ROCR_VISIBLE_DEVICES`` counts already."""

    sysfs: Path = Path("/sys")
    door: Path = Path("/dev/kfd")
    """The file that every program on ROCm has to open."""

    def devices(self) -> tuple[Device, ...]:
        """See :class:`~vidfleet.worker.gpus.base.Gpus`. Graphics inside a processor are left out."""
        found = self._nodes()
        sizes = [_number(node.card / "mem_info_vram_total") for node in found]
        return tuple(
            node.device for node, size in zip(found, sizes, strict=True) if size is None or size >= _LEAST_BYTES
        )

    def memory(self, visible: str) -> GpuMemory | None:
        """See :class:`~vidfleet.worker.gpus.base.Gpus`."""
        node = self._node(visible)
        used = _number(node.card / "mem_info_vram_used") if node else None
        if node is None or used is None:
            return None
        held = {
            int(path.parent.name): _number(path) or 0
            for path in self.sysfs.glob(f"class/kfd/kfd/proc/[0-9]*/vram_{node.gpu_id}")
        }
        return GpuMemory(used, held, _number(node.card / "mem_info_vram_total") or 0)

    def near_cores(self, visible: str) -> frozenset[int]:
        """See :class:`~vidfleet.worker.gpus.base.Gpus`."""
        node = self._node(visible)
        try:
            return read_cpu_list(_text(node.card / "local_cpulist")) if node else frozenset()
        except ValueError:
            return frozenset()

    def _node(self, visible: str) -> _Node | None:
        return next((node for node in self._nodes() if node.device.visible == visible), None)

    def _nodes(self) -> list[_Node]:
        """All GPUs that ROCm would find, by the index that HIP would give them."""
        if not os.access(self.door, os.R_OK | os.W_OK):
            return []
        folders = (self.sysfs / "class/kfd/kfd/topology/nodes").glob("[0-9]*")
        nodes: list[_Node] = []
        for folder in sorted(folders, key=lambda path: int(path.name)):
            node = self._read(folder, {node.device.uuid for node in nodes})
            if node is not None:
                nodes.append(node)
        left = _left_by_rocr(nodes, os.environ.get("ROCR_VISIBLE_DEVICES"))
        return [replace(node, device=replace(node.device, visible=str(i))) for i, node in enumerate(left)]

    def _read(self, folder: Path, taken: set[str]) -> _Node | None:
        """One entry of the list; None for a processor, and for a GPU that a container may not use."""
        gpu_id = _number(folder / "gpu_id")
        lines = (line.split() for line in _text(folder / "properties").splitlines())
        said = {words[0]: int(words[1]) for words in lines if len(words) == 2 and words[1].isdecimal()}
        if not gpu_id or not said.get("simd_count"):
            return None
        card = self.sysfs / f"class/drm/renderD{said.get('drm_render_minor', 0)}/device"
        version = said.get("gfx_target_version", 0)
        name = _text(card / "product_name") or f"AMD gfx{version // 10000}{version // 100 % 100:x}{version % 100:x}"
        uuid = f"GPU-{said['unique_id']:016x}" if said.get("unique_id") else f"KFD-{gpu_id}"
        uuid = f"KFD-{gpu_id}" if uuid in taken else uuid  # parts of one GPU share its number
        driver = _text(self.sysfs / "module/amdgpu/version") or f"Linux {platform.release()}"
        return _Node(Device("gpu", "", name, uuid, driver, "AMD"), gpu_id, card)


def _left_by_rocr(nodes: Sequence[_Node], allowed: str | None) -> list[_Node]:
    """What ``ROCR_VISIBLE_DEVICES`` leaves, in its order; ROCm stops reading at the first word that it cannot use."""
    if allowed is None:
        return list(nodes)
    left: list[_Node] = []
    for word in allowed.split(","):
        index = int(word) if word.strip().isdecimal() else None
        chosen = [n for i, n in enumerate(nodes) if i == index or n.device.uuid.lower() == word.strip().lower()]
        if not chosen or chosen[0] in left:
            break
        left.append(chosen[0])
    return left


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdecimal() else None
