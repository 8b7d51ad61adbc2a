"""One measured run of the pipeline in a process of its own on one core, as in a lane that has had a film before.

    python -m benchmarks.pipeline.turn CASE FILM --weights DIR --warm FILM [--core N]

prints one line of JSON. What is loaded once a lane (modules, models) is loaded before: by the film of ``--warm``, which
should be short. The parent (``cost``) may set PYTHONPATH to the sources of another commit: nothing is used of
them here but the pipeline's class, so that today's and yesterday's are measured in one way.
"""

from __future__ import annotations

import argparse
import csv
import inspect
import json
import os
import re
import tempfile
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.pipeline.naive import ScoredTrack

CASES = {"exact": (), "every 5": ("--detect-every", "5"), "before": ()}
"""The program's own runs; ``naive`` and ``decoding`` are the others."""
SETTINGS = ("--models", "full", "--threads", "1", "--words", "none", "--lean", "--face-embedder", "mobilefacenet")
"""``--lean`` leaves the page with its portraits; persons are told apart."""
LR_ASD = "LR-ASD_pretrain_AVA.model"
PROCESSOR_FIELD = "cpu_sec"


@dataclass(frozen=True)
class TrackOut:
    """A track and its scores, as ``tracks.csv`` has them."""

    start: int
    boxes: list[list[float]]
    """Rounded to 0.01 pixel."""
    scores: list[float | None]


@dataclass(frozen=True)
class TurnOut:
    """What a turn says."""

    case: str
    core_s: float
    """Processor time of the whole run."""
    wall_s: float
    stages: dict[str, float] = field(repr=False)
    """Processor seconds."""
    tracks: list[TrackOut] = field(repr=False)


def ours(film: Path, weights: Path, case: str, *, warm: Path, out: Path) -> TurnOut:
    """The program's own run."""
    from vidfleet.speakers import tables
    from vidfleet.speakers.pipeline import Speakers

    if not re.search("(process|thread)_time", inspect.getsource(tables.StageClock)):
        # Sources of before count by the clock, in one thread: what they take for the clock is processor time.
        vars(tables)["time"] = SimpleNamespace(time=time.time, perf_counter=time.process_time)
    speakers = Speakers.from_arguments([*SETTINGS, "--weights", str(weights), *CASES[case]])
    speakers.setup("cpu")
    speakers.process(str(warm), str(out / "warm"), lambda _stage, _share: None)
    out = out / "film"
    core_s, wall_s = _timed(lambda: speakers.process(str(film), str(out), lambda _stage, _share: None))
    lines = [json.loads(line) for line in (out / "pywork/time_log.jsonl").read_text("utf-8").splitlines()]
    stages = {line["stage"]: line.get(PROCESSOR_FIELD, line["elapsed_sec"]) for line in lines}
    return TurnOut(case, core_s, wall_s, stages, read_tracks(out / "pywork/tracks.csv"))


def naive(film: Path, weights: Path, *, warm: Path, out: Path) -> TurnOut:
    """The naive way, with the program's own detector."""
    from benchmarks.pipeline.naive import NaivePipeline, ProcessorClock
    from vidfleet.speakers.pipeline import Speakers

    speakers = Speakers.from_arguments([*SETTINGS, "--weights", str(weights)])
    speakers.setup("cpu")
    pipeline, clock = NaivePipeline(speakers.stages.detector, weights / LR_ASD), ProcessorClock()
    pipeline.run(warm, out / "warm.wav", ProcessorClock())
    found: list[ScoredTrack] = []
    core_s, wall_s = _timed(lambda: found.extend(pipeline.run(film, out / "audio.wav", clock)))
    return TurnOut("naive", core_s, wall_s, dict(clock.spent_s), [rounded(track) for track in found])


def rounded(track: ScoredTrack) -> TrackOut:
    """As ``tracks.csv`` would have it."""
    boxes = [[round(edge, 2) for edge in box] for box in track.boxes.tolist()]
    return TrackOut(track.start, boxes, track.scores.tolist())


def decoding(film: Path, *, warm: Path) -> TurnOut:
    """The floor."""
    from benchmarks.pipeline.naive import decode

    decode(warm)
    core_s, wall_s = _timed(lambda: decode(film))
    return TurnOut("decoding", core_s, wall_s, {"pictures": core_s}, [])


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    core, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - core, time.perf_counter() - wall


def read_tracks(path: Path) -> list[TrackOut]:
    """What a ``tracks.csv`` holds."""
    starts: dict[str, int] = {}
    boxes: defaultdict[str, list[list[float]]] = defaultdict(list)
    scores: defaultdict[str, list[float | None]] = defaultdict(list)
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            name = row["track"]
            starts.setdefault(name, int(row["frame"]))
            boxes[name].append([float(row[edge]) for edge in ("x1", "y1", "x2", "y2")])
            scores[name].append(float(row["score"]) if row["score"] else None)
    return [TrackOut(start, boxes[name], scores[name]) for name, start in starts.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("case", choices=[*CASES, "naive", "decoding"])
    parser.add_argument("film", type=Path)
    parser.add_argument("--weights", type=Path, required=True, metavar="DIR")
    parser.add_argument("--warm", type=Path, required=True, metavar="FILM")
    parser.add_argument("--core", type=int, metavar="N")
    options = parser.parse_args()
    if options.core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {options.core})
    with tempfile.TemporaryDirectory() as folder:
        if options.case == "decoding":
            told = decoding(options.film, warm=options.warm)
        elif options.case == "naive":
            told = naive(options.film, options.weights, warm=options.warm, out=Path(folder))
        else:
            told = ours(options.film, options.weights, options.case, warm=options.warm, out=Path(folder))
    print(json.dumps(asdict(told)))


if __name__ == "__main__":
    main()
