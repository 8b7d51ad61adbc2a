"""What the runner itself costs for each video: processor time of its own process, beside a bare loop over ``Popen``.

::

    python -m benchmarks.own_cost                       1,000 videos, half a minute
    python -m benchmarks.own_cost --videos 300 --profile

Processor time, not time by the clock, so it says the same on a busy machine. The work is ``cp``; videos are hard links
to one tiny file. *Plan* is all that comes before the first video; what the probes take in processes of their own stands
apart, and so does what workers and programs take. ``--profile`` shows where the run's share goes.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import resource
import subprocess
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from benchmarks.scale import make_videos
from vidfleet.runner.run import execute, prepare
from vidfleet.settings import RunSettings
from vidfleet.workloads.command import Command

WORK = ("cp", "{video}", "{out}/x")
_SHOWN = 110


@dataclass(frozen=True)
class Cpu:
    """Processor time since the start of this process, in seconds."""

    own_s: float
    below_s: float
    """Of children that were waited for, and of theirs."""

    @classmethod
    def now(cls) -> Cpu:
        below = resource.getrusage(resource.RUSAGE_CHILDREN)
        return cls(time.process_time(), below.ru_utime + below.ru_stime)

    def line(self, what: str, began: Cpu, videos: int) -> str:
        own, below = (self.own_s - began.own_s) * 1e3 / videos, (self.below_s - began.below_s) * 1e3 / videos
        return f"{what:<42} {own:7.3f} ms a video; in processes below it {below:7.3f} ms"


def measure(top: Path, videos: int, profile: cProfile.Profile | None) -> list[str]:
    root = top / "root"
    made = make_videos(root, videos)
    begun = Cpu.now()
    prepared = prepare(root, Command(WORK), settings=RunSettings(devices="cpu:2"))
    planned = Cpu.now()
    with (top / "shown").open("w") as shown, profile or nullcontext():
        summary = execute(prepared, show=shown, plain=True)
    ended = Cpu.now()
    assert summary.exit_status == 0, summary.notices
    again = prepare(root, Command(WORK), settings=RunSettings(devices="cpu:2"))
    assert not again.plan.tasks
    done = Cpu.now()
    (top / "copies").mkdir()
    for number, video in enumerate(made):
        subprocess.run(("cp", str(video), str(top / "copies" / str(number))), check=True)
    return [
        planned.line("plan, with the probe below it", begun, videos),
        ended.line("run", planned, videos),
        done.line("plan when all is done", ended, videos),
        Cpu.now().line("a bare loop over Popen", done, videos),
        f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB; load {os.getloadavg()[0]:.1f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=1000)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    profile = cProfile.Profile(time.process_time) if options.profile else None
    with tempfile.TemporaryDirectory(prefix="own-cost") as folder:
        print(*measure(Path(folder), options.videos, profile), sep="\n")
    if profile:
        pstats.Stats(profile).sort_stats("cumtime").print_stats(_SHOWN)


if __name__ == "__main__":
    main()
