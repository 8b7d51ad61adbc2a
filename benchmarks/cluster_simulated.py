"""How far a cluster goes: 1,000 nodes of eight lanes, 1,000,000 videos, 1 % of the nodes lost a day. By simulation.

::

    python -m benchmarks.cluster_simulated              15 minutes, 6 GB of memory; writes results/*.json
    python -m benchmarks.cluster_simulated --quick      2 minutes; writes nothing

Events happen in a clock that jumps from one to the next. What the runner makes of them is real: the line of videos, the
forecast, the events and their lines in the ledger, the values that stay in memory. Simulated are the lanes, the nodes,
and how long videos take (lognormal). ``cluster_driver`` measures the real runner over simulated lanes, in real time.

First the model is held against real runs of two lanes over videos that sleep.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cluster_driver import LANES_A_NODE, driver_cost, lane_of, sleepers
from vidfleet.data import Attempt, Evidence, Lane, Outcome, Probe, Stage, Summary, Task, Video
from vidfleet.runner.events import AttemptEnded, AttemptProgress, AttemptStarted, Event, LaneOut, RunStarted, VideoEnded
from vidfleet.runner.lines import Reader, to_plain
from vidfleet.runner.order.forecast import Forecast
from vidfleet.runner.order.queue import Case, Queue, Running
from vidfleet.runner.show.report import write_report
from vidfleet.workloads import Description

if TYPE_CHECKING:
    from collections.abc import Sequence

RESULTS = Path(__file__).parent / "results" / "cluster_simulated.json"
NODES, VIDEOS = 1000, 1_000_000
MEAN_S, SIGMA = 600.0, 0.8
LOST_A_DAY, NOTICED_S, BACK_S = 0.01, 38.0, 3600.0
"""Share of nodes; how long until it is certain that nothing works there (docs/clusters.md); until its like is there."""
SLEEPS, SLEEP_S = 60, 0.5
_DESCRIPTION = Description(Path(), "simulated", "script", {})
_json = json.JSONEncoder(separators=(",", ":")).encode


@dataclass
class Told:
    """What the run has come to: its story, as the runner keeps and writes it."""

    forecast: Forecast = field(default_factory=Forecast)
    outcomes: list[Outcome] = field(default_factory=list)
    ledger_bytes: int = 0
    events: int = 0
    lost: int = 0
    """Attempts that ended with their node."""

    def tell(self, event: Event, at: float) -> None:
        self.forecast.apply(event, at)
        self.ledger_bytes += len(_json(to_plain(event, 1.8e9 + at))) + 1
        self.events += 1


class Model:
    """Lanes, nodes and a clock. With ``in_line`` videos are taken from the head of the line, as equal lanes do it."""

    def __init__(
        self, tasks: Sequence[Task], seconds: Sequence[float], lanes: Sequence[Lane], *, in_line: bool
    ) -> None:
        self.now, self.told = 0.0, Told()
        self._seconds, self._lanes = seconds, list(lanes)
        self.told.tell(RunStarted("/data/videos", "simulated", tuple(lanes), tuple(tasks), (), (), "longest"), 0.0)
        self._cases = [Case(task) for task in tasks]
        self._queue = Queue(
            [] if in_line else self._cases, lanes, "longest", forecast=self.told.forecast, now=lambda: self.now
        )
        self._next = iter(self._cases if in_line else ())
        self._again: list[Case] = []
        self._running: dict[int, Running] = {}
        self._ends: list[tuple[float, int, float]] = []
        self.took_s: list[float] = []
        """Processor time of each decision which video comes next."""

    def run(self, draw: random.Random, *, most: int | None = None) -> float:
        """Work until all is done, or so many videos are; returns the time of the last."""
        down: list[tuple[float, int]] = []
        losses_a_s = len(self._lanes) / LANES_A_NODE * LOST_A_DAY / 86400
        next_loss = draw.expovariate(losses_a_s)
        for lane in self._lanes:
            self._fill(lane)
        while self._ends and len(self.told.outcomes) < (most or math.inf):
            at = min(self._ends[0][0], next_loss, down[0][0] if down else math.inf)
            self.now = at
            if at == next_loss:
                node = draw.randrange(max(len(self._lanes) // LANES_A_NODE, 1))
                heapq.heappush(down, (at + BACK_S, node))
                next_loss = at + draw.expovariate(losses_a_s)
                self._lose(self._lanes[node * LANES_A_NODE : (node + 1) * LANES_A_NODE])
            elif down and at == down[0][0]:
                node = heapq.heappop(down)[1]
                for lane in self._lanes[node * LANES_A_NODE : (node + 1) * LANES_A_NODE]:
                    self._fill(lane)
            else:
                self._end()
        return self.now

    def _take(self, lane: Lane) -> Case | None:
        if self._again:
            return self._again.pop()
        if (case := next(self._next, None)) is not None:
            return case
        began = time.process_time()
        case = self._queue.take(lane, list(self._running.values()), self._lanes)
        self.took_s.append(time.process_time() - began)
        return case

    def _fill(self, lane: Lane) -> None:
        if lane.index in self._running or (case := self._take(lane)) is None:
            return
        self._running[lane.index] = Running(case, lane, self.now, _DESCRIPTION)
        self.told.tell(AttemptStarted(case.task, lane, len(case.attempts) + 1), self.now)
        seconds = self._seconds[case.task.video.position] * (1.6 if lane.device.name == "GPU B" else 1.0)
        heapq.heappush(self._ends, (self.now + seconds, lane.index, self.now))

    def _end(self) -> None:
        _, index, started_at = heapq.heappop(self._ends)
        running = self._running.get(index)
        if running is None or running.started_at != started_at:
            return  # its node was lost meanwhile
        del self._running[index]
        case, task = running.case, running.case.task
        case.attempts.append(self._attempt(running, "done", Evidence(0, cpu_s=1.25, peak_memory_bytes=1 << 30)))
        self.told.tell(AttemptEnded(task, case.attempts[-1], will_retry=False), self.now)
        log = f"logs/{task.video.relative}.log"
        outcome = Outcome(task.video, "done", "", "", tuple(case.attempts), task.probe, log)
        self.told.outcomes.append(outcome)
        self.told.tell(VideoEnded(task, outcome), self.now)
        self._fill(running.lane)

    def _lose(self, lanes: Sequence[Lane]) -> None:
        for lane in lanes:
            if running := self._running.pop(lane.index, None):
                case = running.case
                case.attempts.append(self._attempt(running, "node_lost", Evidence(declared_kind="node_lost")))
                self.told.tell(AttemptEnded(case.task, case.attempts[-1], will_retry=True), self.now + NOTICED_S)
                self.told.tell(LaneOut(lane, f"node {lane.device.host} was lost"), self.now + NOTICED_S)
                self._again.append(case)
                self.told.lost += 1

    def _attempt(self, running: Running, kind: str, evidence: Evidence) -> Attempt:
        number = len(running.case.attempts) + 1
        return Attempt(number, running.lane, "head", running.started_at, self.now, kind, "", evidence)


def fleet(count: int, draw: random.Random) -> tuple[list[Task], list[float]]:
    """Videos of lognormal lengths, longest first, and how long each takes."""
    tasks, seconds = [], [0.0] * count
    top = Path("/data/videos")
    for position in range(count):
        length_s = MEAN_S * draw.lognormvariate(-SIGMA * SIGMA / 2, SIGMA)
        seconds[position] = length_s * draw.lognormvariate(-0.01, 0.15)
        folder, name = f"{position // 1000:04d}", f"video_{position:07d}.mp4"
        stage = Stage(top / folder / ".vidfleet" / f"{name[:-4]}-0a1b2c3d", top, name, top / folder / name[:-4])
        video = Video(top / folder / name, f"{folder}/{name}", int(length_s * 5e5), 1_700_000_000_000_000_000, position)
        tasks.append(Task(video, stage, Probe(length_s, round(length_s * 25), 1280, 720, "h264")))
    return sorted(tasks, key=lambda task: -task.cost), seconds


# ---- beside real runs


def beside_real(seed: int) -> dict[str, float]:
    """A real run of two lanes over videos that sleep, and the same in the model.

    What a video takes beside its sleep is what it took in another real run, just before.
    """
    beforehand = sleepers(seed + 100, SLEEPS, SLEEP_S / 10)
    beside_s = (2 * beforehand.seconds - sum(beforehand.slept_s)) / SLEEPS
    real = sleepers(seed, SLEEPS, SLEEP_S)
    model = Model(real.tasks, [slept_s + beside_s for slept_s in real.slept_s], real.lanes, in_line=False)
    model_s, ledger_bytes = model.run(random.Random(seed)), model.told.ledger_bytes
    return {
        "real_s": round(real.seconds, 2), "model_s": round(model_s, 2), "beside_ms": round(beside_s * 1e3, 1),
        "model_over_real": round(model_s / real.seconds, 3), "real_ledger_bytes": real.ledger_bytes,
        "ledger_model_over_real": round(ledger_bytes / real.ledger_bytes, 3),
    }  # fmt: skip


# ---- the whole


def whole(videos: int, nodes: int) -> dict[str, float]:
    """One run to its end, in this process: what it came to, and the memory that it took."""
    draw = random.Random(1)
    before = _resident_bytes()
    began = time.process_time()
    tasks, seconds = fleet(videos, draw)
    planned = _resident_bytes()
    lanes = [lane_of(index) for index in range(nodes * LANES_A_NODE)]
    model = Model(tasks, seconds, lanes, in_line=True)
    end_s = model.run(draw)
    told = model.told
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    row: dict[str, float] = {
        "videos": videos, "nodes": nodes, "hours": round(end_s / 3600, 2), "events": told.events, "lost": told.lost,
        "over_even": round(end_s / (sum(seconds) / len(lanes)), 3),
        "events_a_s": round(told.events / end_s, 1), "videos_a_s": round(videos / end_s, 2),
        "ledger_bytes_a_video": round(told.ledger_bytes / videos), "ledger_mb": round(told.ledger_bytes / 1e6),
        "plan_bytes_a_video": round((planned - before) / videos),
        "memory_mb": round(_resident_bytes() / 1e6), "peak_memory_mb": round(peak / 1e6),
        "us_an_event": round((time.process_time() - began) * 1e6 / told.events, 1),
    }  # fmt: skip
    if videos <= VIDEOS // 10:
        row |= _report(told.outcomes, lanes)
    return row


def _report(outcomes: list[Outcome], lanes: list[Lane]) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="cluster") as folder:
        began = time.process_time()
        write_report(Summary(tuple(outcomes), Path(folder), 0.0, 1.0, lanes=tuple(lanes)), Path(folder))
        sizes = {f"{name.replace('.', '_')}_mb": round((Path(folder) / name).stat().st_size / 1e6, 1)
                 for name in ("report.json", "report.html")}  # fmt: skip
        return {"report_s": round(time.process_time() - began, 1), **sizes}


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def apart(videos: int, nodes: int) -> dict[str, float]:
    """The same in a process of its own, as memory that was had once is never quite given back."""
    code = f"import json; from benchmarks.cluster_simulated import whole; print(json.dumps(whole({videos}, {nodes})))"
    done = subprocess.run((sys.executable, "-c", code), check=True, stdout=subprocess.PIPE)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def order_cost(lanes: int, *, alike: bool, takes: int = 400) -> dict[str, float]:
    """What a decision of the real queue takes, and the forecast once a second, with so many lanes at work."""
    draw = random.Random(2)
    tasks, seconds = fleet(3 * lanes + 2 * takes, draw)
    made = [lane_of(index, slow_from=None if alike else lanes // 2) for index in range(lanes)]
    model = Model(tasks, seconds, made, in_line=False)
    model.run(draw, most=takes)
    began = time.process_time()
    for second in range(3):
        model.told.forecast.remaining_s(model.now + 2 * second + 2)
    tick_ms = (time.process_time() - began) * 1e3 / 3
    took_ms = statistics.median(model.took_s[-60:]) * 1e3  # without the fits, that grow rare
    return {"lanes": lanes, "alike": alike, "decision_ms": round(took_ms, 3), "tick_ms": round(tick_ms, 2)}


def follow_us() -> float:
    """Processor time to read a line of an element's ledger and tell of it anew, in microseconds."""
    tasks, _ = fleet(1000, random.Random(3))
    started = RunStarted("/data/videos", "simulated", (lane_of(0),), tuple(tasks), (), (), "longest")
    reader, told = Reader(), Told()
    reader.begin(started)
    lines = [_json(to_plain(AttemptProgress(task, lane_of(0), "track", 0.5), 0.0)) for task in tasks] * 3
    began = time.process_time()
    for line in lines:
        event = reader.read(json.loads(line))
        assert event is not None
        told.tell(event, 0.0)
    return round((time.process_time() - began) * 1e6 / len(lines), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    scale = 10 if quick else 1
    found: dict[str, object] = {"measured_at": datetime.now(UTC).isoformat(timespec="seconds")}

    def keep(name: str, rows: object) -> None:
        found[name] = rows
        print(name, json.dumps(rows, indent=1), flush=True)

    keep("beside_real", [beside_real(seed) for seed in range(1 if quick else 3)])
    keep("follow_us_a_line", follow_us())
    counts = [8, 80, 800, 8000][: 3 if quick else 4]
    keep("order", [order_cost(lanes, alike=alike) for alike in (True, False) for lanes in counts])
    keep("driver", [asdict(driver_cost(lanes, 100)) for lanes in counts])
    keep("whole", [apart(count, NODES // scale) for count in (1000, 10_000, 100_000, VIDEOS)[: 3 if quick else 4]])
    if not quick:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
