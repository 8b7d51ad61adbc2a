"""When the last video ends: 100 videos of very unlike lengths on 8 lanes, over the best that could be.

A video of so many seconds is a job of so many seconds: lengths are lognormal (sigma 1.2), another draw in each turn,
scaled so that no order of work could end before ``BOUND_S``. Jobs are real processes that sleep, so two cores are
enough for eight of them. They write down when they began and ended, whoever runs them: a makespan goes from the first
beginning to the last end, and starting a runner is not in it.

A file's size is not its length: between a thirtieth and all of each picture is noise, the rest is flat. In the case
of misjudged lengths each video's own length is wrong by a factor between 1/2 and 2.

The systems of a turn begin four seconds apart and run beside each other, as they sleep; who begins first changes.
"""

from __future__ import annotations

import math
import os
import random
import statistics
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from benchmarks import peers
from benchmarks.speed import ours
from benchmarks.speed.measuring import Spread, Turn, median_by_system, timed
from benchmarks.speed.noop import RAY_FLAGS, as_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

LANES = 8
VIDEOS, SIGMA = 100, 1.2
BOUND_S, QUICK_BOUND_S = 35.0, 8.0
APART_S = 4.0
MISJUDGED = 2.0
SIDE = 64
"""Pixels, of every video."""
RATE = 25
LEAST_NOISE = 0.03
"""So the same length takes 30 times the bytes, as between 0.3 and 10 Mbit/s: a lecture and a football match."""
JOB = """\
# TABLE LOG VIDEO OUT: sleeps as long as the table says for the video, and writes down when.
name=${3##*/}
read -r seconds < "$1/${name%.mp4}"
began=$EPOCHREALTIME
sleep "$seconds"
mkdir -p "$4"
echo "$name" > "$4/slept"
echo "$began $EPOCHREALTIME" >> "$2"
"""
"""For bash 5, whose clock costs no process."""


@dataclass(frozen=True)
class Result:
    """Of one system in one turn."""

    over_bound: float
    makespan_s: float
    command_s: float
    """From the start of the runner's command to its end."""
    foretold_over_real: float | None = None
    """The whole time that was expected after a fifth of the run, over the real one; None where nobody tells."""


@dataclass(frozen=True)
class Draw:
    """The videos of one turn: how long each job is, and how long each video says that it is."""

    jobs_s: tuple[float, ...]
    factors: tuple[float, ...]
    """By which a video's own length is wrong, where lengths are misjudged."""
    noise: tuple[float, ...]
    """The share of each picture that is noise."""

    @classmethod
    def of(cls, seed: int, bound_s: float) -> Draw:
        chance = random.Random(seed)
        lengths = [chance.lognormvariate(0, SIGMA) for _ in range(VIDEOS)]
        scale = bound_s / bound(lengths, LANES)
        return cls(
            tuple(length * scale for length in lengths),
            tuple(MISJUDGED ** chance.uniform(-1, 1) for _ in lengths),
            tuple(LEAST_NOISE ** chance.random() for _ in lengths),
        )


@dataclass(frozen=True)
class Place:
    """The videos of one turn, on the disk."""

    top: Path
    draw: Draw

    @property
    def table(self) -> Path:
        return self.top / "table"

    def videos(self, kind: str) -> list[Path]:
        return sorted((self.top / kind).glob("*.mp4"))

    def log(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.top)) / "log"

    def job(self, log: Path, video: str, out: str) -> list[str]:
        return ["bash", str(self.top / "job.sh"), str(self.table), str(log), video, out]


def bound(lengths: Sequence[float], lanes: int) -> float:
    """No order of work ends before this: the lanes' fair share, or the longest job."""
    return max(sum(lengths) / lanes, max(lengths))


def make_place(top: Path, draw: Draw) -> Place:
    place = Place(top, draw)
    place.table.mkdir(parents=True)
    (top / "job.sh").write_text(JOB)
    for number, (job_s, factor, noise) in enumerate(zip(draw.jobs_s, draw.factors, draw.noise, strict=True)):
        stem = f"v{number:03d}"
        (place.table / stem).write_text(f"{job_s:.3f}\n")
        write_noise(top / "true" / f"{stem}.mp4", max(round(job_s * RATE), 1), noise)
        write_noise(top / "misjudged" / f"{stem}.mp4", max(round(job_s * factor * RATE), 1), noise)
    (top / "round-robin").mkdir()
    for video in place.videos("true"):
        os.link(video, top / "round-robin" / video.name)
    return place


