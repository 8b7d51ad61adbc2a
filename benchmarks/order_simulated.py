"""When the last video ends, over the lower bound, and how well that is foretold: the real queue, in simulated time.

::

    python -m benchmarks.order_simulated            3 minutes; writes results/order_simulated.json
    python -m benchmarks.order_simulated --seeds 20

A hundred videos with lognormal costs (sigma 1.2). Each takes 5 s and its cost, times a factor that nobody knows
(lognormal, sigma 0.15; or misjudged by two: anything between half and twice), times the slowness of its lane. The lower
bound is what lanes that share everything evenly would take, or the longest video on the fastest lane.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import random
import statistics
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from vidfleet.data import Attempt, Device, Evidence, Lane, Outcome, Probe, Stage, Task, Video
from vidfleet.runner.events import AttemptEnded, AttemptStarted, RunStarted, VideoEnded
from vidfleet.runner.order.forecast import Forecast
from vidfleet.runner.order.queue import Case, Queue, Running
from vidfleet.runner.order.timing import Known, Sample, Tally
from vidfleet.runner.plan import in_order
from vidfleet.workloads import Description

RESULTS = Path(__file__).parent / "results" / "order_simulated.json"
VIDEOS, LANES, SIGMA = 100, 8, 1.2
MEDIAN_S, START_S = 60.0, 5.0
MEANS = {"a little": math.exp(0.15**2 / 2), "by two": (2 - 0.5) / math.log(4)}
"""Of what nobody knows of a video, by its name: see ``factor``."""
EQUAL, UNLIKE = (1.0,) * LANES, (1.0, 1.0, 2.0, 2.0)
_NOWHERE = Stage(Path(), Path(), "", Path())
_DESCRIPTION = Description(Path(), "simulated", "script", {})


@dataclass(frozen=True)
class World:
    """What is so, whatever the runner believes."""

    tasks: tuple[Task, ...]
    seconds: dict[int, float]
    """By the position of the video, on a lane of slowness 1."""
    slowness: tuple[float, ...]
    lanes: tuple[Lane, ...]

    @property
    def bound_s(self) -> float:
        """No order ends sooner."""
        evenly = sum(self.seconds.values()) / sum(1 / slow for slow in self.slowness)
        return max(evenly, max(self.seconds.values()) * min(self.slowness))


@dataclass(frozen=True)
class Ran:
    """How a simulated run went."""

    end_s: float
    foretold_s: float | None
    """The end as it was foretold when somebody asked."""
    known: tuple[Known, ...]
    """What the next run would know."""


def make_world(seed: int, *, misjudged: str, slowness: tuple[float, ...] = EQUAL, videos: int = VIDEOS) -> World:
    """Draw a hundred videos; ``misjudged`` is the sigma of what nobody knows of each."""
    draw = random.Random(seed)
    tasks, seconds = [], {}
    for position in range(videos):
        expected_s = MEDIAN_S * draw.lognormvariate(0, SIGMA)
        probe = Probe(expected_s, round(expected_s * 25), 640, 360, "h264")
        name = f"{position:05d}.mp4"
        tasks.append(Task(Video(Path(name), name, 1, 1, position), _NOWHERE, probe))
        seconds[position] = (START_S + expected_s) * factor(draw, misjudged)
    lanes = tuple(Lane(i, Device("gpu", str(i), f"GPU {slow:g}"), 1) for i, slow in enumerate(slowness))
    return World(tuple(tasks), seconds, slowness, lanes)


def factor(draw: random.Random, misjudged: str) -> float:
    """What nobody knows of a video: a little (lognormal, sigma 0.15), or anything between half and twice."""
    if misjudged == "a little":
        return draw.lognormvariate(0, 0.15)
    return 2 ** draw.uniform(-1, 1) if misjudged == "by two" else 1.0


def simulate(
    world: World, *, schedule: str = "longest", known: tuple[Known, ...] = (), ask_at_s: float | None = None
) -> Ran:
    """Run the real queue to its end, with a clock that jumps from one end of a video to the next."""
    clock, forecast, learnt = [0.0], Forecast(), dict[str, Tally]()
    tasks = in_order(world.tasks, schedule)
    forecast.apply(RunStarted("", "simulated", world.lanes, tasks, (), known, schedule), 0.0)
    queue = Queue([Case(task) for task in tasks], world.lanes, schedule, forecast=forecast, now=lambda: clock[0])
    running: dict[int, Running] = {}
    ends: list[tuple[float, int]] = []
    foretold_s = None
    while True:
        for lane in world.lanes:
            if lane.index in running:
                continue
            case = queue.take(lane, list(running.values()), world.lanes)
            if case is not None:
                running[lane.index] = Running(case, lane, clock[0], _DESCRIPTION)
                forecast.apply(AttemptStarted(case.task, lane, 1), clock[0])
                seconds = world.seconds[case.task.video.position] * world.slowness[lane.index]
                heapq.heappush(ends, (clock[0] + seconds, lane.index))
        if not ends:
            break
        if ask_at_s is not None and ends[0][0] > ask_at_s:
            left_s = forecast.remaining_s(ask_at_s)
            foretold_s, ask_at_s = None if left_s is None else ask_at_s + left_s, None
        clock[0], index = heapq.heappop(ends)
        ended = running.pop(index)
        task = ended.case.task
        attempt = Attempt(1, ended.lane, "", ended.started_at, clock[0], "done", "", Evidence())
        learnt.setdefault(ended.lane.device.model, Tally()).add(Sample(1, task.cost, attempt.seconds))
        forecast.apply(AttemptEnded(task, attempt, will_retry=False), clock[0])
        forecast.apply(VideoEnded(task, Outcome(task.video, "done")), clock[0])
    assert not list(queue.rest())
    return Ran(clock[0], foretold_s, tuple(Known(device, tally.samples()) for device, tally in learnt.items()))


@dataclass(frozen=True)
class Row:
    """One line of the table: so many runs of one sort."""

    schedule: str
    lanes: str
    misjudged: str
    earlier_run: bool
    """Whether another run of as many other videos came before."""
    over_bound: float
    """When the last video ended, over the lower bound: mean."""
    over_bound_worst: float
    """Of nine runs in ten, the worst."""
    within_tenth: float | None
    """Share of runs whose end was foretold within 10 %, after a fifth of it."""
    off: float | None
    """How far off that was: median."""
    least_off: float | None
    """Share of runs within 10 % for somebody who knows start, slope and lanes exactly, and only not each video."""


def measure(schedule: str, slowness: tuple[float, ...], misjudged: str, *, earlier_run: bool, seeds: int) -> Row:
    over, off, least = [], [], []
    for seed in range(seeds):
        world = make_world(seed, misjudged=misjudged, slowness=slowness)
        known = simulate(make_world(seed + seeds, misjudged=misjudged, slowness=slowness)).known if earlier_run else ()
        ran = simulate(world, schedule=schedule, known=known)
        over.append(ran.end_s / world.bound_s)
        asked = simulate(world, schedule=schedule, known=known, ask_at_s=ran.end_s / 5)
        off.append(abs(asked.foretold_s / ran.end_s - 1) if asked.foretold_s else 1.0)
        least.append(abs(expected(world, MEANS[misjudged]).bound_s / ran.end_s - 1))
    by_finish = schedule == "longest"
    return Row(
        schedule, "equal" if slowness == EQUAL else "1, 1, 1/2, 1/2", misjudged, earlier_run,
        round(statistics.mean(over), 3), round(sorted(over)[int(0.9 * seeds)], 3),
        share_within_tenth(off), round(statistics.median(off), 3), share_within_tenth(least) if by_finish else None,
    )  # fmt: skip


def share_within_tenth(off: list[float]) -> float:
    return round(sum(value <= 0.1 for value in off) / len(off), 2)


def expected(world: World, mean: float) -> World:
    """The same with what each video takes on average over all that nobody knows."""
    seconds = {task.video.position: mean * (START_S + task.probe.duration_s) for task in world.tasks}
    return World(world.tasks, seconds, world.slowness, world.lanes)


def decision_us(videos: int, slowness: tuple[float, ...]) -> float:
    """Processor time of a decision and of all that the forecast hears, in microseconds a video."""
    world = make_world(1, misjudged="a little", slowness=slowness, videos=videos)
    began = time.process_time()
    simulate(world)
    return round((time.process_time() - began) * 1e6 / videos, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=40)
    seeds = parser.parse_args().seeds
    rows = [
        measure("longest", slowness, misjudged, earlier_run=earlier_run, seeds=seeds)
        for slowness in (EQUAL, UNLIKE)
        for misjudged in MEANS
        for earlier_run in (False, True)
    ] + [
        measure(schedule, slowness, "a little", earlier_run=True, seeds=seeds)
        for slowness in (EQUAL, UNLIKE)
        for schedule in ("name", "round-robin")
    ]
    many = tuple(1.0 + (i % 4) / 2 for i in range(64))
    plain = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seeds": seeds,
        "rows": [asdict(row) for row in rows],
        "us_a_video": {
            "10,000 videos, 64 equal lanes": decision_us(10_000, (1.0,) * 64),
            "10,000 videos, 64 lanes of four speeds": decision_us(10_000, many),
        },
    }
    RESULTS.write_text(json.dumps(plain, indent=1) + "\n")
    for row in rows:
        print(*asdict(row).values(), sep=" | ")
    print(plain["us_a_video"])


if __name__ == "__main__":
    main()
