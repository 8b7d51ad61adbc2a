"""What of a file is in memory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


def write_cold(path: Path, size_bytes: int, *, append: bool = False) -> None:
    """Write random bytes and have the kernel forget them; skips the test where it does not."""
    with path.open("ab" if append else "wb") as file:
        file.write(os.urandom(size_bytes))
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if is_in_memory(path, 0):
        pytest.skip("this file system lives in memory")


def is_in_memory(path: Path, offset: int) -> bool:
    """Whether a page of a file can be read without asking the disk; skips the test where nobody tells."""
    file = os.open(path, os.O_RDONLY)
    try:
        return os.preadv(file, [bytearray(4096)], offset, os.RWF_NOWAIT) == 4096
    except BlockingIOError:
        return False
    except OSError as error:
        pytest.skip(f"this file system does not tell: {error}")
    finally:
        os.close(file)
