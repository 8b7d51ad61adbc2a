"""Which videos are there: every file with a video's ending below the root, and never our own outputs."""

from __future__ import annotations

import os
import stat
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path
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
    found = sorted((pair for pair in files if pair[0] not in published), key=lambda pair: pair[0])
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
    """Walk without recursion; each real folder and each real file counts once, links included.

    Fills ``seen`` with the endings that were met, and ``published`` with the relative paths of files that
    finished outputs put beside their videos.
    """
    result = []
    visited: set[tuple[int, int]] = set()
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        status = _stat(root / folder)
        if status is None or (status.st_dev, status.st_ino) in visited:
            continue
        visited.add((status.st_dev, status.st_ino))
        entries = _scan(root / folder)
        names = {entry.name for entry in entries}
        if RECORD_NAME in names:
            parent = f"{folder.rpartition('/')[0]}/".lstrip("/")
            published.update(parent + name for name in published_beside(root / folder))
        if RECORD_NAME in names or {"pywork", "pyavi"} <= names:
            continue
        for entry in sorted(entries, key=lambda entry: (entry.is_symlink(), entry.name)):
            relative = f"{folder}/{entry.name}" if folder else entry.name
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                waiting.append(relative)
                continue
            ending = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122 - names, not paths
            seen[ending or "no ending"] += 1
            if ending in endings and (status := _stat(entry)) and stat.S_ISREG(status.st_mode):
                identity = (status.st_dev, status.st_ino)
                if not entry.is_symlink() or identity not in visited:
                    visited.add(identity)
                    result.append((relative, status))
    return result


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
