"""Which steps of a video's work are done already, by an attempt that was killed or by an earlier run.

Each step has a key, a hash of all that its result depends on, and the files that it makes. When they are whole, a
marker is put beside them, ``pywork/.steps/<name>.done``: written aside and renamed, so it is there or not. A step
whose marker has another key, or whose files are not as they were, is done again, and what no step that counts has
made is removed before any work begins. Nothing is ever written into a file that was there: it may be a hard link
into the folder that is about to be replaced.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vidfleet.speakers.layout import STEPS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_SCHEMA = 1
_ENDS_BYTES = 1 << 20
_LARGEST_MARKER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the work on a video."""

    name: str
    key: str
    """See :func:`key_of`."""
    makes: tuple[str, ...]
    """Files and whole folders that it leaves, below the output folder; some may not come about."""


class Steps:
    """The steps of one video, and which of them need not be done.

    ``kept`` names files that belong to no step and stay, such as what a person has edited.
    """

    def __init__(self, out: Path, steps: Sequence[Step], *, kept: Sequence[str] = ()) -> None:
        self._out = out
        self._steps = {step.name: step for step in steps}
        self._done = {step.name for step in steps if self._is_whole(step)}
        owned = [name for step in steps if step.name in self._done for name in step.makes]
        markers = [_marker(name) for name in self._done]
        _remove_all_but(out, (*owned, *markers, *kept))

    def is_done(self, name: str) -> bool:
        """Whether its result is there, made of the same things."""
        return name in self._done

    @contextmanager
    def doing(self, name: str) -> Iterator[None]:
        """Do a step in the ``with`` block; its result counts once the block has ended without an error."""
        self.forget(name)
        yield
        step = self._steps[name]
        marker = self._out / _marker(name)
        marker.parent.mkdir(parents=True, exist_ok=True)
        aside = marker.with_suffix(".growing")
        aside.write_text(json.dumps({"schema": _SCHEMA, "key": step.key, "found": self._found(step)}), "ascii")
        aside.replace(marker)
        self._done.add(name)

    def forget(self, name: str) -> None:
        """Remove the result of a step: first the word that it is there, then the files."""
        self._done.discard(name)
        (self._out / _marker(name)).unlink(missing_ok=True)
        for made in self._steps[name].makes:
            _remove(self._out / made)

    def forget_all(self) -> None:
        """Remove the results of all steps."""
        for name in self._steps:
            self.forget(name)

    def _is_whole(self, step: Step) -> bool:
        try:
            marker = self._out / _marker(step.name)
            if not marker.is_file() or marker.stat().st_size > _LARGEST_MARKER_BYTES:
                return False  # a pipe would be waited for without end
            said = json.loads(marker.read_text("ascii"))
            return bool(said == {"schema": _SCHEMA, "key": step.key, "found": self._found(step)})
        except (OSError, ValueError, RecursionError):
            return False

    def _found(self, step: Step) -> dict[str, list[int]]:
        """What lies at each of its places: nothing, a file (size, time), or a folder (files, bytes)."""
        return {name: _look(self._out / name) for name in step.makes}


def key_of(**parts: Any) -> str:  # noqa: ANN401 - plain JSON values
    """Hash what a step depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode("ascii")).hexdigest()


def content_key(path: Path) -> str:
    """Hash a file's size, first and last MiB, which is what its identity is everywhere; nothing where there is none."""
    if not path.is_file():
        return ""
    size = path.stat().st_size
    ends = hashlib.sha256(str(size).encode("ascii"))
    with path.open("rb") as file:
        ends.update(file.read(_ENDS_BYTES))
        file.seek(max(0, size - _ENDS_BYTES))
        ends.update(file.read(_ENDS_BYTES))
    return ends.hexdigest()


def settings_of(settings: object, *names: str) -> Mapping[str, Any]:
    """Pick fields of a settings object, as plain values."""
    return {name: getattr(settings, name) for name in names}


def _marker(name: str) -> str:
    return f"{STEPS}/{name}.done"


def _look(path: Path) -> list[int]:
    try:
        status = path.lstat()
        if not path.is_dir() or path.is_symlink():
            return [status.st_size, status.st_mtime_ns] if path.is_file() and not path.is_symlink() else []
        with os.scandir(path) as entries:
            sizes = [entry.stat(follow_symlinks=False).st_size for entry in entries]
        return [len(sizes), sum(sizes)]
    except FileNotFoundError:
        return []


def _remove_all_but(out: Path, names: Sequence[str]) -> None:
    """Remove all below ``out`` that neither is one of these, nor lies in one, nor leads to one."""
    kept = {out / name for name in names}
    ways = {parent for path in kept for parent in path.parents}

    def sweep(folder: Path) -> None:
        for entry in sorted(folder.iterdir()):
            if entry in kept:
                continue
            if entry in ways and entry.is_dir() and not entry.is_symlink():
                sweep(entry)
            else:
                _remove(entry)

    if out.is_dir():
        sweep(out)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
