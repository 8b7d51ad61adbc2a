"""What a runner adds to a job that is next to nothing: ``cp`` of a tiny video, on one lane and on two.

Milliseconds by the clock for each further job, less those of a bare loop over ``Popen`` with as many lanes in the same
turn. What is paid once (starting Python, a cluster, the lanes) falls out:

* command-line runners are run over many jobs and over few; the difference in time is divided by that in jobs
  (gpusched reads its file anew at each look, so its cost grows with the jobs: it gets fewer, and so its best);
* for vidfleet the clock begins where its ledger says that the plan is made, and ends with its process; the plan, in
  which each video is opened and probed, is told apart;
* Ray's and joblib's own clocks begin when their actors and workers are there. Where they only call a function there
  is no process, and nothing is taken off.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.speed import ours
from benchmarks.speed.measuring import Case, Spread, Turn, interleaved, slope, timed

LANES = (1, 2)
JOBS, FEW = 600, 60
QUICK_JOBS, QUICK_FEW = 120, 20
BARE, OURS = "bare Popen", "vidfleet"
RAY_FLAGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Cost:
    """Of one turn; milliseconds by the clock for each job."""

    job_ms: float
    plan_ms: float = 0.0
    """Discovering, probing and planning a video; of ours alone."""
    lanes: int = 0


@dataclass(frozen=True)
class Runner:
    """How one system is told to run jobs."""

    system: str
    called: str
    """As a person writes it."""
    writes: str
    """What it leaves for each job."""
    keeps_log_and_result: bool
    has_process: bool
    """Whether each job is a process, so that a bare ``Popen`` is taken off."""
    measure: Callable[[Place], Cost]
    most_jobs: int = 10**9


@dataclass(frozen=True)
class Place:
    """Where one turn happens."""

    top: Path
    lanes: int
    jobs: int
    few: int

    def batch(self, count: int) -> Batch:
        """So many jobs, each with a place of its own to copy to, in a folder that nobody has used."""
        _, videos = ours.fresh_root(self.top, count)
        out = Path(tempfile.mkdtemp(prefix="out", dir=self.top))
        return Batch(out, [["cp", str(video), str(out / video.stem)] for video in videos])


@dataclass(frozen=True)
class Batch:
    """Jobs for a peer."""

    out: Path
    commands: list[list[str]]

    def check(self) -> None:
        """Some runners end well whatever their jobs did; raises PeerError where not every file was copied."""
        done = len(list(self.out.iterdir()))
        if done != len(self.commands):
            raise peers.PeerError(f"{done} of {len(self.commands)} files were copied")


def runners() -> list[Runner]:
    """All of them; the bare loop first."""
    simple, packer = str(peers.tools() / "simple_gpu_scheduler"), str(peers.tools() / "gpusched")
    return [
        Runner(BARE, "Popen(...).wait()", "nothing", False, True, bare),
        Runner(OURS, "vidfleet run DIR --devices cpu:2 -- cp {video} {out}/x",
               "log, folder that appears whole, record (resume)", True, True, vidfleet_cost),
        Runner("xargs", "xargs -P2 -n2 cp < PAIRS", "nothing", False, True, by_xargs),
        Runner("GNU parallel", "parallel -j2 < JOBS", "nothing", False, True,
               lambda place: by_lines(place, lambda: [peers.parallel(), f"-j{place.lanes}"])),
        Runner("GNU parallel, log and results", "parallel -j2 --joblog LOG --results DIR < JOBS",
               "two files of what it said, line in the job log (resume)", True, True,
               lambda place: by_lines(place, lambda: [
                   peers.parallel(), f"-j{place.lanes}", "--joblog", "joblog", "--results", "results"])),
        Runner("simple_gpu_scheduler", "simple_gpu_scheduler --gpus 0 1 < JOBS", "nothing", False, True,
               lambda place: by_lines(place, lambda: [simple, "--gpus", *map(str, range(place.lanes))])),
        Runner("gpusched", "gpusched JOBS --sim 2 --poll 0.001", "log, line in the journal (resume)", True, True,
               lambda place: by_lines(place, lambda: [
                   packer, "jobs.txt", "--sim", str(place.lanes), "--poll", "0.001"]), most_jobs=150),
        Runner("Ray actors, a call", "actor.run.remote(job)", "nothing", False, False,
               lambda place: by_script(place, "on_ray.py", "call")),
        Runner("Ray actors, a process", "actor.run.remote(job), which starts cp", "nothing", False, True,
               lambda place: by_script(place, "on_ray.py", "process")),
        Runner("joblib, a call", "Parallel(2)(delayed(f)(job) ...)", "nothing", False, False,
               lambda place: by_script(place, "on_joblib.py", "call")),
        Runner("joblib, a process", "Parallel(2)(delayed(f)(job) ...), which starts cp", "nothing", False, True,
               lambda place: by_script(place, "on_joblib.py", "process")),
    ]  # fmt: skip


def bare(place: Place) -> Cost:
    lines = as_lines(place.batch(place.jobs).commands, "\t")
    said = timed([peers.python(), str(HERE / "on_bare.py"), str(place.lanes)], stdin=lines).said
    return Cost(float(said) * 1e3 / place.jobs)


def by_script(place: Place, script: str, kind: str) -> Cost:
    """A job's cost as a script measures it within; Ray's tells two times, joblib's the seconds between."""
    lines = as_lines(place.batch(place.jobs).commands, "\t")
    command = [peers.python(), str(HERE / script), str(place.lanes), kind]
    times = last_figures(timed(command, stdin=lines, environment=RAY_FLAGS).said)
    return Cost((times[-1] - (times[0] if len(times) > 1 else 0.0)) * 1e3 / place.jobs)


