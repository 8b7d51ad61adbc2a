"""Which videos are there: every file with a video's ending below the root, and never our own outputs.

What is called like a video and is no file (a pipe, a link that leads nowhere) is found too, with the reason, so that
a run can name it; nothing is opened for that.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from vidfleet.data import Video
from vidfleet.errors import UsageError
from vidfleet.runner.entries import Found, file_or_why, identity, is_folder, once_each, scan, status_of
from vidfleet.runner.listed import listed_files
from vidfleet.runner.record import RECORD_NAME, published_beside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vidfleet.settings import FindSettings

STATE_FOLDER = ".vidfleet"
_MOST_NAMED = 4


@dataclass(frozen=True, slots=True)
class Discovery:
    """What a look at the root has found."""

    videos: tuple[Video, ...]
    """By relative path; with those that are called so and are no file."""
    notices: tuple[str, ...] = ()
    """Sentences for the user: folders that could not be read."""


def discover(root: Path, settings: FindSettings) -> Discovery:
    """All videos below ``root``; raises UsageError where there is none."""
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder")
    walk = _Walk(root, settings.endings)
    files = listed_files(root, settings, walk.published) if settings.files_from else walk.files()
    found = sorted((pair for pair in files if not _is_published(pair[0], walk.published)), key=lambda pair: pair[0])
    wanted = [pair for pair in found if _is_wanted(pair[0], settings)]
    if not wanted:
        walk.raise_if_closed()
        raise UsageError(_none_found(root, settings, walk.seen_endings, skipped=len(found)))
    videos = (_video(root, pair, position) for position, pair in enumerate(wanted[: settings.limit]))
    return Discovery(tuple(videos), tuple(walk.notices([relative for relative, _ in found])))


def _video(root: Path, found: Found, position: int) -> Video:
    relative, status = found
    if isinstance(status, str):
        return Video(root / relative, relative, 0, 0, position, no_file=status)
    return Video(root / relative, relative, status.st_size, status.st_mtime_ns, position)


class _Walk:
    """Walks without recursion; each real folder and each linked file counts once.

    What is met by its own name goes before what is met through a link, so a link beside or above the thing
    itself changes nothing.
    """

    def __init__(self, root: Path, endings: frozenset[str]) -> None:
        self._root, self._endings = root, endings
        self.seen_endings: Counter[str] = Counter()
        self.published: set[str] = set()
        """Relative paths of what finished outputs put beside their videos."""
        self._own: list[tuple[str, os.stat_result]] = []
        self._links: list[tuple[str, os.stat_result]] = []
        self._others: list[Found] = []
        self._closed: dict[str, str] = {}
        """Folders that could not be read, and the system's words for it."""
        self._called_like_videos: list[str] = []
        self._waiting, self._linked_folders = [""], deque[str]()

    def files(self) -> list[Found]:
        """Everything below the root that is called like a video, in no order."""
        visited: set[tuple[int, int]] = set()
        while self._waiting or self._linked_folders:
            folder = self._waiting.pop() if self._waiting else self._linked_folders.popleft()
            status = status_of(self._path(folder))
            if status is not None and identity(status) not in visited:
                visited.add(identity(status))
                self._look_into(folder)
        return [*self._own, *once_each(self._links, {identity(status) for _, status in self._own}), *self._others]

    def _look_into(self, folder: str) -> None:
        entries = self._scan(folder)
        names = {entry.name for entry in entries}
        self.published.update(f"{folder}/{name}".lstrip("/") for name in _beside_asides(self._path(folder), names))
        if RECORD_NAME in names:
            parent = f"{folder.rpartition('/')[0]}/".lstrip("/")
            self.published.update(parent + name for name in published_beside(self._path(folder)))
        if RECORD_NAME in names or {"pywork", "pyavi"} <= names:
            return
        if folder and _ending(folder) in self._endings:
            self._called_like_videos.append(folder)
        for entry in sorted(entries, key=lambda entry: entry.name):
            if not entry.name.startswith("."):
                self._meet(entry, f"{folder}/{entry.name}" if folder else entry.name)

    def _path(self, folder: str) -> str:
        """A string: outputs are looked at too, and making a ``Path`` of each takes longer than all else here."""
        return f"{self._root}/{folder}"

    def _scan(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self._path(folder)) as entries:
                return list(entries)
        except FileNotFoundError:  # gone since
            return []
        except OSError as error:
            if folder and _ending(folder) in self._endings:
                self._others.append((folder, f"it is a folder that cannot be read ({error.strerror})"))
            else:
                self._closed[folder] = error.strerror or type(error).__name__
            return []

    def _meet(self, entry: os.DirEntry[str], relative: str) -> None:
        if is_folder(entry):
            (self._linked_folders if entry.is_symlink() else self._waiting).append(relative)
            return
        ending = _ending(entry.name)
        self.seen_endings[ending or "no ending"] += 1
        if ending not in self._endings:
            return
        status = file_or_why(entry)
        if isinstance(status, os.stat_result):
            (self._links if entry.is_symlink() else self._own).append((relative, status))
        elif status:
            self._others.append((relative, status))

    def raise_if_closed(self) -> None:
        """Raise UsageError where the root itself could not be read."""
        if "" in self._closed:
            raise UsageError(f"{self._root} cannot be read ({self._closed['']})")

    def notices(self, found: list[str]) -> Iterator[str]:
        """What was passed over and may be missed: folders that could not be read, or that only look like videos."""
        if self._closed:
            names = sorted(self._closed)
            why = self._closed[names[0]]
            yield f"not looked into, as they cannot be read ({why}): {_named(names)}"
        if not self._called_like_videos:
            return
        holding = {*found, *(str(parent) for relative in found for parent in PurePosixPath(relative).parents)}
        empty = sorted(folder for folder in self._called_like_videos if folder not in holding)
        if empty:
            yield f"called like videos, but folders without any video in them: {_named(empty)}"


def _named(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 - names, not paths


def _beside_asides(folder: str, names: set[str]) -> Iterator[str]:
    """What outputs put beside their videos that a kill has left aside: the next runner puts them back."""
    asides = [f"{folder}/{name}" for name in names if name.startswith(".") and name.endswith(".old")]
    if STATE_FOLDER in names:
        stages = scan(Path(folder, STATE_FOLDER))
        asides += [entry.path for entry in stages if entry.name.endswith(".old")]
    for aside in asides:
        yield from published_beside(aside)


def _is_published(relative: str, published: set[str]) -> bool:
    """Whether a finished output put this file, or a folder that it lies in, beside its video."""
    return bool(published) and (
        relative in published or any(str(parent) in published for parent in PurePosixPath(relative).parents)
    )


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
