"""Kills at random moments: runs over short videos, a signal to one of their processes, and the same run again.

::

    python -m benchmarks.chaos                    300 runs of 40 videos; writes benchmarks/results/chaos.json
    python -m benchmarks.chaos --seed 17 --keep   one case again, its folder kept

A seed fixes the case: lanes, whom the signal hits, which signal, after how many videos and how many milliseconds,
what each video's script does. The moment itself is as exact as the machine's scheduler. All counts must be 0.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil

import vidfleet
from benchmarks.watching import HEARING, PARTS, SCRIPT, environment_of, having, in_words, look, until_same, wait_until
from tests.support.fleet import write_video

RESULTS = Path(__file__).parent / "results" / "chaos.json"
TARGETS = ("runner", "runner", "worker", "guard", "script", "runner and worker")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL, signal.SIGKILL)
GONE_WITHIN_S = 8.0
"""The promise is 5 s; the rest is for a machine that does other things too."""
LIMIT_S = 120.0


@dataclass(frozen=True)
class Case:
    """What happens in one run."""

    seed: int
    lanes: int
    target: str
    signal: str
    after_videos: int
    delay_s: float
    replacing: bool
    """Each video has an older output, which is exchanged for the new one."""
    at_once: bool
    """The second run starts the moment the first has ended."""


@dataclass(frozen=True)
class Violation:
    """A promise that was broken."""

    seed: int
    promise: str
    detail: str


@dataclass
class Trial:
    """One case under way."""

    case: Case
    top: Path
    videos: int
    violations: list[Violation] = field(default_factory=list)
    missed: bool = False
    """The signal found nobody: the run was through, or no script was there at that moment."""

    @property
    def root(self) -> Path:
        return self.top / "root"

    @property
    def stems(self) -> list[str]:
        return [f"v{number:02d}" for number in range(self.videos)]

    def broken(self, promise: str, detail: object) -> None:
        self.violations.append(Violation(self.case.seed, promise, str(detail)))

    def start(self, run: int, version: str) -> subprocess.Popen[bytes]:
        """Start a run as a process of its own."""
        environment = {
            **os.environ, "CHAOS": f"{self.top}:{run}", "CHAOS_LOG": str(self.top / "log"), "CUDA_VISIBLE_DEVICES": "",
            "CHAOS_SEED": str(self.case.seed),
        }  # fmt: skip
        command = [
            *HEARING, sys.executable, "-m", "vidfleet", "run", str(self.root), "--script", str(self.top / "infer.py"),
            "--devices", f"cpu:{self.case.lanes}", "--grace", "1", "--expect", f"part{PARTS - 1}", "--", version,
        ]  # fmt: skip
        with (self.top / f"output{run}").open("wb") as output:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
            )

    def starts(self, run: int) -> list[tuple[str, float]]:
        """Which videos a run's scripts began, and when."""
        try:
            lines = [line.split() for line in (self.top / "log").read_text().splitlines()]
        except FileNotFoundError:
            return []
        return [(stem, float(at)) for of, _version, stem, at in lines if int(of) == run]

    def alive(self, run: int) -> list[int]:
        """Processes that descend from a run, wherever they went."""
        mark = f"CHAOS={self.top}:{run}".encode()
        return [pid for pid in psutil.pids() if mark in environment_of(pid)]

    def whole(self, version: str) -> set[str]:
        """Videos whose visible output is whole, complains of torn ones."""
        found = set()
        for stem in self.stems:
            seen = until_same(lambda stem=stem: look(self.root / stem))  # type: ignore[misc]
            if seen == version:
                found.add(stem)
            elif seen.startswith("torn"):
                self.broken("torn folder", f"{stem}: {seen}")
        return found


def make_case(seed: int, videos: int) -> Case:
    chance = random.Random(seed)
    return Case(
        seed=seed,
        lanes=chance.randint(1, 4),
        target=chance.choice(TARGETS),
        signal=chance.choice(SIGNALS).name,
        after_videos=chance.randint(0, videos),
        delay_s=chance.choice((0.0, 0.02, 0.1, 0.4)) * chance.random(),
        replacing=chance.random() < 0.3,
        at_once=chance.random() < 0.5,
    )


def run_case(seed: int, *, videos: int = 40, keep: bool = False) -> Trial:
    """Run one case in a temporary folder; what was broken is in ``violations``."""
    trial = Trial(make_case(seed, videos), Path(tempfile.mkdtemp(prefix=f"chaos{seed}-")), videos)
    try:
        _set_up(trial)
        _first_run(trial)
        _second_run(trial)
    finally:
        for run in (0, 1, 2):
            for pid in trial.alive(run):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if not keep:
            shutil.rmtree(trial.top, ignore_errors=True)
    return trial


def _set_up(trial: Trial) -> None:
    write_video(trial.top / "video.mp4", frames=2)
    trial.root.mkdir()
    for stem in trial.stems:
        shutil.copyfile(trial.top / "video.mp4", trial.root / f"{stem}.mp4")
    (trial.top / "infer.py").write_text(SCRIPT)
    if trial.case.replacing and trial.start(0, "old").wait(LIMIT_S) != 0:
        trial.broken("exit status", "of a run that nothing disturbed")


def _first_run(trial: Trial) -> None:
    """Start, hit, and look at what is left."""
    case = trial.case
    runner = trial.start(1, "new")
    wait_until(lambda: len(trial.starts(1)) >= case.after_videos or runner.poll() is not None, LIMIT_S)
    time.sleep(case.delay_s + (random.Random(case.seed).random() if case.after_videos == 0 else 0.0))
    finished = trial.whole("new")
    hit_at = time.time()
    trial.missed = not _hit(runner, case)
    status = _end(trial, runner)
    whole = trial.whole("new")
    _judge_status(trial, status, whole)
    if again := {stem for stem, at in trial.starts(1) if stem in finished and at > hit_at}:
        trial.broken("finished video ran again", f"in the same run: {sorted(again)}")
    if not case.at_once and not wait_until(lambda: not trial.alive(1), GONE_WITHIN_S):
        trial.broken("orphans", f"{GONE_WITHIN_S:.0f} s after the end: {[in_words(pid) for pid in trial.alive(1)]}")


