"""Where the contract of executors is tried."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """One executor, ready to be used by ``vidfleet run``."""

    name: str
    two_lanes: tuple[str, ...]
    """Flags that give two lanes, each with a GPU that is none; ``CUDA_VISIBLE_DEVICES`` says 0 and 1 there."""
    runner_may_die: bool = True
    """What runs ends with the runner; else it goes on by intent."""
