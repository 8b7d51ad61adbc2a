"""The template contract: any program, told by placeholders where things are. No shell is involved."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from vidfleet.errors import SetupError, UsageError
from vidfleet.workloads.base import Description, Program, Promise, hash_arguments
from vidfleet.workloads.script import python_first
from vidfleet.workloads.warm import plan_warm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vidfleet.data import Lane, Task
    from vidfleet.workloads.base import Warm

PLACEHOLDERS = ("video", "out", "stage", "stem", "name", "dir", "root", "device")
_PLACEHOLDER = re.compile("{(" + "|".join(PLACEHOLDERS) + ")}")
_VIDEO_PLACEHOLDERS = ("{video}", "{stage}", "{stem}", "{name}")
_PYTHON = re.compile(r"(python|pypy)[0-9.]*$")
_INTERPRETER = re.compile(r"(python|pypy|perl|ruby|node|julia|bash|sh|zsh|Rscript)[0-9.]*$")


@dataclass(frozen=True)
class Command:
    """A program and its arguments, in which ``{video}``, ``{out}`` and others are replaced, word by word."""

    argv: tuple[str, ...]
    python: str = ""
    """An interpreter whose folder is put first on PATH."""
    expect: tuple[str, ...] = ()
    name: str = ""
    """Whose outputs these are; the program's name where empty."""
    warm: bool = False
    """Where it is ``python script.py ...``: load what that imports once in each lane, and run each video as a fork."""
    preload: tuple[str, ...] = ()
    """The same, but load these modules instead of those that the script's text names."""

    def describe(self, root: Path) -> Description:
        """See :class:`~vidfleet.workloads.base.Workload`."""
        if not any(mark in word for word in self.argv for mark in _VIDEO_PLACEHOLDERS):
            raise UsageError(
                "the command does not say where the video goes: "
                f"use one of {', '.join(_VIDEO_PLACEHOLDERS)}, as in  -- prog --in {{video}} --out {{out}}"
            )
        if not shutil.which(self.argv[0], path=dict(python_first(self.python))["PATH"]):
            raise SetupError(f"there is no program {self.argv[0]!r} on the PATH\nGive its whole path, or install it.")
        named, files = hash_arguments(self.argv, root, folder=Path.cwd())
        warm, said = self._plan_warm() if self.warm or self.preload else (None, "")
        return Description(
            root=root,
            name=self.name or _name(self.argv),
            kind="command",
            parts={"arguments": list(self.argv), "files": named},
            files=files,
            arguments=self.argv[1:],
            **_python_script(self.argv, dict(python_first(self.python))["PATH"]),
            promise=Promise(files=self.expect, counted=("pyframes", "pycrop")),
            makes_output_folder=not any("{out}" in word for word in self.argv),
            notices=(said,) if said else (),
            warm=warm,
        )

    def _plan_warm(self) -> tuple[Warm | None, str]:
        script = Path(self.argv[1]) if len(self.argv) > 1 else Path()
        is_python = _PYTHON.match(os.path.basename(self.argv[0]))  # noqa: PTH119 - a string, not a path
        if not is_python or script.suffix != ".py" or not script.is_file():
            raise UsageError(
                f"--warm takes a Python that runs a script, and this is {' '.join(self.argv[:2])!r}: "
                "write  -- python script.py ...  without options between the two"
            )
        return plan_warm(script.absolute(), Path.cwd(), self.preload)

    def launch(self, task: Task, lane: Lane, description: Description) -> Program:
        """See :class:`~vidfleet.workloads.base.Workload`."""
        argv = fill_in(self.argv, task, lane, description.root)
        return Program(argv, str(Path.cwd()), python_first(self.python) if self.python else (), description.warm)


def fill_in(words: Sequence[str], task: Task, lane: Lane, root: Path) -> tuple[str, ...]:
    """Replace the placeholders in each word; one word stays one word."""
    return tuple(_PLACEHOLDER.sub(lambda found: _value(found[1], task, lane, root), word) for word in words)


def _value(name: str, task: Task, lane: Lane, root: Path) -> str:
    stage = task.stage
    match name:
        case "video":
            return f"{stage.seen_as}/{stage.entry_name}"
        case "out":
            return f"{stage.seen_as}/{stage.entry_stem}"
        case "stage":
            return str(stage.seen_as)
        case "stem":
            return stage.entry_stem
        case "name":
            return stage.entry_name
        case "dir":
            return str(task.video.path.parent)
        case "root":
            return str(root)
    return "cuda:0" if lane.device.kind == "gpu" else "cpu"


class _Python(TypedDict, total=False):
    source: Path
    python: str


def _python_script(argv: tuple[str, ...], path: str) -> _Python:
    """Interpreter and script, where the command is ``python script.py ...``."""
    if not _PYTHON.match(os.path.basename(argv[0])):  # noqa: PTH119 - a string, not a path
        return {}
    script = next((Path(word).absolute() for word in argv[1:] if word.endswith(".py") and Path(word).is_file()), None)
    found: _Python = {"python": shutil.which(argv[0], path=path) or argv[0]}
    return {**found, "source": script} if script else found


def _name(argv: tuple[str, ...]) -> str:
    """The program's name; behind an interpreter, its script's or module's: two scripts are two workloads."""
    program = os.path.basename(argv[0])  # noqa: PTH119 - a string, not a path
    if not _INTERPRETER.match(program):
        return program
    words = [word for index, word in enumerate(argv[1:]) if not word.startswith("-") or argv[index] == "-m"]
    return f"{program} {os.path.basename(words[0])}" if words else program  # noqa: PTH119
