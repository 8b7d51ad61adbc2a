"""Which videos are there: every file with a video's ending below the root, and never our own outputs."""

from __future__ import annotations

import os
import stat
from collections import Counter, deque
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from vidfleet.data import Video
from vidfleet.errors import UsageError
from vidfleet.runner.record import RECORD_NAME, published_beside

if TYPE_CHECKING:
    from vidfleet.settings import FindSettings

STATE_FOLDER = ".vidfleet"


def discover(root: Path, settings: FindSettings) -> tuple[Video, ...]:
    """All videos below ``root``, by relative path; raises UsageError where there is none."""
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder")
    seen_endings: Counter[str] = Counter()
    published: set[str] = set()
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
