"""Does what a script's text does before it computes: imports modules, under the variables that it sets for them.

After each import it looks whether a fork would still be safe, so that the reason can name the module.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import importlib.util as util
import os
import sys
from typing import TYPE_CHECKING

from .exits import file_of, flush_files, installed_modules, keep_operators, leave_as_they_are, skip_destructors
from .safety import deep_trouble, standard_streams
from .threads import HELD, Pools

if TYPE_CHECKING:
    from typing import Any

_CUDA_CHECK = "PYTORCH_NVML_BASED_CUDA_CHECK"
"""With it ``torch.cuda.is_available()`` asks the driver's list instead of making a context, which no fork could use."""
_OLD_TORCH_SEED = 67280421310721
_INSTALLED = ("/site-packages/", "/dist-packages/")


class Loading:
    """What is loaded, and what has to be put back in each fork."""

    def __init__(
        self, steps: list[dict[str, str]], *, is_named: bool, loaded_before: frozenset[str], own_files: set[int]
    ) -> None:
        self.libc = ctypes.CDLL(None)
        self._steps, self._is_named = steps, is_named
        self._own_files = own_files
        self._started_in, self._streams = os.getcwd(), standard_streams()
        self._loaded_before = loaded_before
        self._folder = os.path.dirname(os.path.realpath(sys.argv[0]))
        self._folders = [self._folder]
        """Where the user's own modules lie."""
        self._searched: list[str] = []
        self._before: dict[str, str | None] = {}
        self._ours: dict[str, str | None] = {}
        self._wanted: dict[str, str | None] = {}
        """Values that the script would find in variables which are held."""
        self._has_torch = False
        self._installed: dict[str, Any] = {}

    def run(self) -> str:
        """Do all steps; returns why no fork would be safe, as a sentence, or nothing."""
        said = self._shadowed()
        self._begin()
        for step in self._steps:
            if not said and step["kind"] == "import":
                said = self._import(step["name"], step["value"])
            elif not said:
                self._set_up(step)
        if said:
            return said
        keep_operators()
        self._installed = installed_modules(self._loaded_before)
        self._pools = Pools({**os.environ, **self._wanted})
        for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):  # else every fork would say it again
            with contextlib.suppress(AttributeError, OSError, ValueError):  # none, closed, detached, not a file at all
                stream.flush()  # type: ignore[union-attr]
        self.libc.fflush(None)
        return ""

    def _begin(self) -> None:
        for name in HELD:
            self._wanted[name] = os.environ.get(name)
            self._borrow(name, "1")
        self._borrow(_CUDA_CHECK, "1")
        atexit.register(self._end)  # before any other, so called after all of them
        sys.modules["__main__"].__file__ = sys.argv[0]
        if not getattr(sys.flags, "safe_path", False):
            self._search(0, self._folder)

    def _end(self) -> None:
        """Called as the last of all exit handlers, in a fork."""
        flush_files()
        leave_as_they_are(self._installed)

    def give_back(self) -> None:
        """In a fork: undo what was only for loading; the script does it again itself."""
        for name, before in self._before.items():
            if os.environ.get(name) == self._ours[name]:  # else a module has set it, as it would have
                _set(name, before)
        for folder in self._searched:
            if folder in sys.path:
                sys.path.remove(folder)
        sys.path_importer_cache.pop(self._folder, None)  # files may have come within its clock's grain
        _renew_main()
        self._pools.restore()
        _seed_anew()

    def _borrow(self, name: str, value: str | None) -> None:
        self._before.setdefault(name, os.environ.get(name))
        self._ours[name] = value
        _set(name, value)

    def _search(self, at: int, folder: str) -> None:
        self._searched.append(folder)
        sys.path.insert(at, folder)

    def _set_up(self, step: dict[str, str]) -> None:
        kind, name, value = step["kind"], step["name"], step["value"]
        if kind in ("front", "back"):
            self._folders.append(name)
            self._search(0 if kind == "front" else len(sys.path), name)
        elif name in HELD:
            if kind != "default" or self._wanted[name] is None:
                self._wanted[name] = None if kind == "unset" else value
        elif kind != "default" or name not in os.environ:
            self._borrow(name, None if kind == "unset" else value)

    def _import(self, name: str, taken: str) -> str:
        known = set(sys.modules)
        try:
            if not self._is_named and self._is_own(_origin(name.partition(".")[0])):
                return ""  # installed from where the script lies: left to the script
            __import__(name, {}, {}, taken.split(",") if taken else [], 0)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the script meets it itself
            if self._is_named:
                return f"--preload {name}: {type(error).__name__}: {error}"
        unsafe = deep_trouble(self._own_files) or self._moved()
        if unsafe:
            return f"importing {name} {unsafe}"
        if "torch" in sys.modules and not self._has_torch:
            self._has_torch = True
            skip_destructors()
        return "" if self._is_named else self._own_module(set(sys.modules) - known, name)

    def _moved(self) -> str:
        """What a module has put elsewhere that a fork puts back, or looks for where it was."""
        if standard_streams() != self._streams:
            return "redirects a standard stream"
        if os.getcwd() != self._started_in and not os.path.isabs(sys.argv[0]):
            return "changes the working directory"
        return ""

    def _shadowed(self) -> str:
        """A script with an ``array.py`` beside it must not get Python's, which was loaded for us."""
        for name in sorted({name.partition(".")[0] for name in sys.modules} - self._loaded_before):
            for place in (name + ".py", os.path.join(name, "__init__.py")):
                if os.path.isfile(os.path.join(self._folder, place)):
                    return f"{place} beside the script is called like a module of Python"
        return ""

    def _own_module(self, names: set[str], importing: str) -> str:
        for name in sorted(names):
            module = sys.modules.get(name)
            file = file_of(module)
            if self._is_own(file) and module is not sys.modules["__main__"]:  # multiprocessing gives it a second name
                return f"importing {importing} loads {file}, which lies beside the script"
        return ""

    def _is_own(self, file: str | None) -> bool:
        """Whether a module's file is the user's own, and not an installed one below the same folder."""
        if not file or any(part in file for part in _INSTALLED):
            return False
        return any(file.startswith(os.path.join(folder, "")) for folder in self._folders) and not any(
            file.startswith(os.path.join(prefix, "")) and not self._folder.startswith(os.path.join(prefix, ""))
            for prefix in (sys.prefix, sys.base_prefix)
        )


