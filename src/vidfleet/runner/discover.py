"""Which videos are there: every file with a video's ending below the root, and never our own outputs."""

from __future__ import annotations

import os
import stat
import sys
from collections import Counter, deque
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from vidfleet.data import Video
from vidfleet.errors import UsageError
from vidfleet.runner.record import RECORD_NAME, published_beside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vidfleet.settings import FindSettings

STATE_FOLDER = ".vidfleet"


def discover(root: Path, settings: FindSettings) -> tuple[Video, ...]:
    """All videos below ``root``, by relative path; raises UsageError where there is none."""
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder")
    seen_endings: Counter[str] = Counter()
    published: set[str] = set()
    if settings.files_from:
        files = _listed_files(root, settings, published)
    else:
        files = _files(root, settings.endings, seen_endings, published)
    found = sorted((pair for pair in files if not _is_published(pair[0], published)), key=lambda pair: pair[0])
    wanted = [(relative, status) for relative, status in found if _is_wanted(relative, settings)]
    if not wanted:
        raise UsageError(_none_found(root, settings, seen_endings, skipped=len(found)))
    return tuple(
        Video(root / relative, relative, status.st_size, status.st_mtime_ns, position)
        for position, (relative, status) in enumerate(wanted[: settings.limit])
    )


def _files(
    root: Path, endings: frozenset[str], seen: Counter[str], published: set[str]
) -> list[tuple[str, os.stat_result]]:
    """Walk without recursion; each real folder and each linked file counts once.

    What is met by its own name goes before what is met through a link, so a link beside or above the thing
    itself changes nothing. Fills ``seen`` with the endings that were met, and ``published`` with the relative
    paths of what finished outputs put beside their videos.
    """
    result: list[tuple[str, os.stat_result]] = []
    links: list[tuple[str, os.stat_result]] = []
    visited: set[tuple[int, int]] = set()
    waiting, linked_folders = [""], deque[str]()
    while waiting or linked_folders:
        folder = waiting.pop() if waiting else linked_folders.popleft()
        status = _stat(root / folder)
        if status is None or _identity(status) in visited:
            continue
        visited.add(_identity(status))
        entries = _scan(root / folder)
        names = {entry.name for entry in entries}
        published.update(f"{folder}/{name}".lstrip("/") for name in _beside_asides(root / folder, names))
        if RECORD_NAME in names:
            parent = f"{folder.rpartition('/')[0]}/".lstrip("/")
            published.update(parent + name for name in published_beside(root / folder))
        if RECORD_NAME in names or {"pywork", "pyavi"} <= names:
            continue
        for entry in sorted(entries, key=lambda entry: entry.name):
            relative = f"{folder}/{entry.name}" if folder else entry.name
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                (linked_folders if entry.is_symlink() else waiting).append(relative)
                continue
            ending = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122 - names, not paths
            seen[ending or "no ending"] += 1
            if ending in endings and (status := _stat(entry)) and stat.S_ISREG(status.st_mode):
                (links if entry.is_symlink() else result).append((relative, status))
    return result + _once_each(links, {_identity(status) for _, status in result})


def _beside_asides(folder: Path, names: set[str]) -> Iterator[str]:
    """What outputs put beside their videos that a kill has left aside: the next runner puts them back."""
    asides = [folder / name for name in names if name.startswith(".") and name.endswith(".old")]
    if STATE_FOLDER in names:
        stages = _scan(folder / STATE_FOLDER)
        asides += [Path(entry.path) for entry in stages if entry.name.endswith(".old")]
    for aside in asides:
        yield from published_beside(aside)


def _listed_files(root: Path, settings: FindSettings, published: set[str]) -> list[tuple[str, os.stat_result]]:
    """What ``--files-from`` names, found without a walk; raises UsageError for what cannot be meant.

    What discovery never takes for a video is passed over, as lists are often made by ``find``: hidden names, what
    lies in an output, and a second name of the same file.
    """
    result: list[tuple[str, os.stat_result]] = []
    outputs: dict[str, bool] = {"": False}
    for relative in _listed(root, settings.files_from):
        status = _stat(root / relative)
        if status is None:
            raise UsageError(f"--files-from names {relative}, and there is no such file")
        if os.path.splitext(relative)[1].lower() not in settings.endings:  # noqa: PTH122
            raise UsageError(f"--files-from names {relative}, which is no video by its ending; --ext adds endings")
        hidden = any(part.startswith(".") for part in PurePosixPath(relative).parts)
        folder = relative.rpartition("/")[0]
        if not hidden and stat.S_ISREG(status.st_mode) and not _is_in_output(root, folder, outputs, published):
            result.append((relative, status))
    return _once_each(result, set())


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
        for entry in _scan(root / folder):
            if not entry.name.startswith(".") and _is_folder(entry):
                published.update(f"{folder}/{name}".lstrip("/") for name in published_beside(Path(entry.path)))
    return known[folder]


def _is_output(folder: Path) -> bool:
    return (folder / RECORD_NAME).exists() or ((folder / "pywork").exists() and (folder / "pyavi").exists())


def _once_each(
    links: list[tuple[str, os.stat_result]], known: set[tuple[int, int]]
) -> list[tuple[str, os.stat_result]]:
    """Of several links to one file the first by name, and none where the file itself was found."""
    chosen = []
    for relative, status in sorted(links, key=lambda pair: pair[0]):
        if _identity(status) not in known:
            known.add(_identity(status))
            chosen.append((relative, status))
    return chosen


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _is_published(relative: str, published: set[str]) -> bool:
    """Whether a finished output put this file, or a folder that it lies in, beside its video."""
    return bool(published) and (
        relative in published or any(str(parent) in published for parent in PurePosixPath(relative).parents)
    )


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:  # unreadable, or gone since: its videos are not ours to run
        return []


def _stat(path: Path | os.DirEntry[str]) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116 - also of a DirEntry
    except OSError:  # a broken link, a link to itself, gone since
        return None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_wanted(relative: str, settings: FindSettings) -> bool:
    if settings.include and not any(_matches(relative, pattern) for pattern in settings.include):
        return False
    return not any(_matches(relative, pattern) for pattern in settings.exclude)


def _matches(relative: str, pattern: str) -> bool:
    return fnmatchcase(relative, pattern) or fnmatchcase(Path(relative).name, pattern)


def _none_found(root: Path, settings: FindSettings, seen: Counter[str], *, skipped: int) -> str:
    endings = " ".join(sorted(settings.endings))
    if skipped:
        return f"no video under {root} passes --include and --exclude ({skipped} were there)"
    if not seen:
        return f"no video under {root}: there are no files at all (looked for {endings})"
    there = ", ".join(f"{count} x {ending}" for ending, count in seen.most_common(8))
    return (
        f"no video under {root}: looked for {endings}, and saw {there}\n"
        "Other endings count with --ext, such as --ext webm,mpg."
    )
