"""What runs on a video, seen from the runner: one interface, met by scripts, commands and classes.

The runner never looks into a workload. It asks what it is, what it depends on and promises (``describe``), and
what to start for one task (``launch``).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from vidfleet.errors import UsageError

if TYPE_CHECKING:
    from vidfleet.data import Lane, Task


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is done before a script starts, in the order of its text."""

    kind: Literal["import", "set", "default", "unset", "front", "back"]
    """Import a module; set, set where it is not set, or remove a variable; put a folder first or last to search."""
    name: str
    """The module, the variable or the folder."""
    value: str = ""
    """A variable's value; for an import, what is taken from the module, with commas between."""


@dataclass(frozen=True, slots=True)
class Warm:
    """What a lane loads once, so that each video starts as a fork of that: see docs/warm.md."""

    steps: tuple[Step, ...]
    is_named: bool = False
    """The user has named the modules: each must be there, and may lie beside the script."""


@dataclass(frozen=True, slots=True)
class Program:
    """Start a program, once for each video."""

    argv: tuple[str, ...]
    folder: str
    """Its working directory."""
    environment: tuple[tuple[str, str], ...] = ()
    """Variables set on top of the lane's own."""
    warm: Warm | None = None
    """``argv`` is a Python with a script, and this is loaded ahead of it."""


@dataclass(frozen=True, slots=True)
class Call:
    """Call ``process`` of a class that stays loaded in the lane, or ``help``."""

    python: str
    """The interpreter that holds the class."""
    target: str
    """``module:Class``."""
    arguments: tuple[str, ...]
    """For the class's ``from_arguments``."""
    video: str
    out: str
    original: str = ""
    """The video itself, where ``video`` is a link to it in the stage: its neighbours are beside it."""
    published: str = ""
    """The folder that ``out`` becomes."""
    folder: str = ""
    """Put in front of ``sys.path``, so that a module beside the user is found."""
    helps: bool = False
    """Call ``help`` instead: another lane works on this video, and shares its work."""


Launch = Program | Call


@dataclass(frozen=True, slots=True)
class Promise:
    """What a finished attempt must have left in its output folder."""

    files: tuple[str, ...] = ()
    """Paths below the output folder, of files that are there and not empty."""
    counted: tuple[str, ...] = ()
    """Folders below it of which only the number of files is recorded, not each name and size."""

    def __post_init__(self) -> None:
        """Refuse what does not lie in the output folder."""
        for name in (*self.files, *self.counted):
            if not _is_below(name):
                raise UsageError(f"{name!r} is promised, but is no file in the output folder: give a path below it")


def _is_below(name: str) -> bool:
    """Whether a path leads to something in the folder that it starts from."""
    path = Path(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\0" not in name


@dataclass(frozen=True, slots=True)
class Traits:
    """What a workload may declare about itself."""

    resumable: bool = False
    """Its stage survives a failure, and the next attempt continues in it."""
    carry: tuple[str, ...] = ()
    """Files taken over from the folder that a new output replaces; folders too, where the name ends in ``/``."""
    inputs: tuple[str, ...] = ()
    """Endings of files beside the video that are part of its identity: ``.srt``."""
    shares: str = ""
    """A path below the output folder, of a file that is there exactly while other lanes may take a share of the work
    on a video; nothing where they never may."""

    def __post_init__(self) -> None:
        """Refuse what does not lie in the output folder."""
        if self.shares and not _is_below(self.shares):
            raise UsageError(f"shares: {self.shares!r} is no file in the output folder: give a path below it")


@dataclass(frozen=True, slots=True)
class DiskUse:
    """What a workload writes, roughly, so that a run can be refused before its first video."""

    bytes_a_pixel_second: float
    """Bytes for each pixel of the picture and second of film."""
    files_a_second: float
    less: str
    """A sentence that names the options which need less."""


@dataclass(frozen=True)
class Description:
    """All that the runner wants to know of a workload, before the first video."""

    root: Path
    name: str
    """Whose outputs these are: a folder made by another name is somebody else's."""
    kind: str
    """``script``, ``command``, ``class`` or ``built-in``."""
    parts: Mapping[str, Any]
    """What the results depend on: name of the part → a plain JSON value, such as a hash."""
    files: tuple[Path, ...] = ()
    """Files that ``parts`` were made of; when one changes, the workload is described anew."""
    arguments: tuple[str, ...] = ()
    """The workload's own arguments, as they are passed on."""
    promise: Promise = Promise()
    traits: Traits = Traits()
    source: Path | None = None
    """The script, or the file of the class."""
    python: str = ""
    """The interpreter that runs it, where it is Python."""
    makes_output_folder: bool = True
    """Whether the workload makes its output folder; else the runner does, before the attempt."""
    fallback: str = ""
    """What is missing here for its best, and the ways out, where it makes do with less by itself: results that
    were made with all of it are never replaced by such."""
    method: Mapping[str, Any] = field(default_factory=dict)
    """For the record: per stage the model's name and SHA-256."""
    disk: DiskUse | None = None
    """What it will write; nothing where it does not tell."""
    notices: tuple[str, ...] = ()
    """Sentences for the user."""
    warm: Warm | None = None
    """What each lane loads ahead; results do not depend on it."""

    @cached_property
    def fingerprint(self) -> str:
        """One hash over all parts."""
        text = json.dumps(dict(self.parts), sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode("ascii")).hexdigest()


class Workload(Protocol):
    """One way to treat a video."""

    def describe(self, root: Path) -> Description:
        """Say what this is and what it depends on; raises SetupError where it can run on no video."""
        ...

    def launch(self, task: Task, lane: Lane, description: Description) -> Launch:
        """Say what to start for ``task``, whose stage is ready."""
        ...


def hash_arguments(arguments: Sequence[str], root: Path, *, folder: Path) -> tuple[dict[str, str], tuple[Path, ...]]:
    """Hash each argument that names an existing file outside the root: a configuration, a weight.

    ``folder`` is the working directory that the arguments will be read in. ``--config=FILE`` names a file too.
    """
    names = {word: [word, *word.split("=", 1)[1:]] for word in arguments}
    files = {word: path for word, said in names.items() if (path := _first_file(said, folder))}
    outside = {word: path for word, path in files.items() if not path.is_relative_to(root.resolve())}
    return {word: hash_file(path) for word, path in outside.items()}, tuple(outside.values())


def _first_file(names: Sequence[str], folder: Path) -> Path | None:
    for name in names:
        try:
            if os.access(folder / name, os.R_OK) and (folder / name).is_file():
                return (folder / name).resolve()
        except (OSError, ValueError):  # too long for a name, or with a zero byte
            continue
    return None


def hash_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