def _hit(runner: subprocess.Popen[bytes], case: Case) -> bool:
    """Send the signal; False where there was nobody to get it."""
    chance, hit, victims = random.Random(case.seed), False, list[psutil.Process]()
    with contextlib.suppress(psutil.Error):
        top = psutil.Process(runner.pid)
        guards = having("vidfleet.worker.main", top.children())
        workers = [worker for guard in guards for worker in having("vidfleet.worker.main", guard.children())]
        scripts = [script for worker in workers for script in having("--videoFolder", worker.children())]
        choice = {"worker": workers, "guard": guards, "script": scripts, "runner and worker": workers}
        some = choice.get(case.target, [])
        victims = [top] if case.target.startswith("runner") else []
        victims += [chance.choice(some)] if some else []
    for victim in victims:
        with contextlib.suppress(psutil.Error):
            hit = hit or victim.pid != runner.pid or runner.poll() is None
            victim.send_signal(signal.Signals[case.signal])
    return hit


def _end(trial: Trial, runner: subprocess.Popen[bytes]) -> int:
    try:
        return runner.wait(LIMIT_S)
    except subprocess.TimeoutExpired:
        trial.broken("hang", f"no end within {LIMIT_S:.0f} s")
        runner.kill()
        return runner.wait()


def _judge_status(trial: Trial, status: int, whole: set[str]) -> None:
    """A signal to the runner is told by the status; of one to anybody else the run knows nothing when it ends."""
    number = signal.Signals[trial.case.signal]
    told = {-number} if number == signal.SIGKILL else {128 + number, -number}
    everything = whole == set(trial.stems)
    to_runner = trial.case.target.startswith("runner") and not trial.missed
    if status not in (told if to_runner else set()) and not (status == 0 and everything):
        trial.broken("exit status", f"{status}, {len(whole)} whole")
    if b"Traceback" in (trial.top / "output1").read_bytes():
        trial.broken("traceback", (trial.top / "output1").read_text(errors="replace")[-1500:])


def _second_run(trial: Trial) -> None:
    """Run to the end, and count."""
    finished = trial.whole("new")
    status = _end(trial, trial.start(2, "new"))
    if status != 0:
        output = (trial.top / "output2").read_text(errors="replace")
        trial.broken("exit status", f"{status} of the second run: {output[-1500:]}")
    runs = Counter(stem for stem, _at in trial.starts(2))
    if again := sorted(stem for stem, count in runs.items() if stem in finished or count > 1):
        trial.broken("finished video ran again", f"in the second run: {again}")
    if lost := sorted(set(trial.stems) - trial.whole("new")):
        trial.broken("video lost", lost)
    if not wait_until(lambda: not trial.alive(1) + trial.alive(2), 0.5):
        left = trial.alive(1) + trial.alive(2)
        trial.broken("orphans", f"after the second run: {[in_words(pid) for pid in left]}")
    _look_for_litter(trial)


def _look_for_litter(trial: Trial) -> None:
    beside = {f"{stem}_out.mp4" for stem in trial.stems if stem.endswith("5")}
    expected = {".vidfleet", *trial.stems, *(f"{stem}.mp4" for stem in trial.stems)} | beside
    again = {stem for stem, _at in trial.starts(2)}  # a dead claim of a finished video is nobody's, and stays
    claims = {path.name for path in (trial.root / ".vidfleet").glob("*.claim*") if path.name.split("-")[0] in again}
    if litter := {path.name for path in trial.root.iterdir()} ^ expected | claims:
        trial.broken("litter", sorted(litter))
    if old := [path.name for path in trial.root.glob("*_out.mp4") if path.read_text() != "new"]:
        trial.broken("torn folder", f"beside: {old}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, help="the first seed of so many")
    parser.add_argument("--seed", type=int, help="only this case")
    parser.add_argument("--videos", type=int, default=40)
    parser.add_argument("--jobs", type=int, default=2, help="cases at a time")
    parser.add_argument("--keep", action="store_true", help="keep the folders")
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.runs) if options.seed is None else [options.seed]
    began, trials = time.monotonic(), []
    with ThreadPoolExecutor(options.jobs) as pool:
        for trial in pool.map(lambda seed: run_case(seed, videos=options.videos, keep=options.keep), seeds):
            trials.append(trial)
            print(f"{len(trials):4d} {trial.case}{' missed' if trial.missed else ''} {trial.top}", flush=True)
            for violation in trial.violations:
                print(f"     VIOLATION seed {violation.seed}: {violation.promise}: {violation.detail}", flush=True)
    if options.seed is None:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(summary(trials, options.videos, time.monotonic() - began), indent=1) + "\n")
    sys.exit(any(trial.violations for trial in trials))


def summary(trials: list[Trial], videos: int, seconds: float) -> dict[str, object]:
    """What goes into the results."""
    violations = [v for trial in trials for v in trial.violations]
    hits = Counter(f"{t.case.signal} to {t.case.target}" for t in trials if not t.missed)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "version": vidfleet.__version__,
        "runs": len(trials),
        "videos": videos,
        "seconds": round(seconds),
        "signals_that_hit": dict(sorted(hits.items())),
        "counts": dict(Counter(v.promise for v in violations)),
        "violations": [asdict(v) for v in violations],
    }


if __name__ == "__main__":
    main()
