"""What can be asked about a machine's GPUs, whoever made them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from vidfleet.data import Device

LITTLE_BYTES = 256 << 20
"""Less than any process with a context on a GPU takes."""


@dataclass(frozen=True, slots=True)
class GpuMemory:
    """What of a GPU's memory is in use."""

    used_bytes: int
    by_process: Mapping[int, int] = field(default_factory=dict)
    """Process → bytes, as far as the driver tells; in a container it may tell numbers that mean nothing here."""
    total_bytes: int = 0
    """All that the GPU, or the share of one, has; 0 where nothing tells."""


class Gpus(Protocol):
    """The GPUs of a machine. ``visible`` is how a device is named to processes: its index, or a UUID."""

    def devices(self) -> tuple[Device, ...]:
        """All GPUs, in the order of their indices; none where there is no driver."""
        ...

    def memory(self, visible: str) -> GpuMemory | None:
        """What is in use on a GPU now; None where that cannot be told."""
        ...

    def near_cores(self, visible: str) -> frozenset[int]:
        """The cores that are nearest to a GPU; none where that is not known."""
        ...


def read_cpu_list(text: str) -> frozenset[int]:
    """The numbers in a list of the kernel's, such as ``0-3,8``; raises ValueError for anything else."""
    found: set[int] = set()
    for part in text.strip().split(","):
        if part:
            first, _, last = part.partition("-")
            found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)
