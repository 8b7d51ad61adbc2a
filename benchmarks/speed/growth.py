"""What a video costs as work grows: 10 to 10,000 videos on two lanes, and 1 to 64 lanes.

The work is ``cp`` of a tiny video. *Plan* goes from the command's start until the ledger says that the plan is made
(Python's start, discovering, probing, planning), *run* from there until the process has ended. The runner's peak of
memory is the system's own count. GNU parallel, with a job log and results, copies the same files.

Over the lanes, what each more of them takes to start stands apart: *running* is the time for a video once every lane
has ended one.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import peers
from benchmarks.speed import ours
from benchmarks.speed.measuring import Case, Spread, Turn, interleaved, steady_rate, timed
from benchmarks.speed.noop import OURS, Place, as_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

VIDEOS = (10, 100, 1000, 10_000)
LANES = (1, 2, 8, 16, 64)
LANE_VIDEOS = 640
QUICK_VIDEOS, QUICK_LANES, QUICK_LANE_VIDEOS = (10, 100), (1, 8), 64
MANY, MANY_REPEATS = 10_000, 3
"""So many videos are measured in no more turns than this, and by GNU parallel once."""
PARALLEL = "GNU parallel, log and results"
GROWING, WIDENING = "videos", "lanes"


@dataclass(frozen=True)
class Growth:
    """Of one turn."""

    videos: int
    lanes: int
    run_ms: float
    """For each video: all that comes after the plan; for GNU parallel all there is."""
    plan_ms: float
    """For each video; 0 for GNU parallel."""
    command_s: float
    peak_mib: float = 0.0
    """The runner's own, without its lanes and programs; 0 where nobody has looked."""
    running_ms: float = 0.0
    """For each video, once every lane has ended one; 0 where nobody has looked."""


def by_vidfleet(top: Path, videos: int, lanes: int) -> Growth:
    root, _ = ours.fresh_root(top, videos)
    found = ours.run(root, "--devices", f"cpu:{lanes}", *ours.COPY)
    running = 1e3 / steady_rate(found.ends(), lanes)
    return Growth(
        videos, lanes, found.work_s * 1e3 / videos, found.plan_s * 1e3 / videos, found.took.seconds,
        found.took.peak_bytes / 2**20, running,
    )  # fmt: skip


def by_parallel(top: Path, videos: int, lanes: int) -> Growth:
    batch = Place(top, lanes, videos, 0).batch(videos)
    cwd = Path(tempfile.mkdtemp(prefix="cwd", dir=top))
    command = [peers.parallel(), f"-j{lanes}", "--joblog", "joblog", "--results", "results"]
    took = timed(command, stdin=as_lines(batch.commands, " "), cwd=cwd)
    batch.check()
    return Growth(videos, lanes, took.seconds * 1e3 / videos, 0.0, took.seconds, took.peak_bytes / 2**20)


MEASURES: dict[str, Callable[[Path, int, int], Growth]] = {OURS: by_vidfleet, PARALLEL: by_parallel}


def name(system: str, videos: int, lanes: int) -> str:
    return f"{system}, {videos:,} videos, {lanes} lane{'s' if lanes > 1 else ''}"


def sizes(*, quick: bool) -> list[tuple[str, int, int]]:
    """What is measured: which table it belongs to, videos and lanes."""
    videos, lanes = (QUICK_VIDEOS, QUICK_LANES) if quick else (VIDEOS, LANES)
    wide = QUICK_LANE_VIDEOS if quick else LANE_VIDEOS
    return [(GROWING, count, 2) for count in videos] + [(WIDENING, wide, count) for count in lanes]


def repeats_of(system: str, videos: int, repeats: int) -> int:
    """How often a case is measured: what takes minutes less often."""
    if videos < MANY:
        return repeats
    return min(repeats, MANY_REPEATS) if system == OURS else 1


def in_turn(system: str, top: Path, videos: int, lanes: int, _: int) -> Growth:
    return MEASURES[system](top, videos, lanes)


def measure(top: Path, repeats: int, *, quick: bool) -> tuple[dict[str, Any], list[Turn[Any]]]:
    """The part's rows, and every turn."""
    rows, every = [], list[Turn[Growth]]()
    wanted = sizes(quick=quick)
    for repeat in range(repeats):
        cases = [
            Case(name(system, videos, lanes), partial(in_turn, system, top, videos, lanes))
            for _, videos, lanes in wanted
            for system in MEASURES
            if repeat < repeats_of(system, videos, repeats)
        ]
        every += interleaved(cases, 1)
    for table, videos, lanes in wanted:
        for system in MEASURES:
            mine = [turn for turn in every if turn.system == name(system, videos, lanes)]
            rows.append({
                "table": table, "system": system, "videos": videos, "lanes": lanes, **summed_up(mine),
                "trouble": next((turn.trouble for turn in mine if turn.trouble), ""),
            })  # fmt: skip
    return {"rows": rows}, list(every)


def summed_up(turns: Sequence[Turn[Growth]]) -> dict[str, Any]:
    """The medians of every figure; None for each where no turn has one."""
    fields = ("run_ms", "plan_ms", "command_s", "peak_mib", "running_ms")
    values = {field: [getattr(turn.result, field) for turn in turns if turn.result] for field in fields}
    return {field: asdict(Spread.of(found)) if any(found) else None for field, found in values.items()}
