"""Turns, medians, and what else every part of the benchmark needs."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import psutil

import vidfleet
from benchmarks import peers
from benchmarks.scale import peak_memory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

LIMIT_S = 600.0
"""A command that takes longer is given up."""
_LAST_WORDS = 200
_LOOK_S = 0.1
T = TypeVar("T")


@dataclass(frozen=True)
class Case(Generic[T]):
    """One system under one condition."""

    system: str
    measure: Callable[[int], T]
    """Called with the number of the turn, from 0; raises PeerError where the system did not do its work."""


@dataclass(frozen=True)
class Turn(Generic[T]):
    """One measured run of one system."""

    system: str
    load: float
    """The machine's load, a mean over a minute, just before."""
    result: T | None
    trouble: str = ""


@dataclass(frozen=True)
class Spread:
    """What several turns gave."""

    median: float
    least: float
    most: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Raises ValueError where there are none."""
        found = sorted(values)
        if not found:
            raise ValueError("nothing was measured")
        return cls(statistics.median(found), found[0], found[-1], len(found))


@dataclass(frozen=True)
class Took:
    """What a command took."""

    began_at: float
    """Seconds since 1970."""
    ended_at: float
    cpu_s: float
    """Its own, and that of all processes below it that were waited for."""
    peak_bytes: int
    """The most memory that it has held itself, looked up ten times a second."""
    said: str

    @property
    def seconds(self) -> float:
        return self.ended_at - self.began_at


def interleaved(cases: Sequence[Case[T]], repeats: int) -> list[Turn[T]]:
    """Measure every case once, then every case again, and so on: what disturbs the machine disturbs all of them."""
    turns = []
    for repeat in range(repeats):
        for case in cases:
            load, trouble, result = os.getloadavg()[0], "", None
            try:
                result = case.measure(repeat)
            except peers.PeerError as error:
                trouble = str(error)
            turns.append(Turn(case.system, round(load, 2), result, trouble))
            print(f"  {repeat + 1}/{repeats} {case.system}: {trouble or result}", flush=True)
    return turns


def timed(
    command: Sequence[str], *, stdin: str = "", cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> Took:
    """Run a command to its end; raises PeerError with its last words where it fails or takes too long."""
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as told:
        told.write(stdin)
        told.seek(0)
        began_at = time.time()
        process = subprocess.Popen(
            command, text=True, stdin=told, stdout=said, stderr=said, cwd=cwd,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "", **(environment or {})},
        )  # fmt: skip
        with _never_left_behind(process), _memory_watched(process.pid) as peak:
            _, status, used = os.wait4(process.pid, 0)
            ended_at, process.returncode = time.time(), os.waitstatus_to_exitcode(status)
        said.seek(0)
        words = said.read()
    if process.returncode:
        raise peers.PeerError(f"exit status {process.returncode}: {words.strip()[-_LAST_WORDS:]}")
    return Took(began_at, ended_at, used.ru_utime + used.ru_stime, peak.bytes, words)


@contextlib.contextmanager
def _never_left_behind(process: subprocess.Popen[str]) -> Iterator[None]:
    """End it after ``LIMIT_S``, or when we end ourselves, with all that it has started."""
    clock = threading.Timer(LIMIT_S, _kill, (process.pid,))
    clock.start()
    try:
        yield
    finally:
        clock.cancel()
        if process.returncode is None:
            _kill(process.pid)
            process.wait()


def _kill(pid: int) -> None:
    with contextlib.suppress(psutil.Error):
        first = psutil.Process(pid)
        for process in (first, *first.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                process.kill()


@dataclass
class _Peak:
    bytes: int = 0


@contextlib.contextmanager
def _memory_watched(pid: int) -> Iterator[_Peak]:
    """The system's own count at the end (``ru_maxrss``) is of no use: it begins with what *we* held at the start."""
    peak, through = _Peak(), threading.Event()

    def look() -> None:
        while not through.wait(_LOOK_S):
            with contextlib.suppress(OSError):  # gone
                peak.bytes = max(peak.bytes, peak_memory(pid))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield peak
    finally:
        through.set()
        watcher.join()


def slope(small: float, few: int, large: float, many: int) -> float:
    """What one more job adds: what is paid once, such as starting, falls out."""
    return (large - small) / (many - few)


def steady_rate(ends: Sequence[float], lanes: int) -> float:
    """Jobs a second once every lane has ended one, from the times at which jobs ended, in any order.

    What comes before the first of a lane (starting, loading, planning) is left out; the jobs that it was there for
    are not counted either. Raises ValueError where there are not more jobs than lanes.
    """
    ordered = sorted(ends)
    if len(ordered) <= lanes:
        raise ValueError("more jobs than lanes are needed")
    return (len(ordered) - lanes) / (ordered[-1] - ordered[lanes - 1])


def median_by_system(turns: Iterable[Turn[T]], value: Callable[[T], float]) -> dict[str, Spread]:
    """Of each system that did its work at least once."""
    found: dict[str, list[float]] = {}
    for turn in turns:
        if turn.result is not None:
            found.setdefault(turn.system, []).append(value(turn.result))
    return {system: Spread.of(values) for system, values in found.items()}


def header(repeats: int, versions: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What a reader needs to know of any figure: when, where, of what; ``versions`` of the peers unless given."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "vidfleet": vidfleet.__version__,
        "commit": _commit(),
        "repeats": repeats,
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "memory_gib": round(psutil.virtual_memory().total / 2**30),
            "gpus": "none is used",
            "system": f"{platform.system()} {platform.release()}",
            "python": platform.python_version(),
        },
        "load_before": round(os.getloadavg()[0], 2),
        "versions": peers.versions() if versions is None else dict(versions),
    }


def write(folder: Path, name: str, found: dict[str, Any], turns: Sequence[Turn[Any]]) -> None:
    """One part's file, with every single turn in it."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = {**found, "turns": [asdict(turn) for turn in turns]}
    (folder / f"{name}.json").write_text(as_text(whole))


def as_text(whole: dict[str, Any]) -> str:
    """As JSON, a line for each part; of a list for each item: a reader of changes sees a turn as one line."""

    def part(value: object) -> str:
        if isinstance(value, list) and value:
            return "[\n  " + ",\n  ".join(map(json.dumps, value)) + "\n ]"
        return json.dumps(value)

    return "{\n" + ",\n".join(f" {json.dumps(name)}: {part(value)}" for name, value in whole.items()) + "\n}\n"


def _commit() -> str:
    """The commit, with a plus where ``src`` has changed since."""
    git = ["git", "-C", str(Path(__file__).parents[2])]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    same = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "src"], capture_output=True, check=False)
    return head.stdout.strip() + ("+" if same.returncode else "")


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
