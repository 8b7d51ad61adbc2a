"""Which GPUs a machine has. Everything that asks a driver is behind ``Gpus``; without a driver there are none."""

from __future__ import annotations

import os
from pathlib import Path

from vidfleet.worker.gpus.amd import Amd
from vidfleet.worker.gpus.base import GpuMemory, Gpus
from vidfleet.worker.gpus.nvidia import Nvml
from vidfleet.worker.gpus.simulated import Simulated

SIMULATED = "VIDFLEET_SIMULATED_GPUS"
"""The environment variable that names a file for :class:`Simulated`."""

__all__ = ["SIMULATED", "GpuMemory", "Gpus", "installed"]


def installed(*, stay_open: bool = False) -> Gpus:
    """This machine's GPUs: those that are simulated, else NVIDIA's, else AMD's.

    ``stay_open`` keeps the driver's library open between questions, for whoever has many.
    """
    path = os.environ.get(SIMULATED)
    if path:
        return Simulated(Path(path))
    nvidia, amd = Nvml(stay_open=stay_open), Amd()
    return amd if amd.devices() and not nvidia.devices() else nvidia
