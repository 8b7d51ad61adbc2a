"""What a video costs beside its own process: processor time and time by the clock, above a bare loop over ``Popen``.

::

    python -m benchmarks.own_cost                       1,000 videos on one lane and on two, three times each; a minute
    python -m benchmarks.own_cost --growth              10 to 10,000 videos, 1 to 64 lanes; minutes
    python -m benchmarks.own_cost --videos 300 --profile

The work is ``cp``; videos are hard links to one tiny file. *Plan* is all that comes before the first video; what the
probes take in processes of their own stands apart. *Run* is all that follows, from the run's folder to its report, the
start of the lanes included. Each run is followed by a bare loop over the same videos, so that both see the same load;
processor time says about the same on a busy machine, time by the clock does not. ``--profile`` shows where the run's
share goes. :func:`measure` and :func:`growth` are for other benchmarks.
"""

from __future__ import annotations

import argparse
import cProfile
import itertools
import os
import pstats
import resource
import statistics
import subprocess
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.scale import make_videos
from vidfleet.runner.run import execute, prepare
from vidfleet.settings import RunSettings
from vidfleet.workloads.command import Command

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WORK = ("cp", "{video}", "{out}/x")
COUNTS = (10, 100, 1000, 10_000)
LANES = (1, 2, 4, 8, 16, 32, 64)
_SHOWN = 110


@dataclass(frozen=True)
class OwnCost:
    """What one run took for each of its videos, in milliseconds, beside a bare loop over the same ones."""

    videos: int
    lanes: int
    plan_cpu_ms: float
    """Of the runner, before the first video; the probes' own processes are not in it."""
    probe_cpu_ms: float
    """Of those."""
    runner_cpu_ms: float
    """Of the runner's process, from the first video on."""
    lane_cpu_ms: float
    """Of workers and guards, their start included: all below the runner, less what the programs of the bare loop took.
    A worker starts the programs, which in the bare loop is the looping process's share."""
    bare_cpu_ms: float
    """Of the bare loop: its own process and the programs."""
    wall_ms: float
    """Time by the clock in which a lane is through with a video: of the run, times the lanes."""
    bare_wall_ms: float
    load: float
    """The machine's load average when the run began."""

    @property
    def above_bare_ms(self) -> float:
        """Time by the clock that a lane takes for a video, above that of the bare loop."""
        return self.wall_ms - self.bare_wall_ms

    def line(self) -> str:
        return (
            f"{self.videos:6d} videos {self.lanes:3d} lanes   processor time: plan {self.plan_cpu_ms:6.3f}, "
            f"run {self.runner_cpu_ms:6.3f}, lanes {self.lane_cpu_ms:6.3f}, bare loop {self.bare_cpu_ms:6.3f}   "
            f"by the clock: {self.wall_ms:7.3f}, bare {self.bare_wall_ms:6.3f}, above {self.above_bare_ms:7.3f}   "
            f"ms a video; load {self.load:.1f}"
        )


@dataclass(frozen=True)
class _Clock:
    """Processor time since the start of this process, and the time, in seconds."""

    own_s: float
    below_s: float
    """Of children that were waited for, and of theirs."""
    at_s: float

    @classmethod
    def now(cls) -> _Clock:
        below = resource.getrusage(resource.RUSAGE_CHILDREN)
        return cls(time.process_time(), below.ru_utime + below.ru_stime, time.perf_counter())

    def since(self, began: _Clock) -> _Clock:
        return _Clock(self.own_s - began.own_s, self.below_s - began.below_s, self.at_s - began.at_s)


def measure(videos: int = 1000, lanes: int = 1, *, profile: cProfile.Profile | None = None) -> OwnCost:
    """One run and one bare loop, in a temporary folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="own-cost") as folder:
        top, load = Path(folder), os.getloadavg()[0]
        made = make_videos(top / "root", videos)
        marks = [_Clock.now()]
        prepared = prepare(top / "root", Command(WORK), settings=RunSettings(devices=f"cpu:{lanes}"))
        marks.append(_Clock.now())
        with (top / "shown").open("w") as shown, profile or nullcontext():
            summary = execute(prepared, show=shown, plain=True)
        marks.append(_Clock.now())
        assert summary.exit_status == 0, summary.notices
        (top / "copies").mkdir()
        _bare(made, top / "copies")
        marks.append(_Clock.now())
    plan, run, bare = (after.since(before) for before, after in itertools.pairwise(marks))
    return OwnCost(
        videos=videos,
        lanes=lanes,
        plan_cpu_ms=plan.own_s * 1e3 / videos,
        probe_cpu_ms=plan.below_s * 1e3 / videos,
        runner_cpu_ms=run.own_s * 1e3 / videos,
        lane_cpu_ms=(run.below_s - bare.below_s) * 1e3 / videos,
        bare_cpu_ms=(bare.own_s + bare.below_s) * 1e3 / videos,
        wall_ms=run.at_s * 1e3 * min(lanes, videos) / videos,
        bare_wall_ms=bare.at_s * 1e3 / videos,
        load=load,
    )


def _bare(made: Sequence[Path], copies: Path) -> None:
    for number, video in enumerate(made):
        assert subprocess.Popen(("cp", str(video), str(copies / str(number)))).wait() == 0


def median(costs: Sequence[OwnCost]) -> OwnCost:
    """Of each figure by itself; all are of the same number of videos and lanes."""
    middle = {item.name: statistics.median(getattr(cost, item.name) for cost in costs) for item in fields(OwnCost)}
    return OwnCost(**{**middle, "videos": costs[0].videos, "lanes": costs[0].lanes})


def growth(counts: Sequence[int] = COUNTS, lanes: Sequence[int] = LANES, *, videos: int = 1000) -> Iterator[OwnCost]:
    """The same for more and more videos on two lanes, then for ``videos`` on more and more lanes."""
    for count in counts:
        yield measure(count, 2)
    for number in lanes:
        yield measure(videos, number)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    if options.profile:
        profile = cProfile.Profile(time.process_time)
        print(measure(options.videos, 2, profile=profile).line())
        pstats.Stats(profile).sort_stats("cumtime").print_stats(_SHOWN)
    elif options.growth:
        for cost in growth():
            print(cost.line(), flush=True)
    else:
        for lanes in (1, 2):
            print(median([measure(options.videos, lanes) for _ in range(options.repeat)]).line(), flush=True)


if __name__ == "__main__":
    main()
