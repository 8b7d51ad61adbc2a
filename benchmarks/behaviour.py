"""What runners do when something changes, dies or fails: GNU parallel, simple_gpu_scheduler, gpusched and vidfleet.

::

    make bench-behaviour        writes benchmarks/results/behaviour.json and docs/behaviour.md

The same script, the same videos, two lanes each, really run and really killed. gpusched gets simulated GPUs and looks
twice a second, where its default is every five seconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

import vidfleet
from benchmarks import peers
from benchmarks.behaviour_page import write_page
from benchmarks.watching import HEARING, environment_of, wait_until
from tests.support.fleet import write_video

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RESULTS = Path(__file__).parent / "results" / "behaviour.json"
SETTLED_S = 6.0
"""How long after the runner's end its children are counted; our promise is 5 s."""
PATIENCE_S = 15.0
EMPTY_JOBS = 20

SCRIPT = """\
import os, subprocess, sys, time
video, out = sys.argv[1:3]
stem = os.path.splitext(os.path.basename(video))[0]
with open(os.environ["BEHAVIOUR_LOG"], "a") as log:
    log.write(stem + "\\n")
mode, _, whom = os.environ.get("BEHAVIOUR_MODE", "").partition(":")
if mode == "fail":
    sys.exit("it cannot be")
os.makedirs(out, exist_ok=True)
open(os.path.join(out, "half.txt"), "w").close()
if mode == "hang" and stem in whom.split(","):
    subprocess.Popen(["sleep", "300"], start_new_session=True)
    time.sleep(300)
open(os.path.join(out, "whole.txt"), "w").close()
"""


@dataclass(frozen=True)
class Place:
    """A folder with videos, a script, and what a system leaves there."""

    top: Path

    @property
    def root(self) -> Path:
        return self.top / "root"

    @property
    def videos(self) -> list[Path]:
        return sorted(self.root.glob("*.mp4"))

    @property
    def log(self) -> Path:
        return self.top / "log"

    def add(self, *stems: str, frames: int = 3) -> None:
        for stem in stems:
            write_video(self.root / f"{stem}.mp4", frames=frames)

    def began(self) -> list[str]:
        """Which videos the script was started on since the last call."""
        found = self.log.read_text().split() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return sorted(found)

    def alive(self) -> list[int]:
        mark = f"BEHAVIOUR_LOG={self.log}".encode()
        return [pid for pid in psutil.pids() if mark in environment_of(pid)]

    def commands(self) -> str:
        """The jobs as lines of shell, as a person writes them."""
        script = self.top / "infer.py"
        return "".join(f"{sys.executable} {script} {video} {video.with_suffix('')}\n" for video in self.videos)


@dataclass(frozen=True)
class System:
    """A runner: its name, its version, and how it is told to run over a place."""

    name: str
    version: str
    called: str
    command: tuple[str, ...]
    """The command; ``TOP`` stands for the place. It finds the jobs in ``jobs.txt`` and on its standard input."""

    def start(self, place: Place, mode: str = "") -> subprocess.Popen[bytes]:
        jobs = place.top / "jobs.txt"
        jobs.write_text(place.commands())
        environment = {
            **os.environ, "BEHAVIOUR_LOG": str(place.log), "BEHAVIOUR_MODE": mode, "CUDA_VISIBLE_DEVICES": "",
        }  # fmt: skip
        command = [word.replace("TOP", str(place.top)) for word in self.command]
        with jobs.open("rb") as lines, (place.top / "said").open("ab") as said:
            return subprocess.Popen(
                [*HEARING, *command], stdin=lines, stdout=said, stderr=said, cwd=place.top,
                env=environment, start_new_session=True,
            )  # fmt: skip

    def run(self, place: Place, mode: str = "") -> tuple[int, list[str]]:
        """Exit status, and the videos that the script was started on."""
        process = self.start(place, mode)
        try:
            status = process.wait(120)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        return status, place.began()


def systems() -> list[System]:
    """All four; raises PeerError where one is missing."""
    parallel, programs = peers.parallel(), peers.tools()
    (_, simple), (_, packer) = (requirement.split("==") for requirement in peers.SCHEDULERS)
    ours = (sys.executable, "-m", "vidfleet", "run", "TOP/root", "--devices", "cpu:2", "--schedule", "name")
    return [
        System("GNU parallel", peers.version_of("parallel", "parallel"), "parallel --joblog LOG --resume-failed -j2",
               (parallel, "--joblog", "joblog", "--resume-failed", "-j2")),
        System("simple_gpu_scheduler", simple, "simple_gpu_scheduler --gpus 0 1 < JOBS",
               (str(programs / "simple_gpu_scheduler"), "--gpus", "0", "1")),
        System("gpusched", packer, "gpusched JOBS --sim 2 --poll 0.5",
               (str(programs / "gpusched"), "jobs.txt", "--sim", "2", "--poll", "0.5")),
        System("vidfleet", vidfleet.__version__, "vidfleet run DIR --devices cpu:2 -- python infer.py {video} {out}",
               (*ours, "--retries", "0", "--", sys.executable, "TOP/infer.py", "{video}", "{out}")),
    ]  # fmt: skip


