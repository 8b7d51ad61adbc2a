"""``--files-from``: the videos that a list names, found without a walk."""

from __future__ import annotations

import os
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from vidfleet.errors import UsageError
from vidfleet.runner.entries import Found, file_or_why, is_folder, once_each, scan
from vidfleet.runner.record import RECORD_NAME, published_beside

if TYPE_CHECKING:
    from vidfleet.settings import FindSettings


def listed_files(root: Path, settings: FindSettings, published: set[str]) -> list[Found]:
    """What the list names; raises UsageError for what cannot be meant.

    What discovery never takes for a video is passed over, as lists are often made by ``find``: hidden names, folders,
    what lies in an output, and a second name of the same file. Fills ``published`` as discovery does.
    """
    files: list[tuple[str, os.stat_result]] = []
    others: list[Found] = []
    outputs: dict[str, bool] = {"": False}
    for relative in _listed(root, settings.files_from):
        if not os.path.lexists(root / relative):
            raise UsageError(f"--files-from names {relative}, and there is no such file")
        if os.path.splitext(relative)[1].lower() not in settings.endings:  # noqa: PTH122
            raise UsageError(f"--files-from names {relative}, which is no video by its ending; --ext adds endings")
        hidden = any(part.startswith(".") for part in PurePosixPath(relative).parts)
        folder = relative.rpartition("/")[0]
        if hidden or _is_in_output(root, folder, outputs, published):
            continue
        found = file_or_why(root / relative)
        if isinstance(found, os.stat_result):
            files.append((relative, found))
        elif found:
            others.append((relative, found))
    return once_each(files, set()) + others


def _listed(root: Path, source: str) -> list[str]:
    """The paths of a list, relative to the root; one a line, or separated by zero bytes as ``find -print0`` does."""
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise UsageError(f"--files-from {source} cannot be read ({error.strerror})") from error
    lines = data.split(b"\0") if b"\0" in data else data.splitlines()
    return sorted({_below(root, os.fsdecode(line)) for line in lines if line})


def _below(root: Path, name: str) -> str:
    """A listed name as a path below the root: seen from the root, else from where the user stands."""
    ways = [os.path.normpath(start / name) for start in (root, Path.cwd())]
    inside = [path for path in ways if Path(path).is_relative_to(root) and path != str(root)]
    if not inside:
        raise UsageError(f"--files-from names {name}, which is not below {root}")
    path = next((path for path in inside if os.path.lexists(path)), inside[0])
    return os.path.relpath(path, root).replace(os.sep, "/")


def _is_in_output(root: Path, folder: str, known: dict[str, bool], published: set[str]) -> bool:
    """Whether a folder is an output or lies in one; fills ``published`` with what outputs in it put beside it."""
    if folder not in known:
        known[folder] = _is_in_output(root, folder.rpartition("/")[0], known, published) or _is_output(root / folder)
    if f"{folder}/" not in known:  # each folder is looked through once
        known[f"{folder}/"] = True
        for entry in scan(root / folder):
            if not entry.name.startswith(".") and is_folder(entry):
                published.update(f"{folder}/{name}".lstrip("/") for name in published_beside(Path(entry.path)))
    return known[folder]


def _is_output(folder: Path) -> bool:
    return (folder / RECORD_NAME).exists() or ((folder / "pywork").exists() and (folder / "pyavi").exists())
