"""GPUs that a file describes, for machines without any."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidfleet.data import Device
from vidfleet.worker.gpus.base import GpuMemory


@dataclass(frozen=True, slots=True)
class Simulated:
    """A JSON list of objects, read anew at each question.

    Each has ``name``, ``uuid``, ``driver``, ``maker``, ``used_bytes``, ``total_bytes``, ``by_process`` (process
    number → bytes) and ``near_cores`` (a list), all of which may be left out.
    """

    path: Path

    def devices(self) -> tuple[Device, ...]:
        """See :class:`~vidfleet.worker.gpus.base.Gpus`."""
        return tuple(
            Device(
                "gpu", str(i), gpu.get("name", "simulated"), gpu.get("uuid", f"GPU-{i}"), gpu.get("driver", "0"),
                gpu.get("maker", "NVIDIA"),
            )
            for i, gpu in enumerate(self._read())
        )  # fmt: skip

    def memory(self, visible: str) -> GpuMemory | None:
        """See :class:`~vidfleet.worker.gpus.base.Gpus`."""
        gpu = self._find(visible)
        held = {int(pid): int(size) for pid, size in gpu.get("by_process", {}).items()} if gpu else {}
        if gpu is None:
            return None
        return GpuMemory(int(gpu.get("used_bytes", 0)), held, int(gpu.get("total_bytes", 0)))

    def near_cores(self, visible: str) -> frozenset[int]:
        """See :class:`~vidfleet.worker.gpus.base.Gpus`."""
        return frozenset((self._find(visible) or {}).get("near_cores", ()))

    def _find(self, visible: str) -> dict[str, Any] | None:
        pairs = zip(self.devices(), self._read(), strict=True)
        return next((gpu for device, gpu in pairs if visible in (device.visible, device.uuid)), None)

    def _read(self) -> list[dict[str, Any]]:
        plain: list[dict[str, Any]] = json.loads(self.path.read_text(encoding="utf-8"))
        return plain