@contextlib.contextmanager
def fresh_place(count: int = 4) -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="behaviour") as folder:
        place = Place(Path(folder))
        place.add(*(f"v{number}" for number in range(1, count + 1)))
        (place.top / "infer.py").write_text(SCRIPT)
        try:
            yield place
        finally:
            end(place)


def end(place: Place) -> None:
    """Kill what is left, and wait until the system has forgotten it: gpusched looks for what it once started."""
    left = place.alive()
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(map(psutil.pid_exists, left)), SETTLED_S)


def edit(place: Place) -> None:
    (place.top / "infer.py").write_text(SCRIPT + "\n# edited\n")


def kill_midway(system: System, place: Place) -> None:
    """Two videos finish, two are under way when the runner is killed; what is left of it is ended too."""
    process = system.start(place, "hang:v3,v4")
    wait_until(lambda: place.log.exists() and len(place.log.read_text().split()) == 4, 30)
    time.sleep(1.5)
    process.kill()
    process.wait()
    end(place)
    place.began()


ALL = ["v1", "v2", "v3", "v4"]
RESUME: dict[str, tuple[Callable[[Place], None], list[str]]] = {
    "nothing": (lambda _: None, []),
    "a video added in front": (lambda place: place.add("a0"), ["a0"]),
    "a video's content replaced": (lambda place: place.add("v2", frames=9), ["v2"]),
    "the script edited": (edit, ALL),
    "an output folder deleted": (lambda place: shutil.rmtree(place.root / "v2"), ["v2"]),
}


def resume_row(system: System, change: str) -> str:
    act, expected = RESUME[change]
    with fresh_place() as place:
        system.run(place)
        act(place)
        return in_words(system.run(place)[1], expected)


def again_row(system: System, before: Callable[[System, Place], object], expected: list[str]) -> str:
    with fresh_place() as place:
        before(system, place)
        return in_words(system.run(place)[1], expected)


def in_words(ran: list[str], expected: list[str]) -> str:
    """``right``, or what ran that need not and what did not run that must."""
    if ran == expected:
        return "right"
    needless, missing = sorted(set(ran) - set(expected)), sorted(set(expected) - set(ran))
    parts = ["again: " + " ".join(needless)] if needless else []
    parts += ["not run: " + " ".join(missing)] if missing else []
    return "; ".join(parts) or "some ran twice"


def signal_rows(system: System, number: signal.Signals) -> tuple[str, str]:
    """Processes left by a signal to the runner's pid alone, and half-written outputs that are visible then."""
    with fresh_place() as place:
        process = system.start(place, "hang:v1,v2,v3,v4")
        wait_until(lambda: len(place.alive()) >= 5, 30)
        time.sleep(1.0)
        process.send_signal(number)
        try:
            process.wait(PATIENCE_S)
            wait_until(lambda: not place.alive(), SETTLED_S)
            orphans = str(len(place.alive()))
        except subprocess.TimeoutExpired:
            orphans = "does not stop"
            process.kill()
            process.wait()
        end(place)
        outputs = [folder for folder in place.root.iterdir() if folder.is_dir() and not folder.name.startswith(".")]
        return orphans, str(sum(not (folder / "whole.txt").exists() for folder in outputs))


def status_row(system: System) -> str:
    with fresh_place() as place:
        return str(system.run(place, "fail")[0])


def seconds_row(system: System) -> float:
    with fresh_place(EMPTY_JOBS) as place:
        began = time.monotonic()
        system.run(place)
        return time.monotonic() - began


def measure() -> dict[str, object]:
    """Every row for every system."""
    rows: dict[str, dict[str, str]] = {}
    seconds: dict[str, float] = {}

    def add(section: str, row: str, system: System, value: str) -> None:
        rows.setdefault(f"{section}: {row}", {})[system.name] = value
        print(f"{section}: {row}: {system.name}: {value}", flush=True)

    for system in systems():
        for change in RESUME:
            add("resume", change, system, resume_row(system, change))
        add("resume", "runner killed midway", system, again_row(system, kill_midway, ["v3", "v4"]))
        add("resume", "all had failed", system, again_row(system, lambda it, place: it.run(place, "fail"), ALL))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            orphans, torn = signal_rows(system, number)
            add("kill", f"processes left after {number.name}", system, orphans)
            add("kill", f"half-written outputs to be seen after {number.name}", system, torn)
        add("kill", "exit status when all 4 failed", system, status_row(system))
    for turn in range(3):  # by turns, as the machine has other work as well
        for system in systems():
            seconds[system.name] = min(seconds_row(system), seconds.get(system.name, 1e9))
            if turn == 2:
                value = f"{seconds[system.name]:.1f}"
                add("cost", f"seconds for {EMPTY_JOBS} short Python scripts", system, value)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "systems": [{k: v for k, v in asdict(system).items() if k != "command"} for system in systems()],
        "rows": rows,
    }


def main() -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    try:
        found = measure()
    except peers.PeerError as error:
        sys.exit(f"GNU parallel is {error}")
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    write_page()


if __name__ == "__main__":
    main()
