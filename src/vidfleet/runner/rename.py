"""Two renames that Python's library lacks: onto nothing only, and an exchange; Linux's ``renameat2``."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_NOREPLACE, _EXCHANGE = 1, 2
_AT_FDCWD = -100
_REFUSED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)
"""What old kernels and file systems such as NFS answer."""


def move_new(source: Path, target: Path) -> None:
    """Rename where nothing stands at ``target``; raises FileExistsError where something does."""
    code = _renameat2(source, target, _NOREPLACE)
    if code in _REFUSED:
        if os.path.lexists(target):
            code = errno.EEXIST
        else:
            source.rename(target)
            return
    if code:
        raise OSError(code, os.strerror(code), str(source), None, str(target))


def exchange(one: Path, other: Path) -> bool:
    """Let two names change places at once; False where the file system refuses."""
    code = _renameat2(one, other, _EXCHANGE)
    if code and code not in _REFUSED:
        raise OSError(code, os.strerror(code), str(one), None, str(other))
    return code == 0


def _renameat2(source: Path, target: Path, flags: int) -> int:
    """0, or the error's number."""
    if sys.platform != "linux" or not hasattr(_LIBC, "renameat2"):
        return errno.ENOSYS
    result = _LIBC.renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flags)
    return ctypes.get_errno() if result else 0


_LIBC = ctypes.CDLL(None, use_errno=True)
