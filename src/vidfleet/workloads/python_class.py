"""The class contract: ``setup(device)`` once in a lane, ``process(video, out)`` for each video."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidfleet.errors import SetupError, UsageError
from vidfleet.workloads.base import Call, Description, DiskUse, Promise, Traits, hash_arguments, hash_file
from vidfleet.workloads.script import interpreter

if TYPE_CHECKING:
    from vidfleet.data import Lane, Task

BUILT_IN = "vidfleet.speakers.pipeline:Speakers"
_HOST = Path(__file__).parents[1] / "worker" / "host.py"
_DESCRIBE_LIMIT_S = 1800.0


@dataclass(frozen=True)
class PythonClass:
    """A class with ``process(video, out)``; what else it may have is in docs/classes.md."""

    target: str
    """``module:Class``, importable from the working directory or installed."""
    arguments: tuple[str, ...] = ()
    """For the class's ``from_arguments(arguments)``."""
    python: str = ""
    expect: tuple[str, ...] = ()
    name: str = ""

    def describe(self, root: Path) -> Description:
        """See :class:`~vidfleet.workloads.base.Workload`. Asks the class itself, in a process of its own."""
        if not all(self.target.partition(":")):
            raise UsageError(f"{self.target!r} is no class: write module:Class")
        said = self._ask()
        try:
            return self._read(said, root)
        except (TypeError, ValueError, AttributeError, OSError) as error:
            raise SetupError(f"{self.target} says things of itself that cannot be understood: {error}") from error

    def _read(self, said: dict[str, Any], root: Path) -> Description:
        """What the class has said, as a description."""
        arguments = tuple(str(word) for word in said.get("arguments", self.arguments))
        parts: dict[str, Any] = {"class": self.target, **said.get("fingerprint", {})}
        files: tuple[Path, ...] = ()
        if "fingerprint" not in said:
            named, files = hash_arguments(arguments, root, folder=Path.cwd())
            parts |= {"arguments": list(arguments), "files": named}
        if said.get("source"):
            source = Path(said["source"])
            parts["source"] = hash_file(source)
            files = (source, *files)
        return Description(
            root=root,
            name=self.name or said.get("name", self.target),
            kind="built-in" if self.target == BUILT_IN else "class",
            parts=parts,
            files=files,
            arguments=arguments,
            source=Path(said["lies_in"]) if said.get("lies_in") else None,
            python=interpreter(self.python),
            promise=Promise(
                (*said.get("expected", ()), *self.expect), tuple(said.get("counted", ("pyframes", "pycrop")))
            ),
            traits=Traits(
                said.get("resumable", False),
                tuple(said.get("carry", ())),
                tuple(said.get("inputs", ())),
                _text(said.get("shares") or "", "shares"),
            ),
            makes_output_folder=False,
            fallback=str(said.get("fallback", "")),
            method=said.get("method", {}),
            disk=DiskUse(**said["disk"]) if said.get("disk") else None,
            notices=tuple(said.get("notices", ())),
        )

    def launch(self, task: Task, lane: Lane, description: Description) -> Call:  # noqa: ARG002
        """See :class:`~vidfleet.workloads.base.Workload`."""
        return Call(
            python=interpreter(self.python),
            target=self.target,
            arguments=description.arguments,
            video=str(task.stage.entry),
            out=str(task.stage.seen_as / task.stage.entry_stem),
            original=str(task.video.path),
            published=str(task.stage.target),
            folder=str(Path.cwd()),
        )

    def _ask(self) -> dict[str, Any]:
        """What the class says of itself; its own words where it cannot be imported."""
        request = {"target": self.target, "arguments": self.arguments, "folder": str(Path.cwd())}
        argv = (interpreter(self.python), str(_HOST), "describe", json.dumps(request))
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
        try:
            answer = subprocess.run(
                argv, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True,
                timeout=_DESCRIBE_LIMIT_S,
            )  # fmt: skip
            last_line = answer.stdout.strip().rpartition(b"\n")[2]  # behind what the user's sitecustomize may say
            said: dict[str, Any] = json.loads(last_line)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            raise SetupError(f"{self.target} cannot be asked what it is: {_in_words(error)}") from error
        if not isinstance(said, dict):
            raise SetupError(f"{self.target} cannot be used: its describe(arguments) returned no dict")
        if said.get("type") == "UsageError":
            raise UsageError(said["text"])
        if "raised" in said:
            own = said["type"].endswith(("SetupError", "WeightsError"))
            raise SetupError(said["text"] if own else f"{self.target} cannot be used: {said['raised']}")
        return said


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} is no text: {value!r}")
    return value


def _in_words(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return f"its process ended with status {error.returncode} (what it wrote stands above)"
    return str(error)
