"""Core-seconds per second of film and of face track, by stage: naive, exact, every 5, before, and decoding alone.

    python -m benchmarks.pipeline.cost --weights DIR --media DIR --work DIR        8 minutes

Each turn is a process of its own on one core (``turn``), with its models loaded before the clock starts; the ways take
turns. ``before`` is the program as it was at a commit, its sources taken out of the repository. Films are kept in the
folder of ``--work``. What comes out (tracks, boxes, scores) is compared with the exact run's.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.peers import PeerError
from benchmarks.pipeline.about import about
from benchmarks.pipeline.films import make_film
from benchmarks.pipeline.same import Same, same_as
from benchmarks.pipeline.turn import TrackOut, TurnOut
from benchmarks.speed.measuring import Case, Spread, Turn, interleaved, write

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

RESULTS = Path(__file__).resolve().parents[1] / "results"
TOP = RESULTS.parents[1]
BEFORE = "30be996"
"""The last commit whose stages take turns picture by picture in one thread."""
LIMIT_S = 580
WARM_S = 1


@dataclass(frozen=True)
class Measurement:
    """A film, and the ways it is gone through."""

    faces: int
    """In view all the time."""
    film_s: int
    turns: int
    cases: tuple[str, ...]


ALL = ("decoding", "naive", "before", "exact", "every 5")
MEASUREMENTS = (
    Measurement(1, 30, 3, ALL),
    Measurement(4, 15, 1, ("decoding", "naive", "exact", "every 5")),
    Measurement(1, 120, 1, ("before", "exact")),
)
QUICK = (Measurement(1, 5, 1, ALL),)


@dataclass(frozen=True)
class Cost:
    """Of one way through one film."""

    faces: int
    film_s: int
    case: str
    core_per_video_s: Spread
    """Processor seconds per second of film."""
    core_per_track_s: Spread | None
    """Per second of face track, all tracks together; nothing where no faces are looked for."""
    naive_over_it: Spread | None
    """How many times as long the naive way takes, in the same turn."""


@dataclass(frozen=True)
class StageCost:
    """Of one stage of it."""

    faces: int
    film_s: int
    case: str
    stage: str
    core_ms_per_s: float
    """Processor milliseconds per second of film; median."""


def sources_of(commit: str, folder: Path) -> Path | None:
    """The program's sources at a commit, in ``folder``; nothing where the repository lacks it."""
    took = subprocess.run(["git", "-C", str(TOP), "archive", commit, "src"], capture_output=True, check=False)
    if took.returncode:
        return None
    with tarfile.open(fileobj=BytesIO(took.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder / "src"


@dataclass(frozen=True)
class Place:
    """Where turns find what they need."""

    weights: Path
    warm: Path
    """A short film, gone through before the clock starts."""
    before: Path | None
    """The sources of ``before``, where the repository has them."""


def run_turn(case: str, film: Path, place: Place) -> TurnOut:
    """One turn, in a process of its own. Raises PeerError with its last words where it fails."""
    if case == "before" and place.before is None:
        raise PeerError("the repository lacks that commit")
    sources = [str(place.before)] if case == "before" else []
    command = [sys.executable, "-m", "benchmarks.pipeline.turn", case, str(film)]
    options = ["--weights", str(place.weights), "--warm", str(place.warm), "--core", str(max(os.sched_getaffinity(0)))]
    try:
        took = subprocess.run(
            [*command, *options], capture_output=True, text=True, check=False, cwd=TOP, timeout=LIMIT_S,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([*sources, str(TOP)]), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise PeerError(f"it takes longer than {LIMIT_S} s") from error
    if took.returncode:
        raise PeerError(took.stderr.strip()[-300:])
    told = json.loads(took.stdout.splitlines()[-1])
    return TurnOut(**{**told, "tracks": [TrackOut(**track) for track in told["tracks"]]})


class Costs:
    """Rows of all films so far."""

    def __init__(self) -> None:
        self.cost: list[Cost] = []
        self.stages: list[StageCost] = []
        self.same: list[Same] = []
        self.turns: list[Turn[Any]] = []

    def add(self, measurement: Measurement, turns: Sequence[Turn[TurnOut]]) -> None:
        """Make rows of a film's turns."""
        self.turns += [
            Turn(f"{turn.system}, {measurement.faces} faces, {measurement.film_s} s", turn.load, None, turn.trouble)
            if turn.result is None
            else Turn(
                f"{turn.system}, {measurement.faces} faces, {measurement.film_s} s",
                turn.load,
                {"core_s": round(turn.result.core_s, 3), "wall_s": round(turn.result.wall_s, 3)},
            )
            for turn in turns
        ]
        by_case = {
            case: [turn.result for turn in turns if turn.system == case and turn.result] for case in measurement.cases
        }
        for case, results in by_case.items():
            if results:
                self._add(measurement, case, results, by_case)

    def _add(
        self, measurement: Measurement, case: str, results: list[TurnOut], by_case: dict[str, list[TurnOut]]
    ) -> None:
        which = (measurement.faces, measurement.film_s, case)
        track_s = sum(len(track.boxes) for track in results[0].tracks) / 25
        naive, exact = by_case.get("naive", []), by_case.get("exact", [])
        self.cost.append(
            Cost(
                *which,
                _spread(result.core_s / measurement.film_s for result in results),
                _spread(result.core_s / track_s for result in results) if track_s else None,
                _spread(slow.core_s / result.core_s for slow, result in zip(naive, results, strict=False))
                if naive
                else None,
            )
        )
        for stage in results[0].stages:
            spent = [result.stages[stage] * 1e3 / measurement.film_s for result in results]
            self.stages.append(StageCost(*which, stage, round(Spread.of(spent).median, 2)))
        if exact and case not in ("exact", "decoding"):
            self.same.append(same_as(*which, exact[0].tracks, results[0].tracks))

    def write(self, folder: Path, head: dict[str, Any]) -> None:
        """Write what there is."""
        rows: dict[str, Sequence[Cost | StageCost | Same]] = {
            "cost": self.cost,
            "stages": self.stages,
            "same": self.same,
        }
        found = {name: [asdict(row) for row in part] for name, part in rows.items()}
        write(folder, "pipeline_cost", {**head, **found}, self.turns)


def _spread(values: Iterable[float]) -> Spread:
    found = Spread.of(values)
    return Spread(round(found.median, 4), round(found.least, 4), round(found.most, 4), found.count)


def measure(options: Options, measurements: Sequence[Measurement]) -> None:
    """Measure film after film; the file is written after each."""
    costs, head = Costs(), about(max(each.turns for each in measurements))
    head["films"], head["before"] = [], options.before
    films = [make_film(options.work, options.media, faces=each.faces, seconds=each.film_s) for each in measurements]
    with tempfile.TemporaryDirectory() as folder:
        place = Place(
            options.weights,
            warm=make_film(options.work, options.media, faces=1, seconds=WARM_S),
            before=sources_of(options.before, Path(folder)),
        )
        for each, film in zip(measurements, films, strict=True):
            kbit_s = round(film.stat().st_size * 8e-3 / each.film_s)
            head["films"].append({"faces": each.faces, "film_s": each.film_s, "turns": each.turns, "kbit_s": kbit_s})
            cases = [
                Case(case, lambda _turn, case=case, film=film: run_turn(case, film, place))  # type: ignore[misc]
                for case in each.cases
            ]
            costs.add(each, interleaved(cases, each.turns))
            costs.write(options.results, head)


@dataclass(frozen=True)
class Options:
    """Where things are."""

    weights: Path
    media: Path
    work: Path
    """Films are kept here."""
    results: Path = RESULTS
    before: str = BEFORE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, metavar="DIR")
    parser.add_argument("--media", type=Path, required=True, metavar="DIR")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    parser.add_argument("--before", default=BEFORE, metavar="COMMIT")
    parser.add_argument("--film", action="append", metavar="FACES:SECONDS", help="only this one; may be given again")
    parser.add_argument("--turns", type=int, default=99, metavar="N", help="no more turns than this")
    parser.add_argument("--quick", action="store_true", help="one film of 5 s, one turn")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    where = Options(options.weights, options.media, options.work, options.results, options.before)
    named = [each for each in MEASUREMENTS if f"{each.faces}:{each.film_s}" in (options.film or [])]
    chosen = QUICK if options.quick else named or MEASUREMENTS
    measure(where, [replace(each, turns=min(each.turns, options.turns)) for each in chosen])


if __name__ == "__main__":
    main()
