"""What thousands of lanes cost the runner: the real one, over lanes that are simulated.

``benchmarks.cluster_simulated`` runs it. Plan, order, claims, stages, publishing, records and the ledger are real, on
this machine's disk; only the lanes are none: what they are given is done at once, and told of one at a time, so that
each end is a turn of the runner's own. Processor time is that of the runner's process without the lanes' part of it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import statistics
import tempfile
import time
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.scale import make_videos
from tests.support.fleet import write_video
from vidfleet.data import Device, Evidence, Lane, Task
from vidfleet.executors.base import LaneEvent
from vidfleet.runner.run import execute, prepare
from vidfleet.settings import RunSettings
from vidfleet.worker.lanes import Lanes
from vidfleet.worker.messages import Finished
from vidfleet.workloads.base import Program
from vidfleet.workloads.command import Command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vidfleet.executors.base import Ground, Told
    from vidfleet.worker.messages import Start

LANES_A_NODE = 8
_WARM = 20
"""Ends that are heard before the clock starts."""
_TURNS = 300
"""Empty ones; in the first of them the next videos are made ready, one each."""
_SIGMA = 0.8
_SLEEPER = ("sh", "-c", 's=${1##*_}; sleep ${s%.mp4}; echo x > "$2/x"', "sh", "{video}", "{out}")


class EnoughError(Exception):
    """All is measured; the rest need not run."""


@dataclass(frozen=True)
class DriverCost:
    """What the runner takes with so many lanes at work."""

    lanes: int
    videos_planned: int
    video_ms: float
    """Of its processor time for a video, the median: heard of, published, recorded, told, and the next one begun."""
    turn_ms: float
    """For a turn in which nothing was to be heard, without what is done once a second."""


def lane_of(index: int, *, slow_from: int | None = None) -> Lane:
    """A lane of a node with eight GPUs; from ``slow_from`` on they are of a slower kind."""
    name = "GPU B" if slow_from is not None and index >= slow_from else "GPU A"
    node, place = divmod(index, LANES_A_NODE)
    return Lane(index, Device("gpu", str(place), name, f"GPU-{index:08d}", "550", "NVIDIA", f"node{node:04d}"), 8)


class Simulated:
    """Lanes that have done at once what they are given, and say so one after the other, and only when all work."""

    def __init__(self, count: int, ends: int) -> None:
        self._lanes = tuple(map(lane_of, range(count)))
        self._ends = ends
        self._through: deque[LaneEvent] = deque()
        self._told, self._own_s = 0, 0.0
        self.marks: list[float] = []
        """The runner's processor time at each turn: first those in which an end is told of, then empty ones."""

    def lanes(self, settings: RunSettings) -> Lanes:  # noqa: ARG002 - as every executor
        """See :class:`~vidfleet.executors.base.Executor`; so are all below."""
        return Lanes(self._lanes)

    def open(self, lanes: Sequence[Lane], mark: str, ground: Ground) -> tuple[Lane, ...]:  # noqa: ARG002
        return tuple(lanes)

    def start(self, lane: Lane, start: Start) -> None:
        began = time.process_time()
        assert isinstance(start.launch, Program)
        output = Path(start.launch.argv[-1])
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_bytes(b"x")
        log = Path(start.log)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
        self._through.append(
            LaneEvent(lane, Finished(start.attempt, Evidence(0, cpu_s=1.25, peak_memory_bytes=1 << 30)))
        )
        self._own_s += time.process_time() - began

    def wait(self, timeout_s: float | None) -> Sequence[LaneEvent | Told]:
        if timeout_s == 0.0 and self._told == 0:
            return ()  # it makes the next videos ready
        self.marks.append(time.process_time() - self._own_s)
        if self._told < self._ends:
            self._told += 1
            return (self._through.popleft(),)
        if len(self.marks) > self._ends + _TURNS:
            raise EnoughError
        return ()

    def read_ahead(self, lane: Lane, path: str) -> None:
        pass

    def cancel(self, lane: Lane, grace_s: float) -> None:
        raise NotImplementedError

    def pause(self, lane: Lane) -> None:
        raise NotImplementedError

    def resume(self, lane: Lane) -> None:
        raise NotImplementedError

    def wake(self) -> None:
        pass

    def close(self) -> None:
        pass


def driver_cost(lanes: int, ends: int) -> DriverCost:
    """Let the real runner hear of ``ends`` videos while so many lanes are at work."""
    videos = 2 * lanes + ends + 16  # so that as many as there are lanes always wait
    with tempfile.TemporaryDirectory(prefix="cluster") as folder:
        root = Path(folder) / "root"
        make_videos(root, videos)
        executor = Simulated(lanes, ends)
        prepared = prepare(root, Command(("cp", "{video}", "{out}/x")), settings=RunSettings(devices="cpu:1"))
        prepared = replace(prepared, executor=executor, lanes=executor.lanes(prepared.settings).lanes)
        with contextlib.suppress(EnoughError):
            execute(prepared)
    took_s = [after - before for before, after in itertools.pairwise(executor.marks)]
    video_s, turn_s = (
        statistics.median(took_s[_WARM:ends]),
        statistics.median(took_s[2 * ends :]),
    )  # by then as many are ready again
    return DriverCost(lanes, videos, round(video_s * 1e3, 3), round(turn_s * 1e3, 4))


@dataclass(frozen=True)
class Slept:
    """A real run of two lanes over videos that sleep."""

    tasks: tuple[Task, ...]
    lanes: tuple[Lane, ...]
    slept_s: tuple[float, ...]
    """By the position of the video."""
    seconds: float
    """From the start of the first attempt to the end of the last."""
    ledger_bytes: int


def sleepers(seed: int, count: int, mean_s: float) -> Slept:
    """Run them; they sleep lognormal times."""
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="cluster") as folder:
        seed_video, root = Path(folder) / "seed.mp4", Path(folder) / "root"
        write_video(seed_video, frames=2)
        root.mkdir()
        for number in range(count):
            sleep_s = mean_s * draw.lognormvariate(-_SIGMA * _SIGMA / 2, _SIGMA)
            os.link(seed_video, root / f"v{number:03d}_{sleep_s:.3f}.mp4")
        prepared = prepare(root, Command(_SLEEPER), settings=RunSettings(devices="cpu:2"))
        summary = execute(prepared)
        assert summary.exit_status == 0, summary.notices
        assert summary.run_folder is not None
        ledger_bytes = (summary.run_folder / "events.jsonl").stat().st_size
    attempts = [outcome.attempts[0] for outcome in summary.outcomes]
    seconds = max(a.ended_at for a in attempts) - min(a.started_at for a in attempts)
    slept_s = tuple(float(outcome.video.stem.rpartition("_")[2]) for outcome in summary.outcomes)
    return Slept(prepared.plan.tasks, prepared.lanes, slept_s, seconds, ledger_bytes)
