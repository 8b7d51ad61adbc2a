"""Reading small files that somebody else may have written, or put something else in the place of."""

from __future__ import annotations

import errno
import json
import os
import stat
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

MOST_BYTES = 16 << 20
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def read_small(path: Path | str) -> bytes:
    """The content of a regular file; no pipe is waited for, no link followed, nothing huge is read.

    Raises FileNotFoundError or NotADirectoryError where there is nothing, ValueError where it is something else.
    """
    try:
        descriptor = os.open(path, _FLAGS)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:  # a link, a socket, a device without driver, unreadable
        raise ValueError(f"it is no file that can be read: {error.strerror}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_BYTES:
            raise ValueError(f"it is no regular file of at most {MOST_BYTES >> 20} MiB")
        return _read(descriptor, status.st_size)
    finally:
        os.close(descriptor)


def _read(descriptor: int, size: int) -> bytes:
    """Nearly always in one call: a file object would look at the file four times more."""
    data = os.read(descriptor, size)
    while len(data) < size and (more := os.read(descriptor, size - len(data))):
        data += more
    return data


def open_regular(path: Path | str) -> BinaryIO:
    """Open a regular file of any size; raises OSError where there is none, or something else: no pipe is waited for."""
    descriptor = os.open(path, _FLAGS)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return os.fdopen(descriptor, "rb")


def read_json(path: Path | str) -> Any:  # noqa: ANN401 - the caller checks what it is
    """The JSON value in a small regular file; raises as :func:`read_small`, and ValueError where it is no JSON."""
    try:
        return json.loads(read_small(path))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