def write_noise(path: Path, frames: int, share: float) -> None:
    """A video of pictures whose upper ``share`` is noise."""
    path.parent.mkdir(exist_ok=True)
    chance, rows = np.random.default_rng(frames), round(share * SIDE)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=RATE, width=SIDE, height=SIDE, pix_fmt="yuv420p")
        stream.bit_rate = 8_000_000
        for _ in range(frames):
            planes = np.full((SIDE * 3 // 2, SIDE), 128, np.uint8)
            planes[:rows] = chance.integers(0, 255, (rows, SIDE), np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
        file.mux(stream.encode(None))


def makespan(log: Path, jobs: int) -> tuple[float, float]:
    """The first beginning and the last end; raises PeerError where not every job was run once."""
    times = [tuple(map(float, line.split())) for line in log.read_text().splitlines()]
    if len(times) != jobs:
        raise peers.PeerError(f"{len(times)} of {jobs} jobs were run")
    return min(began for began, _ in times), max(ended for _, ended in times)


@dataclass(frozen=True)
class System:
    """A runner and an order."""

    name: str
    called: str
    run: Callable[[Place], Result]


def systems() -> list[System]:
    call = "vidfleet run DIR --devices cpu:8"
    return [
        System("vidfleet", call, lambda place: by_vidfleet(place, "true")),
        System("vidfleet, lengths misjudged by up to two", call, lambda place: by_vidfleet(place, "misjudged")),
        System("vidfleet, round-robin as the seed", f"{call} --schedule round-robin",
               lambda place: by_vidfleet(place, "round-robin", "--schedule", "round-robin")),
        System("GNU parallel, by name", "ls *.mp4 | parallel -j8",
               lambda place: by_parallel(place, place.videos("true"))),
        System("GNU parallel, largest file first", "ls -S *.mp4 | parallel -j8",
               lambda place: by_parallel(place, by_size(place.videos("true")))),
        System("Ray actors, by name", "ActorPool(8 actors).map_unordered", by_ray),
    ]  # fmt: skip


def by_size(videos: Sequence[Path]) -> list[Path]:
    return sorted(videos, key=lambda video: -video.stat().st_size)


def by_vidfleet(place: Place, kind: str, *arguments: str) -> Result:
    log = place.log()
    root = place.top / kind
    work = place.job(log, "{video}", "{out}")
    run = ours.run(root, "--devices", f"cpu:{LANES}", *arguments, "--", *work)
    return result(place, log, run.took.seconds, run.foretold_over_real())


def by_parallel(place: Place, videos: Sequence[Path]) -> Result:
    log, out = place.log(), Path(tempfile.mkdtemp(dir=place.top))
    lines = as_lines([place.job(log, str(video), str(out / video.stem)) for video in videos], " ")
    took = timed([peers.parallel(), f"-j{LANES}"], stdin=lines)
    return result(place, log, took.seconds)


def by_ray(place: Place) -> Result:
    log, out = place.log(), Path(tempfile.mkdtemp(dir=place.top))
    jobs = [place.job(log, str(video), str(out / video.stem)) for video in place.videos("true")]
    script = str(Path(__file__).parent / "on_ray.py")
    took = timed([peers.python(), script, str(LANES), "process"], stdin=as_lines(jobs, "\t"), environment=RAY_FLAGS)
    return result(place, log, took.seconds)


def result(place: Place, log: Path, command_s: float, foretold: float | None = None) -> Result:
    began, ended = makespan(log, VIDEOS)
    return Result((ended - began) / bound(place.draw.jobs_s, LANES), ended - began, command_s, foretold)


def one_turn(place: Place, repeat: int) -> list[Turn[Result]]:
    """Every system, four seconds apart and then beside each other."""
    everyone = systems()
    order = [everyone[(index + repeat) % len(everyone)] for index in range(len(everyone))]
    stopped = threading.Event()

    def run(slot: int) -> Turn[Result]:
        if stopped.wait(slot * APART_S):
            return Turn[Result](order[slot].name, 0.0, None, "stopped")
        load = round(os.getloadavg()[0], 2)
        try:
            turn = Turn(order[slot].name, load, order[slot].run(place))
        except peers.PeerError as error:
            turn = Turn[Result](order[slot].name, load, None, str(error))
        print(f"  {turn.system}: {turn.trouble or turn.result}", flush=True)
        return turn

    with ThreadPoolExecutor(len(order)) as pool:
        try:
            return list(pool.map(run, range(len(order))))
        finally:
            stopped.set()


def measure(top: Path, repeats: int, *, quick: bool) -> tuple[dict[str, Any], list[Turn[Any]]]:
    """The part's rows, and every turn."""
    bound_s, turns, alike = QUICK_BOUND_S if quick else BOUND_S, list[Turn[Result]](), list[float]()
    for repeat in range(repeats):
        place = make_place(top / f"makespan{repeat}", Draw.of(repeat + 1, bound_s))
        alike.append(likeness(place))
        print(f" draw {repeat + 1} of {repeats}", file=sys.stderr, flush=True)
        turns += one_turn(place, repeat)
    ratios = median_by_system(turns, lambda found: found.over_bound)
    commands = median_by_system(turns, lambda found: found.command_s)
    rows = []
    for system in systems():
        mine = [turn for turn in turns if turn.system == system.name]
        foretold = [t.result.foretold_over_real for t in mine if t.result and t.result.foretold_over_real is not None]
        rows.append({
            "system": system.name, "called": system.called,
            "over_bound": asdict(ratios[system.name]) if system.name in ratios else None,
            "command_s": asdict(commands[system.name]) if system.name in commands else None,
            "foretold_over_real": asdict(Spread.of(foretold)) if foretold else None,
            "trouble": next((turn.trouble for turn in mine if turn.trouble), ""),
        })  # fmt: skip
    found = {
        "videos": VIDEOS, "lanes": LANES, "sigma": SIGMA, "bound_s": bound_s, "rows": rows,
        "size_to_length_correlation": asdict(Spread.of(alike)),
    }  # fmt: skip
    return found, list(turns)


def likeness(place: Place) -> float:
    """The correlation of the logarithms of files' sizes and of jobs' lengths: 1 where size is cost."""
    sizes = [math.log(video.stat().st_size) for video in place.videos("true")]
    return statistics.correlation(sizes, [math.log(job_s) for job_s in place.draw.jobs_s])
