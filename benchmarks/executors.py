"""What a video costs where lanes are on a Ray cluster or in an element of Slurm, beside the same lanes of this machine.

::

    python -m benchmarks.executors                          500 videos, one lane and two, five times each; minutes
    python -m benchmarks.executors --videos 200 --seconds 0.5      makespan with work that takes its time
    python -m benchmarks.executors --where local slurm             Slurm's daemons are started by root alone

Each cluster is one node on this machine, which the measuring starts, so calls go over a real socket, but no wire. Each
run on a cluster follows one with local lanes over the same videos, so that both see the same load. *A video* is the
time between ends of attempts, times the number of lanes, without the first fifth of them, in which processes start.
*Start* is from the command to the first attempt, *end* from the last attempt to the command's exit.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.scale import make_videos
from tests.support.ray_cluster import RayCluster
from tests.support.slurm_cluster import SlurmCluster, why_not

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Cost:
    """One run, or the medians of several."""

    video_ms: float
    start_s: float
    end_s: float
    whole_s: float


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=500)
    parser.add_argument("--lanes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.0, help="what each video takes (default: cp)")
    parser.add_argument("--where", nargs="+", choices=("local", "ray", "slurm"), default=["local", "ray"])
    options = parser.parse_args(argv)
    with ExitStack() as stack:
        places = {where: _FLAGS[where](stack, max(options.lanes)) for where in options.where}
        print("| lanes | where | a video | start | end | whole |\n|--:|---|--:|--:|--:|--:|")
        for lanes in options.lanes:
            taken: dict[str, list[Cost]] = {name: [] for name in places}
            for _ in range(options.times):
                for name, flags in places.items():
                    taken[name].append(measure(options.videos, lanes, flags, seconds=options.seconds))
            for name, costs in taken.items():
                of = median(costs)
                print(
                    f"| {lanes} | {name} | {of.video_ms:.2f} ms | {of.start_s:.1f} s | {of.end_s:.1f} s "
                    f"| {of.whole_s:.1f} s |", flush=True,
                )  # fmt: skip


def _ray(stack: ExitStack, lanes: int) -> tuple[str, ...]:
    cluster = RayCluster()
    stack.callback(cluster.close)
    cluster.add("node", num_cpus=lanes, num_gpus=lanes)
    return "--executor", "ray", "--address", cluster.address


def _slurm(stack: ExitStack, lanes: int) -> tuple[str, ...]:
    if why := why_not():
        sys.exit(why)
    cluster = SlurmCluster(Path(stack.enter_context(tempfile.TemporaryDirectory())), nodes=1)
    stack.callback(cluster.stop)
    cluster.start()
    os.environ["SLURM_CONF"] = str(cluster.configuration)
    return "--executor", "slurm", f"--slurm=gpus={lanes}", "--max-jobs", "1"


def _local(_: ExitStack, __: int) -> tuple[str, ...]:
    return ()


_FLAGS = {"local": _local, "ray": _ray, "slurm": _slurm}


def measure(videos: int, lanes: int, flags: Sequence[str], *, seconds: float) -> Cost:
    """One run through the command."""
    work = ["cp", "{video}", "{out}/x"]
    if seconds:
        work = [sys.executable, "-S", "-c", f"import time; time.sleep({seconds}); open('{{out}}/x', 'w').write('x')"]
        work += ["{stem}"]
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        root = Path(folder) / "root"
        make_videos(root, videos)
        began_at = time.time()
        subprocess.run(
            [sys.executable, "-m", "vidfleet", "run", str(root), "--num-gpus", str(lanes), *flags, "--", *work],
            check=True, capture_output=True,
        )  # fmt: skip
        exited_at = time.time()
        (run,) = (root / ".vidfleet" / "runs").iterdir()
        events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    starts = [event["at"] for event in events if event["type"] == "attempt_started"]
    ends = sorted(event["ended_at"] for event in events if event["type"] == "attempt_ended")
    fifth = len(ends) // 5
    video_ms = (ends[-1] - ends[fifth]) / (len(ends) - 1 - fifth) * lanes * 1000
    return Cost(video_ms, min(starts) - began_at, exited_at - ends[-1], exited_at - began_at)


def median(costs: Sequence[Cost]) -> Cost:
    """Of each figure by itself."""
    return Cost(*(statistics.median(getattr(cost, item.name) for cost in costs) for item in fields(Cost)))


if __name__ == "__main__":
    main()
