"""Have the disk itself keep files and folders, for ``--durable``: without it, the kernel has them and writes later."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def sync_tree(top: Path) -> None:
    """Sync every file below ``top``, then each folder after what it holds; links and odd files are their folder's."""
    for folder, _, names in os.walk(top, topdown=False):
        for name in names:
            path = Path(folder, name)
            if stat.S_ISREG(path.lstat().st_mode):
                _sync(path)
        sync_folder(Path(folder))


def sync_folder(folder: Path) -> None:
    """Sync a folder's list of names."""
    _sync(folder, os.O_DIRECTORY)


def _sync(path: Path, flags: int = 0) -> None:
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | flags)
    try:
        os.fsync(file)
    finally:
        os.close(file)
