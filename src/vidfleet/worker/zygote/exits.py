"""How a fork ends: as any Python, but without PyTorch tidying up tables in memory that ends a moment later.

It takes its 4,000 operators out of their tables one by one, and so writes to pages that the fork has shared until
then: 140 of the 170 ms that a fork with PyTorch would take to end. Nothing that a script can see is skipped.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import io
import re
import sys
import weakref
from typing import TYPE_CHECKING

from .threads import libraries

if TYPE_CHECKING:
    from typing import Any

_IN_PACKAGE = re.compile(r"/(?:site|dist)-packages/([A-Za-z0-9_]+)")
_QUIET = {
    "cuda", "cv2", "numpy", "nvidia", "opencv_python", "opencv_python_headless", "pillow", "PIL", "scipy", "torch",
    "torchvision",
}  # fmt: skip
"""Packages whose libraries have nothing to write when a process exits. Exit handlers run from the last to the first,
so what was loaded before PyTorch is skipped with it: where that is anything else, none is skipped.

``cuda`` and ``nvidia`` come with PyTorch's builds for CUDA, whose forks take 0.32 s of processor time where those are
asked, and 0.09 where not (2.14.1, on the processor). A GPU's driver is loaded when a fork first computes on it, and is
asked as ever."""


def skip_destructors() -> bool:
    """Ask none of the libraries that are loaded now to tidy up; called when PyTorch has just been loaded.

    Those that are loaded later are asked, and files are flushed. False where nothing could be skipped.
    """
    libc, packages = ctypes.CDLL(None), _packages()
    if not hasattr(libc, "on_exit") or not {"torch"} <= packages <= _QUIET:  # musl has none
        return False  # and without PyTorch's libraries C++'s cout may not have been made
    libc.on_exit(libc._exit, None)  # called with the exit status, after all that is registered from here on
    register = libc.__cxa_atexit
    register.argtypes = [ctypes.c_void_p] * 3
    register(ctypes.cast(libc.fflush, ctypes.c_void_p), None, None)
    try:
        cpp = ctypes.CDLL("libstdc++.so.6")
        flush, cout = cpp._ZNSo5flushEv, ctypes.addressof(ctypes.c_char.in_dll(cpp, "_ZSt4cout"))
        register(ctypes.cast(flush, ctypes.c_void_p), cout, None)
    except (OSError, AttributeError, ValueError):  # another C++ library
        pass
    return True


def flush_files() -> None:
    """Write what is in the buffers of files that were opened since loading and never closed; called last at exit.

    One that hangs in a loaded module is not destroyed at the end of a fork, as that would go through all of it.
    """
    for thing in gc.get_objects():
        if isinstance(thing, (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)) and not thing.closed:
            with contextlib.suppress(OSError, ValueError):
                thing.flush()


def keep_operators() -> None:
    """Let what PyTorch's Python part has registered stay registered to the end; called when all is loaded."""
    if "torch" not in sys.modules:
        return
    kept = []
    for finalizer in list(getattr(weakref.finalize, "_registry", ())):
        known = finalizer.peek()
        if known and str(getattr(known[1], "__module__", "")).partition(".")[0] == "torch":
            finalizer.atexit = False
            kept.append(known[0])
    _keep(kept)


def installed_modules(before: frozenset[str]) -> dict[str, Any]:
    """By name, all modules of installed packages that were loaded since ``before``, with what they hold inside."""
    loaded = {name: module for name, module in list(sys.modules.items()) if name not in before}
    packages = {name.partition(".")[0] for name in loaded if _IN_PACKAGE.search(file_of(loaded[name]) or "")}
    return {name: module for name, module in loaded.items() if name.partition(".")[0] in packages}


def leave_as_they_are(modules: dict[str, Any]) -> None:
    """Have the interpreter's end not clear these modules one by one; called last at exit.

    It would go through all that is loaded, and so copy it for this process: 44 ms with PyTorch (0.289 s a video instead
    of 0.245, two lanes of ``make bench``). Nobody can import any more when modules are cleared, so that they are not
    found then is no news to anybody.
    """
    for name, module in modules.items():
        if sys.modules.get(name) is module:
            sys.modules[name] = None  # type: ignore[assignment]  # as the interpreter itself does
    _keep(modules)


def file_of(module: Any) -> str | None:  # noqa: ANN401 - anything may lie in sys.modules
    """A module's file, without waking one that loads itself when it is first asked for something."""
    try:
        file = object.__getattribute__(module, "__dict__").get("__file__")
    except (AttributeError, TypeError):
        return None
    return file if isinstance(file, str) else None


def _keep(thing: object) -> None:
    """Keep something alive to the very end."""
    keep = ctypes.pythonapi.Py_IncRef
    keep.argtypes, keep.restype = [ctypes.py_object], None
    keep(thing)


def _packages() -> set[str]:
    return {found.group(1) for path in libraries() for found in [_IN_PACKAGE.search(path)] if found}
