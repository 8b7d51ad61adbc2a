"""What budgets of threads are worth: lanes of a library that takes all cores, with and without them.

::

    python -m benchmarks.threads                          ten minutes; prints: make bench keeps its own figures
    python -m benchmarks.threads --repeats 1 --python torch=/path/to/python

Real runs through vidfleet over 16 tiny videos; the work is ``threads_work.py``, which says nothing about threads.
``share`` is what a run does by itself (each lane its share of the cores, by variables and by affinity), ``all`` is
``--cores-per-lane all``. Repeats are interleaved; medians count. *Reach* is how many threads a library has with
nothing, with variables that say 1, and as one of as many lanes as there are cores.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.scale import make_videos
from vidfleet.runner.run import run
from vidfleet.settings import RunSettings
from vidfleet.worker.process import THREAD_VARIABLES
from vidfleet.workloads.command import Command

UNITS = {"numpy": 40, "scipy": 45, "opencv": 45, "onnxruntime": 25, "pyav": 5, "torch": 80}
"""Each about 0.4 s of processor time."""
MEASURED = ("numpy", "opencv", "onnxruntime")
VIDEOS = 16
WORK = Path(__file__).with_name("threads_work.py")
BUDGETS = ("share", "all")


@dataclass(frozen=True)
class Measured:
    """One library on so many lanes with one budget: medians over the repeats."""

    library: str
    lanes: int
    budget: str
    """``share`` or ``all``."""
    seconds: float
    """Wall clock of the whole run."""
    cpu_s: float
    """Processor time of the whole run."""
    threads: int
    """Of one attempt."""
    repeats: int
    cores: int
    """Of this machine."""
    load: float
    """The machine's load beside it, median over the starts of the repeats."""


@dataclass(frozen=True)
class Reach:
    """How many threads a library has, and how many cores these may use."""

    library: str
    given: str
    """``nothing``, ``variables`` or ``lane``."""
    threads: int
    cores: int


def measure(
    *, repeats: int = 5, lanes: tuple[int, ...] = (8,), pythons: dict[str, str] | None = None
) -> list[Measured]:
    """Run all of it, and what ``pythons`` have; ONNX Runtime only where ``VIDFLEET_WEIGHTS`` has a network for it."""
    _forget_variables()
    wanted = {*MEASURED, *(pythons or {})}
    programs = {library: python for library, python in _there(pythons or {}).items() if library in wanted}
    taken: dict[tuple[str, int, str], list[tuple[float, float, int, float]]] = {}
    for _ in range(repeats):
        for library, python in programs.items():
            for count in lanes:
                for budget in BUDGETS:
                    taken.setdefault((library, count, budget), []).append(_one(library, python, count, budget))
    found = []
    for (library, count, budget), runs in taken.items():
        seconds, cpu_s, threads, load = (statistics.median(column) for column in zip(*runs, strict=True))
        key = (library, count, budget, round(seconds, 2), round(cpu_s, 2), int(threads), repeats)
        found.append(Measured(*key, os.cpu_count() or 1, round(load, 1)))
    return found


def reach(*, pythons: dict[str, str] | None = None) -> list[Reach]:
    """Look at each library with nothing, with variables, and in a lane."""
    found = []
    for library, python in _there(pythons or {}).items():
        plain = {name: value for name, value in os.environ.items() if name not in THREAD_VARIABLES}
        ones = {**plain, **dict.fromkeys(THREAD_VARIABLES, "1")}
        for given, environment in (("nothing", plain), ("variables", ones)):
            with tempfile.NamedTemporaryFile() as file:
                words = (python, str(WORK), library, str(3 * UNITS[library]), file.name)
                subprocess.run(words, check=True, env=environment)
                found.append(Reach(library, given, **json.loads(Path(file.name).read_text())))
        with tempfile.TemporaryDirectory(prefix="threads") as folder:
            root = Path(folder) / "root"
            make_videos(root, os.cpu_count() or 1)
            _run(root, library, python, 5 * UNITS[library], RunSettings(devices=f"cpu:{os.cpu_count() or 1}"))
            found.append(Reach(library, "lane", **json.loads(next(root.rglob("seen.json")).read_text())))
    return found


def _there(pythons: dict[str, str]) -> dict[str, str]:
    """Library → interpreter, of those that can be had."""
    modules = {"opencv": "cv2", "pyav": "av"}
    found = {}
    for library in UNITS:
        python = pythons.get(library, sys.executable)
        words = (python, "-c", f"import {modules.get(library, library)}")
        if library == "onnxruntime" and not os.environ.get("VIDFLEET_WEIGHTS"):
            continue
        if subprocess.run(words, check=False, stderr=subprocess.DEVNULL).returncode == 0:
            found[library] = python
    return found


def _forget_variables() -> None:
    """What the user of this machine has set would count as the user's own word."""
    for name in THREAD_VARIABLES:
        os.environ.pop(name, None)


def _one(library: str, python: str, lanes: int, budget: str) -> tuple[float, float, int, float]:
    """Wall clock, processor time, threads of one attempt, load before."""
    with tempfile.TemporaryDirectory(prefix="threads") as folder:
        root = Path(folder) / "root"
        make_videos(root, VIDEOS)
        load, cpu_s, began = os.getloadavg()[0], _below_s(), time.monotonic()
        settings = RunSettings(devices=f"cpu:{lanes}", cores_per_lane="all" if budget == "all" else "")
        _run(root, library, python, UNITS[library], settings)
        seconds = time.monotonic() - began
        took = seconds, _below_s() - cpu_s
        print(
            f"{library} {lanes} {budget}: {took[0]:.1f} s, {took[1]:.1f} s of processor time; load {load:.1f}",
            file=sys.stderr,
        )
        return *took, json.loads(next(root.rglob("seen.json")).read_text())["threads"], load


def _run(root: Path, library: str, python: str, units: int, settings: RunSettings) -> None:
    command = Command((python, str(WORK), library, str(units), "{out}/seen.json", "{video}"))
    summary = run(root, command, settings=settings)
    if summary.exit_status:
        raise SystemExit(f"{library}: {summary.notices}\n{summary.run_folder}")


def _below_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-reach", action="store_true", help="without how many threads each library takes")
    parser.add_argument("--python", action="append", default=[], metavar="LIBRARY=PROGRAM")
    options = parser.parse_args()
    pythons = dict(word.split("=", 1) for word in options.python)
    _forget_variables()
    found = {
        "reach": [] if options.no_reach else [asdict(item) for item in reach(pythons=pythons)],
        "measured": [asdict(item) for item in measure(repeats=options.repeats)],
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
