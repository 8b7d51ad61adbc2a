"""Writing small files whole: aside first, then renamed, so that a reader finds all of one or none."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_whole(path: Path | str, text: str) -> None:
    """Put a file with ``text`` (ASCII) at ``path``, in place of whatever file or link stands there.

    Nothing is written through a link that somebody may have put in the place of the file aside.
    """
    folder, name = os.path.split(path)
    aside = f"{folder}/.{name}.{os.getpid()}"
    try:
        file = os.open(aside, _NEW, 0o666)
    except FileExistsError:  # a killed runner of our number has left it
        os.unlink(aside)
        file = os.open(aside, _NEW, 0o666)
    try:
        _write(file, text)
        os.replace(aside, path)
    except OSError:  # no room, or a folder stands there
        with contextlib.suppress(OSError):
            os.unlink(aside)
        raise


def _write(file: int, text: str) -> None:
    try:
        rest = memoryview(text.encode("ascii"))
        while rest:
            rest = rest[os.write(file, rest) :]
    finally:
        os.close(file)
