"""A script that imports PyTorch and then has little to do: 60 videos on two lanes, cold, warm, and by Ray actors.

The work is a fixed number of matrix products on one thread, found once so that they take 0.2 s of processor time;
it neither sleeps nor looks at a clock. The script is the same for all but Ray, for which it was rewritten as an
actor (``on_ray.Torch``). A cold start takes seconds, so cold runs get fewer videos.

Two rates are told, from the times at which results were written. *With the start*: all videos, over the time from the
command's start to the last result. *Running*: once each lane has ended its first video, so without starting Python, a
zygote, a cluster, or actors, and without planning.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import peers
from benchmarks.speed import ours
from benchmarks.speed.measuring import Case, Took, Turn, interleaved, median_by_system, steady_rate, timed
from benchmarks.speed.noop import RAY_FLAGS, as_lines
from tests.support.fleet import write_video

if TYPE_CHECKING:
    from collections.abc import Callable

LANES = 2
VIDEOS, COLD_VIDEOS = 60, 10
QUICK_VIDEOS, QUICK_COLD_VIDEOS = 12, 4
WORK_S = 0.2
COLD, WARM, RAY, PARALLEL = "vidfleet", "vidfleet --warm", "Ray actors, script rewritten", "GNU parallel"
SCRIPT = """\
import argparse
import pathlib

import torch

parser = argparse.ArgumentParser()
parser.add_argument("--videoFolder", type=pathlib.Path)
parser.add_argument("--steps", type=int)
options = parser.parse_args()

torch.set_num_threads(1)
video = next(options.videoFolder.glob("*.mp4"))
matrix = torch.eye(256)
for _ in range(options.steps):
    matrix = torch.tanh(matrix @ matrix + 0.5)
out = options.videoFolder / video.stem
out.mkdir()
(out / "result.txt").write_text(f"{matrix.sum().item()}\\n")
"""
CALIBRATION = """\
import time, torch
torch.set_num_threads(1)
matrix, times = torch.eye(256), []
for _ in range(5):
    began = time.process_time()
    for _ in range(100):
        matrix = torch.tanh(matrix @ matrix + 0.5)
    times.append((time.process_time() - began) / 100)
print(min(times))
"""


@dataclass(frozen=True)
class Rates:
    """Of one turn; videos a second on both lanes together."""

    running: float
    with_start: float
    videos: int


@dataclass(frozen=True)
class Place:
    """Where the script is, and how much it computes."""

    top: Path
    steps: int

    @property
    def script(self) -> Path:
        return self.top / "infer.py"

    def root(self, count: int, *, apart: bool = False) -> Path:
        """So many new videos, each in a folder of its own where ``apart``, as the script wants it of others."""
        root = Path(tempfile.mkdtemp(prefix="torch", dir=self.top))
        for number in range(count):
            stem = f"v{number:02d}"
            write_video((root / stem if apart else root) / f"{stem}.mp4", frames=2)
        return root


def steps_for(work_s: float) -> int:
    """How many steps take so long on this machine."""
    said = timed([peers.python(), "-c", CALIBRATION], environment={"OMP_NUM_THREADS": "1"}).said
    return max(round(work_s / float(said)), 1)


def rates(took: Took, root: Path, count: int) -> Rates:
    """Out of the times at which results were written; raises PeerError where there are not as many as videos."""
    ends = [result.stat().st_mtime for result in root.rglob("result.txt") if ".vidfleet" not in result.parts]
    if len(ends) != count:
        raise peers.PeerError(f"{len(ends)} results of {count} videos")
    return Rates(steady_rate(ends, LANES), count / (max(ends) - took.began_at), count)


def by_vidfleet(place: Place, count: int, *flags: str) -> Rates:
    root = place.root(count)
    work = ("--script", str(place.script), "--python", peers.python(), "--", "--steps", str(place.steps))
    run = ours.run(root, "--devices", f"cpu:{LANES}", *flags, *work)
    return rates(run.took, root, count)


def by_warm(place: Place, count: int) -> Rates:
    if not ours.has_option("--warm"):
        raise peers.PeerError("this version has no --warm")
    return by_vidfleet(place, count, "--warm")


def by_parallel(place: Place, count: int) -> Rates:
    root = place.root(count, apart=True)
    words = [peers.python(), str(place.script), "--steps", str(place.steps), "--videoFolder"]
    lines = as_lines([[*words, str(folder)] for folder in sorted(root.iterdir())], " ")
    return rates(timed([peers.parallel(), f"-j{LANES}"], stdin=lines), root, count)


def by_ray(place: Place, count: int) -> Rates:
    root = place.root(count, apart=True)
    command = [peers.python(), str(Path(__file__).parent / "on_ray.py"), str(LANES), "torch", str(place.steps)]
    lines = as_lines([[str(folder)] for folder in sorted(root.iterdir())], "\t")
    return rates(timed(command, stdin=lines, environment=RAY_FLAGS), root, count)


SYSTEMS: dict[str, tuple[str, Callable[[Place, int], Rates], bool]] = {
    WARM: ("vidfleet run DIR --warm --script infer.py", by_warm, True),
    RAY: ("ActorPool(2 actors).map_unordered", by_ray, True),
    COLD: ("vidfleet run DIR --script infer.py", by_vidfleet, False),
    PARALLEL: ("parallel -j2 python infer.py --videoFolder {}", by_parallel, False),
}
"""How it is called, how it is measured, and whether it gets all videos."""


def in_turn(name: str, place: Place, many: int, few: int, _: int) -> Rates:
    _called, run, all_of_them = SYSTEMS[name]
    return run(place, many if all_of_them else few)


def measure(top: Path, repeats: int, *, quick: bool) -> tuple[dict[str, Any], list[Turn[Any]]]:
    """The part's rows, and every turn."""
    place = Place(top, steps_for(WORK_S))
    place.script.write_text(SCRIPT)
    many, few = (QUICK_VIDEOS, QUICK_COLD_VIDEOS) if quick else (VIDEOS, COLD_VIDEOS)
    print(f" {place.steps} steps of work a video", flush=True)
    cases = [Case(name, partial(in_turn, name, place, many, few)) for name in SYSTEMS]
    turns = interleaved(cases, repeats)
    running = median_by_system(turns, lambda found: found.running)
    with_start = median_by_system(turns, lambda found: found.with_start)
    rows = []
    for name, (called, _, all_of_them) in SYSTEMS.items():
        rows.append({
            "system": name, "called": called, "videos": many if all_of_them else few,
            "running_per_s": asdict(running[name]) if name in running else None,
            "with_start_per_s": asdict(with_start[name]) if name in with_start else None,
            "trouble": next((turn.trouble for turn in turns if turn.system == name and turn.trouble), ""),
        })  # fmt: skip
    return {"lanes": LANES, "work_s": WORK_S, "steps": place.steps, "rows": rows}, list(turns)
