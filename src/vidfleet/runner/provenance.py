"""What a run tells each of its records about itself: version, interpreter, packages, variables, the script's commit."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidfleet.data import Lane
from vidfleet.worker.process import THREAD_VARIABLES, hip_variables, lane_environment
from vidfleet.workloads.imports import git_commit, imported_by

if TYPE_CHECKING:
    from vidfleet.data import Attempt
    from vidfleet.workloads.base import Description

_VARIABLES = ("CUDA_DEVICE_ORDER", "CUDA_VISIBLE_DEVICES", *THREAD_VARIABLES, "PYTHONUNBUFFERED")
_PACKAGES = Path(__file__).parents[1] / "worker" / "packages.py"
_LIMIT_S = 30.0


@dataclass
class MadeBy:
    """The run that makes outputs. What is slow to know is asked for once, when the first output is finished."""

    vidfleet: Mapping[str, str]
    """Our version, the run and the command line."""
    _commits: dict[Path, str | None] = field(default_factory=dict)
    _interpreters: dict[tuple[str, Path | None], dict[str, Any]] = field(default_factory=dict)
    _variables: dict[Lane, dict[str, str]] = field(default_factory=dict)

    def git_commit(self, description: Description) -> str | None:
        """The commit of the repository that the workload's source lies in, if it lies in one."""
        source = description.source
        if source is not None and source not in self._commits:
            self._commits[source] = git_commit(source)
        return self._commits[source] if source else None

    def environment(self, attempt: Attempt, description: Description) -> dict[str, Any]:
        """What surrounded an attempt, as plain JSON values."""
        key = (description.python, description.source)
        if key not in self._interpreters:
            self._interpreters[key] = _ask(description, attempt.evidence.modules.split())
        known = self._interpreters[key]
        if attempt.lane not in self._variables:
            self._variables[attempt.lane] = _variables(attempt.lane)
        return {
            "interpreter": {name: known[name] for name in known if name != "packages"},
            "packages": known.get("packages", {}),
            "variables": self._variables[attempt.lane],
        }


def _variables(lane: Lane) -> dict[str, str]:
    """The variables that we set, with their values."""
    made = lane_environment(lane, "")
    return {name: made[name] for name in _VARIABLES} | hip_variables(lane.device)


def _ask(description: Description, loaded: list[str]) -> dict[str, Any]:
    """Ask the interpreter what it is, and which packages the workload's modules belong to.

    ``loaded`` are the modules that a class had loaded after its first video; for a script, its text is read.
    """
    if not description.python:
        return {}
    modules = loaded or (imported_by(description.source) if description.source else ())
    try:
        answer = subprocess.run(
            (description.python, str(_PACKAGES)), input=json.dumps(list(modules)).encode("ascii"), check=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=_LIMIT_S, cwd="/",
        )  # fmt: skip
        said: dict[str, Any] = json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return {"path": description.python}
    return said
