"""Found by a Python that starts: puts its surroundings back as they were, and holds it before its script."""

import os
import sys

FD, HAD_PATH = "VIDFLEET_ZYGOTE", "VIDFLEET_ZYGOTE_HAD_PYTHONPATH"
_PACKAGE = "_vidfleet_zygote"


def _put_back(here: str) -> str:
    """Take ourselves out of what the script and its children will see.

    Returns the socket's number; none in another Python that a wrapper around this one runs first, to ask it something.
    """
    fd, _, script = os.environ.pop(FD, "").partition(":")
    had_path = os.environ.pop(HAD_PATH, None) is not None
    others = [entry for entry in os.environ.pop("PYTHONPATH", "").split(os.pathsep) if entry != here]
    if had_path or others:  # a wrapper around this Python may have added to it
        os.environ["PYTHONPATH"] = os.pathsep.join(others)
    sys.path[:] = [entry for entry in sys.path if entry != here]
    sys.path_importer_cache.pop(here, None)
    del sys.modules["sitecustomize"]
    if sys.version_info < (3, 7):  # noqa: UP036 - it can read this file, so that it goes on cold, and no other
        return ""
    return fd if script == sys.argv[0] else ""


def _hold(here: str, fd: str) -> None:
    before = frozenset(sys.modules)
    package = type(sys)(_PACKAGE)
    package.__path__ = [here]
    sys.modules[_PACKAGE] = package
    keeps_none, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # another Python's files in our folder
    serving = __import__(_PACKAGE + ".serve", fromlist=["serve"])
    sys.dont_write_bytecode = keeps_none
    for name in [name for name in sys.modules if name.partition(".")[0] == _PACKAGE]:
        del sys.modules[name]
    zygote = os.getpid()
    try:
        serving.serve(int(fd), before)
    except BaseException as error:
        if os.getpid() != zygote:
            raise
        try:
            said = "before the script: " + type(error).__name__ + ": " + str(error) + "\n"
            os.write(2, said.encode("utf-8", "replace"))
        finally:
            os._exit(1)  # else the interpreter would run the script here too


def _start() -> None:
    here = os.path.dirname(os.path.abspath(__file__))
    fd = _put_back(here)
    try:
        import sitecustomize  # type: ignore[import-not-found]  # noqa: F401 - the machine's own
    finally:
        if fd:
            site = sys.modules.get("site")
            if site is not None and site.ENABLE_USER_SITE:
                site.execusercustomize()
            _hold(here, fd)


_start()
