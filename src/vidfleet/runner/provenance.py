"""What a run tells each of its records about itself: version, interpreter, packages, variables, the script's commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vidfleet.worker.process import THREAD_VARIABLES, lane_environment

if TYPE_CHECKING:
    from vidfleet.data import Attempt

_VARIABLES = ("CUDA_DEVICE_ORDER", "CUDA_VISIBLE_DEVICES", *THREAD_VARIABLES, "PYTHONUNBUFFERED")


@dataclass
class MadeBy:
    """The run that makes outputs; asks for what is slow to know once, when the first output is finished."""

    vidfleet: Mapping[str, str]
    """Our version, the run and the command line."""
    git_commit: str | None = None
    """Of the repository that the script lies in."""

    def environment(self, attempt: Attempt) -> dict[str, Any]:
        """What surrounded an attempt, as plain JSON values."""
        return {"variables": self._variables(attempt)}

    def _variables(self, attempt: Attempt) -> dict[str, str]:
        """The variables that we set, with their values."""
        made = lane_environment(attempt.lane, "")
        return {name: made[name] for name in _VARIABLES}