def last_figures(said: str) -> list[float]:
    """The figures of the last line that has nothing else: Ray may say more when it ends."""
    for line in reversed(said.splitlines()):
        with contextlib.suppress(ValueError):
            if figures := [float(word) for word in line.split()]:
                return figures
    raise peers.PeerError(f"no times in what it said: {said[-200:]}")


def by_xargs(place: Place) -> Cost:
    """xargs knows one program: it gets the words behind ``cp``."""
    command = [peers.debian("xargs", "findutils"), f"-P{place.lanes}", "-n2", "cp"]

    def seconds(count: int) -> float:
        batch = place.batch(count)
        took = timed(command, stdin=as_lines([words[1:] for words in batch.commands], "\n"))
        batch.check()
        return took.seconds

    return Cost(slope(seconds(place.few), place.few, seconds(place.jobs), place.jobs) * 1e3)


def by_lines(place: Place, command: Callable[[], list[str]]) -> Cost:
    """A runner that takes lines of shell, on its standard input or in ``jobs.txt``."""

    def seconds(count: int) -> float:
        batch = place.batch(count)
        lines = as_lines(batch.commands, " ")
        cwd = Path(tempfile.mkdtemp(prefix="cwd", dir=place.top))
        (cwd / "jobs.txt").write_text(lines)
        took = timed(command(), stdin=lines, cwd=cwd)
        batch.check()
        return took.seconds

    return Cost(slope(seconds(place.few), place.few, seconds(place.jobs), place.jobs) * 1e3)


def vidfleet_cost(place: Place) -> Cost:
    def run(count: int) -> ours.Run:
        root, _ = ours.fresh_root(place.top, count)
        return ours.run(root, "--devices", f"cpu:{place.lanes}", *ours.COPY)

    few, many = run(place.few), run(place.jobs)
    return Cost(
        slope(few.work_s, place.few, many.work_s, place.jobs) * 1e3,
        slope(few.plan_s, place.few, many.plan_s, place.jobs) * 1e3,
    )


def as_lines(commands: list[list[str]], between: str) -> str:
    return "".join(between.join(words) + "\n" for words in commands)


def above_bare(turns: list[Turn[Cost]], has_process: dict[str, bool]) -> dict[str, Spread]:
    """By system, milliseconds a job above the bare loop of the same turn; turns without a bare loop count for nothing.

    ``turns`` are in the order in which they were measured, the bare loop first in each.
    """
    found: dict[str, list[float]] = {}
    base: float | None = None
    for turn in turns:
        if turn.system == BARE:
            base = turn.result.job_ms if turn.result else None
        elif turn.result and base is not None:
            taken_off = base if has_process[turn.system] else 0.0
            found.setdefault(turn.system, []).append(turn.result.job_ms - taken_off)
    return {system: Spread.of(values) for system, values in found.items()}


def in_turn(runner: Runner, place: Place, _: int) -> Cost:
    return replace(runner.measure(replace(place, jobs=min(place.jobs, runner.most_jobs))), lanes=place.lanes)


def measure(top: Path, repeats: int, *, quick: bool) -> tuple[dict[str, Any], list[Turn[Any]]]:
    """The part's rows, and every turn."""
    all_runners = runners()
    has_process = {runner.system: runner.has_process for runner in all_runners}
    jobs, few = (QUICK_JOBS, QUICK_FEW) if quick else (JOBS, FEW)
    rows, every = [], []
    for lanes in LANES:
        place = Place(top, lanes, jobs, few)
        print(f" {lanes} lane{'s' if lanes > 1 else ''}", flush=True)
        turns = interleaved([Case(r.system, partial(in_turn, r, place)) for r in all_runners], repeats)
        above = above_bare(turns, has_process)
        for runner in all_runners:
            mine = [turn for turn in turns if turn.system == runner.system]
            rows.append({
                "system": runner.system, "lanes": lanes, "called": runner.called, "writes": runner.writes,
                "keeps_log_and_result": runner.keeps_log_and_result, "is_process": runner.has_process,
                "above_bare_ms": asdict(above[runner.system]) if runner.system in above else None,
                "job_ms": spread(mine, "job_ms"), "plan_ms": spread(mine, "plan_ms"),
                "trouble": next((turn.trouble for turn in mine if turn.trouble), ""),
            })  # fmt: skip
        every += turns
    return {"jobs": jobs, "few": few, "rows": rows}, every


def spread(turns: list[Turn[Cost]], field: str) -> dict[str, float] | None:
    values = [getattr(turn.result, field) for turn in turns if turn.result]
    return asdict(Spread.of(values)) if any(values) else None
