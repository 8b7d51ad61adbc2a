"""What a run tells each of its records about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class MadeBy:
    """The run that makes outputs."""

    vidfleet: Mapping[str, str]
    """Our version, the run and the command line."""
