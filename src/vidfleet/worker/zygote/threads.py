"""Thread pools that start when their library is loaded: held at one thread meanwhile, given their size in each fork.

OpenBLAS (one copy in numpy, another in scipy) and numexpr are such. OpenMP, MKL, PyTorch and OpenCV start threads when
they first compute, and read the lane's share of cores as ever.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

HELD = ("OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_OPENBLAS = re.compile(r"/[^/]*openblas[^/]*\.so[^/]*$")
_SETTERS = [f"{before}openblas_set_num_threads{behind}" for before in ("", "scipy_") for behind in ("", "64_", "_64")]


class Pools:
    """The pools of what is loaded, and the sizes that the script would find."""

    def __init__(self, wanted: dict[str, str | None]) -> None:
        blas = _count(wanted.get("OPENBLAS_NUM_THREADS"), wanted.get("OMP_NUM_THREADS"))
        self._blas = min(blas, len(os.sched_getaffinity(0)))  # it starts no more by itself
        self._numexpr = _count(wanted.get("NUMEXPR_NUM_THREADS"), wanted.get("OMP_NUM_THREADS"))
        self._setters = _openblas_setters() if self._blas > 1 else []

    def restore(self) -> None:
        """In a fork: give each its size."""
        for setter in self._setters:
            setter(self._blas)
        numexpr = sys.modules.get("numexpr")
        if self._numexpr > 1 and hasattr(numexpr, "set_num_threads"):
            numexpr.set_num_threads(self._numexpr)  # type: ignore[union-attr]


def libraries() -> list[str]:
    """Paths of the shared libraries that are loaded."""
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:
        paths = {line.rstrip("\n").split(None, 5)[5] for line in file if "/" in line}
    return sorted(path for path in paths if ".so" in path)


def _openblas_setters() -> list[Callable[[int], object]]:
    found = []
    for path in filter(_OPENBLAS.search, libraries()):
        try:
            library = ctypes.CDLL(path)
        except OSError:  # replaced on the disk since
            continue
        found += [getattr(library, name) for name in _SETTERS if hasattr(library, name)][:1]
    return found


def _count(*said: str | None) -> int:
    """The first number that is said, as OpenBLAS reads its variables; else as many as there are cores."""
    for text in said:
        number = (text or "").partition(",")[0].strip()
        if number.isdigit() and int(number) > 0:
            return int(number)
    return len(os.sched_getaffinity(0))
