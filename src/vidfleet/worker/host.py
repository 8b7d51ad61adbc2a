# ruff: noqa: UP006
"""Holds one class and calls it for one video after the other. Standard library only: any Python 3.8 runs it.

Started by the worker as ``python host.py ORDERS ANSWERS REQUEST``, two file descriptors and a JSON object with
``target``, ``arguments``, ``folder``; or as ``python host.py describe REQUEST``, which prints what the class
says of itself (``describe``) as one line of JSON. Output of the class goes wherever standard output goes.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
import os
import resource
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, Callable, Dict, List  # noqa: UP035 - Python 3.8

_BETWEEN_REPORTS_S = 0.25
_MOST_TOLD = 4096


def load(target: str, folder: str) -> Any:  # noqa: ANN401 - whatever class it is
    """Import ``module:Class``."""
    module, _, name = target.partition(":")
    if folder:
        sys.path.insert(0, folder)
    found = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def make(kind: Any, arguments: List[str]) -> Any:  # noqa: ANN401
    """Build the object: by ``from_arguments`` where the class has it, else without arguments."""
    if hasattr(kind, "from_arguments"):
        return kind.from_arguments(arguments)
    if arguments:
        raise TypeError(f"{kind.__name__} takes no arguments: it has no classmethod from_arguments(arguments)")
    return kind()


def reporter(say: Callable[[Dict[str, Any]], None]) -> Callable[..., None]:
    """Make the function that a class reports its progress with: often called, seldom said, from any thread."""
    last: List[Any] = [0.0, ""]

    def report(stage: str, share_done: float = -1.0) -> None:
        now = time.monotonic()
        if stage != last[1] or now - last[0] >= _BETWEEN_REPORTS_S:
            last[:] = [now, stage]
            say({"type": "progress", "stage": str(stage)[:200], "share": _share(share_done)})

    return report


def _share(told: Any) -> float:  # noqa: ANN401 - a class may tell anything
    try:
        share = float(told)
    except (TypeError, ValueError, OverflowError):
        return -1.0
    return min(max(share, -1.0), 1.0) if share == share else -1.0


def serve(orders_fd: int, answers_fd: int, request: Dict[str, Any]) -> None:
    """Set the class up with the first order, then call ``process`` for each, or ``help``."""
    lock, own_pid = threading.Lock(), os.getpid()

    def say(answer: Dict[str, Any]) -> None:
        line = memoryview(json.dumps(answer).encode("ascii") + b"\n")
        with lock:
            while line and os.getpid() == own_pid:
                line = line[os.write(answers_fd, line) :]

    worker, modules_told = None, False
    for line in os.fdopen(orders_fd, "rb"):
        order = json.loads(line)
        before = resource.getrusage(resource.RUSAGE_SELF)
        try:
            if worker is None:
                worker = _set_up(request)
            say({"type": "ready", "attempt": order["attempt"], "there": _below(own_pid)})
            answer: Dict[str, Any] = {"type": "returned", "told": _told(_call(worker, order, reporter(say)))}
        except BaseException as error:  # noqa: BLE001 - the process boundary
            traceback.print_exc()
            answer = {"type": "raised", "kind": getattr(error, "failure_kind", None) or "error",
                      "message": _in_words(error)[:2000]}  # fmt: skip
        _flush()
        if os.getpid() != own_pid:
            os._exit(1)  # a fork of the class's that came back here: the video is not its affair
        after = resource.getrusage(resource.RUSAGE_SELF)
        answer["attempt"] = order["attempt"]
        answer["cpu_s"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        if not modules_told and answer["type"] == "returned" and not order.get("helps"):
            answer["modules"] = " ".join(sorted({name.partition(".")[0] for name in list(sys.modules)}))
            modules_told = True
        answer["peak_memory_bytes"] = after.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        say(answer)


def _in_words(error: BaseException) -> str:
    """What an exception says; ours are sentences for people, others are named by their type."""
    ours = any((kind.__module__, kind.__name__) == ("vidfleet.errors", "VidfleetError") for kind in type(error).__mro__)
    return str(error) if ours and str(error) else f"{type(error).__name__}: {error}"


def _below(pid: int) -> List[int]:
    """All processes below one, as Linux lists them: what was there before a call stays after it."""
    found: List[int] = []
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for word in listing.read_text(encoding="ascii").split():
                found += [int(word), *_below(int(word))]
    return found


def _set_up(request: Dict[str, Any]) -> Any:  # noqa: ANN401
    worker = make(load(request["target"], request["folder"]), request["arguments"])
    if hasattr(worker, "setup"):
        worker.setup("cuda" if os.environ.get("CUDA_VISIBLE_DEVICES") else "cpu")
    return worker


def _call(worker: Any, order: Dict[str, Any], report: Callable[..., None]) -> Any:  # noqa: ANN401
    method = worker.help if order.get("helps") else worker.process
    takes = inspect.signature(method).parameters
    can_tell = {"report": report, "original": order["original"], "published": order["published"]}
    wanted = {name: value for name, value in can_tell.items() if name in takes}
    return method(order["video"], order["out"], **wanted)


def _told(returned: Any) -> str:  # noqa: ANN401 - whatever a class returns
    """What the record shall tell: a dictionary of plain JSON values, as text; empty for all else."""
    if not isinstance(returned, dict) or not returned:
        return ""
    try:
        text = json.dumps(returned)
    except (TypeError, ValueError) as error:
        text, why = "", f"is not JSON ({error})"
    else:
        why = f"takes {len(text)} characters, and {_MOST_TOLD} are the most"
    if text and len(text) <= _MOST_TOLD:
        return text
    sys.stderr.write(f"What process returned is not put into the record: it {why}\n")
    return ""


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # the class closed it: its own affair
            stream.flush()


def describe(request: Dict[str, Any]) -> Dict[str, Any]:
    """Print what the class says of itself, and where its source lies."""
    try:
        kind = load(request["target"], request["folder"])
        said: Dict[str, Any] = kind.describe(request["arguments"]) if hasattr(kind, "describe") else {}
        if not callable(getattr(kind, "process", None)):
            raise TypeError(f"{request['target']} has no method process(video, out)")
        if said.get("shares") and not callable(getattr(kind, "help", None)):
            raise TypeError(f"{request['target']} says that it shares its work, and has no method help(video, out)")
        json.dumps(said)
        if "fingerprint" not in said:
            said["source"] = inspect.getsourcefile(kind)
        with contextlib.suppress(TypeError):  # a class that was made up at run time has none
            said["lies_in"] = inspect.getsourcefile(kind)
        if not hasattr(kind, "from_arguments") and request["arguments"]:
            raise TypeError(f"{request['target']} takes no arguments: it has no classmethod from_arguments")
    except BaseException as error:  # noqa: BLE001 - the process boundary
        said = {
            "raised": f"{type(error).__name__}: {error}",
            "type": type(error).__name__,
            "text": str(error),
        }
    return said


if __name__ == "__main__":
    if sys.argv[1] == "describe":
        answer = os.dup(1)
        os.dup2(2, 1)  # what the class prints on import must not spoil the answer
        with contextlib.suppress(BrokenPipeError):  # nobody wants to know any more
            os.write(answer, b"\n" + json.dumps(describe(json.loads(sys.argv[2]))).encode("ascii") + b"\n")
    else:
        serve(int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]))
