"""The folder contract: ``python f.py --videoFolder STAGE``, for scripts that nobody will change.

The script finds one video in STAGE and writes ``STAGE/<stem>/``, as it would in a folder of many.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vidfleet.errors import UsageError
from vidfleet.workloads.base import Description, Program, Promise, Traits, hash_arguments, hash_file
from vidfleet.workloads.warm import plan_warm

if TYPE_CHECKING:
    from vidfleet.data import Lane, Task


@dataclass(frozen=True)
class Script:
    """An unmodified script that takes ``--videoFolder``."""

    path: Path | str
    arguments: tuple[str, ...] = ()
    """Passed on behind ``--videoFolder STAGE``."""
    python: str = ""
    """The interpreter; this one where empty."""
    expect: tuple[str, ...] = ()
    """Files below the output folder that must exist and not be empty afterwards."""
    name: str = ""
    """Whose outputs these are; the script's file name where empty."""
    warm: bool = False
    """Load what the script imports once in each lane, and run each video as a fork of that."""
    preload: tuple[str, ...] = ()
    """The same, but load these modules instead of those that the script's text names."""

    def describe(self, root: Path) -> Description:
        """See :class:`~vidfleet.workloads.base.Workload`."""
        script = Path(self.path).absolute()
        if not script.is_file():
            raise UsageError(f"there is no script {script}\nGive its path, or put it beside parallel_runner.py.")
        if not shutil.which(interpreter(self.python)):
            raise UsageError(f"--python {self.python}: there is no such program that can be run")
        named, files = hash_arguments(self.arguments, root, folder=script.parent)
        warm, said = plan_warm(script, script.parent, self.preload) if self.warm or self.preload else (None, "")
        return Description(
            root=root,
            name=self.name or script.name,
            kind="script",
            parts={"script": hash_file(script), "arguments": list(self.arguments), "files": named},
            files=(script, *files),
            arguments=self.arguments,
            source=script,
            python=interpreter(self.python),
            promise=Promise(files=self.expect, counted=("pyframes", "pycrop")),
            traits=Traits(),
            notices=(said,) if said else (),
            warm=warm,
        )

    def launch(self, task: Task, lane: Lane, description: Description) -> Program:  # noqa: ARG002
        """See :class:`~vidfleet.workloads.base.Workload`."""
        script = Path(self.path).absolute()
        argv = (
            interpreter(self.python),
            str(script),
            "--videoFolder",
            str(task.stage.seen_as),
            *self.arguments,
        )
        return Program(argv, str(script.parent), python_first(self.python), description.warm)


def interpreter(python: str) -> str:
    """The interpreter to run: a path, a name on PATH, or this process's own."""
    return os.path.abspath(python) if os.sep in python else python or sys.executable  # noqa: PTH100 - keeps links


def python_first(python: str) -> tuple[tuple[str, str], ...]:
    """PATH with the interpreter's folder in front, so that what it calls by name is its own."""
    folder = os.path.dirname(interpreter(python))  # noqa: PTH120 - a virtual environment is known by its link
    return (("PATH", os.pathsep.join(filter(None, [folder, os.environ.get("PATH", "")]))),)
