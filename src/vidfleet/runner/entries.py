"""What stands in a folder, told without opening anything: files, folders, links, and what is none of these."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

Found = tuple[str, os.stat_result | str]
"""A path below the root with what the system says of the file; or, where it is no file, a sentence why."""

_NO_FILES = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def scan(folder: Path) -> list[os.DirEntry[str]]:
    """All entries; none where the folder cannot be read, or is gone since."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def status_of(path: Path | str | os.DirEntry[str]) -> os.stat_result | None:
    """What the system says of a path, links followed; nothing where a link is broken or leads to itself."""
    try:
        return os.stat(path)  # noqa: PTH116 - also of a DirEntry
    except OSError:
        return None


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def identity(status: os.stat_result) -> tuple[int, int]:
    """The same for all names of one file."""
    return status.st_dev, status.st_ino


def file_or_why(path: Path | os.DirEntry[str]) -> os.stat_result | str:
    """What the system says of a file; a sentence where it is no file; empty where there is nothing any more."""
    try:
        status = os.stat(path)  # noqa: PTH116 - also of a DirEntry
    except OSError as error:
        return _why_no_status(Path(path), error)
    if stat.S_ISREG(status.st_mode):
        return status
    return next((f"it is {what}, not a file" for is_it, what in _NO_FILES if is_it(status.st_mode)), "")


def _why_no_status(path: Path, error: OSError) -> str:
    try:
        there = os.readlink(path)  # noqa: PTH115 - as it was written
    except OSError:  # no link
        return "" if error.errno in (errno.ENOENT, errno.ENOTDIR) else f"it cannot be reached ({error.strerror})"
    if error.errno == errno.ELOOP:
        return "it is a link that leads back to itself"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return f"it is a link to {there}, which is not there"
    return f"it is a link to {there}, which cannot be reached ({error.strerror})"


def once_each(links: list[tuple[str, os.stat_result]], known: set[tuple[int, int]]) -> list[Found]:
    """Of several links to one file the first by name, and none where the file itself is ``known``."""
    chosen: list[Found] = []
    for relative, status in sorted(links, key=lambda pair: pair[0]):
        if identity(status) not in known:
            known.add(identity(status))
            chosen.append((relative, status))
    return chosen