def _seed_anew() -> None:
    """Random numbers that no two processes would share; Python's own are seeded by the fork itself.

    PyTorch begins with a seed of 64 random bits, older ones with a constant. A small one was chosen by a module.
    """
    numpy, torch = sys.modules.get("numpy.random"), sys.modules.get("torch")
    if hasattr(numpy, "seed"):
        numpy.seed()  # type: ignore[union-attr]
    if hasattr(torch, "default_generator"):
        generator = torch.default_generator  # type: ignore[union-attr]
        if generator.initial_seed() >> 32 and generator.initial_seed() != _OLD_TORCH_SEED:
            generator.seed()


def _renew_main() -> None:
    """Give the fork a ``__main__`` of its own: the zygote's is frozen, and would not be cleared when the fork ends.

    A file that the script has never closed is written, and ``__del__`` of its objects called, by that clearing.
    """
    old = sys.modules["__main__"]
    new = type(sys)("__main__")
    new.__dict__.update(old.__dict__)
    del new.__file__
    if "__annotations__" in new.__dict__:
        new.__annotations__ = {}
    for name in [name for name, module in sys.modules.items() if module is old]:
        sys.modules[name] = new


def _origin(name: str) -> str | None:
    """Where a module that is not loaded yet would come from."""
    spec = util.find_spec(name) if name not in sys.modules else None
    return spec.origin if spec else None


def _set(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
