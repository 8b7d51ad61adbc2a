"""Renames that Python's library lacks: onto nothing only, an exchange (Linux's ``renameat2``), and over a border."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import shutil
import sys
from pathlib import Path

_NOREPLACE, _EXCHANGE = 1, 2
_AT_FDCWD = -100
_REFUSED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)
"""What old kernels and file systems such as NFS answer."""


def move_new(source: Path | str, target: Path) -> None:
    """Rename where nothing stands at ``target``; raises FileExistsError where something does."""
    code = _renameat2(source, target, _NOREPLACE)
    if code in _REFUSED:
        if os.path.lexists(target):
            code = errno.EEXIST
        else:
            Path(source).rename(target)
            return
    if code:
        raise OSError(code, os.strerror(code), str(source), None, str(target))


def move_in(source: Path | str, target: Path) -> None:
    """The same, also from another file system or quota tree, where no rename leads: by a copy beside ``target``.

    The copy has a hidden name that is the same each time, so that a kill leaves one at most, and until the next try.
    """
    try:
        move_new(source, target)
        return
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    move_new(copy_near(Path(source), target), target)
    remove(Path(source))


def copy_near(source: Path, target: Path) -> Path:
    """Copy a folder or file to a hidden name beside ``target``; returns where it is."""
    part = near_copy(target)
    remove(part)
    if source.is_dir() and not source.is_symlink():
        shutil.copytree(source, part, symlinks=True)
    else:
        shutil.copy2(source, part, follow_symlinks=False)
    return part


def near_copy(target: Path) -> Path:
    """Where :func:`copy_near` puts what is on its way to ``target``."""
    return Path(_near_copy(target))


def _near_copy(target: Path) -> str:
    folder, name = os.path.split(target)
    return f"{folder}/.{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}.part"


def forget_near_copy(target: Path) -> None:
    """Remove what a killed :func:`copy_near` has left there."""
    if os.path.lexists(part := _near_copy(target)):
        remove(Path(part))


def remove(path: Path) -> None:
    """Remove a folder, or a file if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def exchange(one: Path, other: Path) -> bool:
    """Let two names change places at once; False where the file system refuses."""
    code = _renameat2(one, other, _EXCHANGE)
    if code and code not in (*_REFUSED, errno.EXDEV):
        raise OSError(code, os.strerror(code), str(one), None, str(other))
    return code == 0


def _renameat2(source: Path | str, target: Path, flags: int) -> int:
    """0, or the error's number."""
    if sys.platform != "linux" or not hasattr(_LIBC, "renameat2"):
        return errno.ENOSYS
    result = _LIBC.renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flags)
    return ctypes.get_errno() if result else 0


_LIBC = ctypes.CDLL(None, use_errno=True)
