"""What scoring a second of face track costs: the program's way beside the naive one, and where its time goes.

::

    python -m benchmarks.lr_asd_cost --weights DIR --golden DIR        3 minutes

Processor time of one thread, medians of repetitions in turns, on faces and sound of pure noise (the time does not
depend on what they show). The naive way is ``benchmarks.naive_scores``. With ``--golden``, scores are compared with
those of the authors' own code, on all cases there and with both weights.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from benchmarks.naive_scores import NaiveLrAsd
from benchmarks.pipeline.about import about
from benchmarks.speed.measuring import as_text
from vidfleet.speakers.nets.checkpoint import read_checkpoint
from vidfleet.speakers.nets.lr_asd import BLOCKS, FACE_RATE, FACE_SIZE, MFCC_PER_FACE, LrAsdNet
from vidfleet.speakers.nets.lr_asd_windows import WindowScorer
from vidfleet.speakers.nets.mfcc import mfcc as cepstra_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

LENGTHS_S = {0.4: 15, 2.0: 9, 10.0: 3, 60.0: 1}
"""Lengths of track, and how often each is measured."""
AT_ONCE_S = (1, 2, 4, 6)
WEIGHTS = {"ava": "LR-ASD_pretrain_AVA.model", "talkset": "LR-ASD_finetuning_TalkSet.model"}
PROFILED_S, REPEATS = 10, 5

Result = TypeVar("Result")


@dataclass(frozen=True)
class Cost:
    """Of tracks of one length."""

    track_s: float
    repeats: int
    naive: float
    """Processor seconds per second of track."""
    ours: float
    """Likewise."""
    times_faster: float
    largest_difference: float
    """Of a raw score."""


@dataclass(frozen=True)
class Part:
    """Of the program's way."""

    name: str
    ms_per_s: float
    """Processor time per second of a track of 10 s."""


@dataclass(frozen=True)
class AtOnce:
    """What it would bring to see more faces at once, of one track or of several."""

    faces_s: int
    ms_per_s: float
    """Of the face encoder without windows' edges."""


@dataclass(frozen=True)
class Agreement:
    """With the authors' own code."""

    weights: str
    case: str
    frames: int
    largest_difference: float
    """Of a raw score."""


def noise(frames: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Faces, and cepstra to go with them."""
    numbers = np.random.default_rng(frames)
    faces = numbers.integers(0, 255, (frames, FACE_SIZE, FACE_SIZE), np.uint8)
    return faces, numbers.normal(0, 10, (MFCC_PER_FACE * frames, 13)).astype(np.float32)


def score(net: LrAsdNet, faces: NDArray[np.uint8], mfcc: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
    """Raw scores of a track as the program finds them, second by second."""
    scorer, last = WindowScorer(net), max(len(faces) - 1, 0) // FACE_RATE * FACE_RATE
    for start in range(0, last, FACE_RATE):
        scorer.see(faces[start : start + FACE_RATE])
    return scorer.finish(faces[last:], mfcc)


def timed(work: Callable[[], Result]) -> tuple[float, Result]:
    """Processor time in seconds that it takes, and what comes of it."""
    begun = time.process_time()
    result = work()
    return time.process_time() - begun, result


def difference(some: Sequence[NDArray[Any]], others: Sequence[NDArray[Any]]) -> float:
    """The largest of any score."""
    return max(float(np.abs(one - other).max()) for one, other in zip(some, others, strict=True))


def cost_of(naive: NaiveLrAsd, track_s: float, repeats: int) -> Cost:
    faces, mfcc = noise(round(track_s * FACE_RATE))
    times = []
    for _ in range(repeats):
        slow_s, one_by_one = timed(lambda: naive.score_windows(faces, mfcc))
        fast_s, shared = timed(lambda: score(naive.net, faces, mfcc))
        times.append((slow_s, fast_s))
    apart = difference(one_by_one, shared)
    slow, fast = (median(each) / track_s for each in zip(*times, strict=True))
    return Cost(track_s, repeats, round(slow, 4), round(fast, 4), round(slow / fast, 1), float(f"{apart:.1e}"))


class Watched(LrAsdNet):
    """Counts what its parts take."""

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, **options)
        self.spent_s: defaultdict[str, float] = defaultdict(float)

    def hear(self, mfcc: Any) -> Any:  # noqa: ANN401
        return self._timed("sound", super().hear, mfcc)

    def look(self, faces: Any) -> Any:  # noqa: ANN401
        return self._timed("faces by themselves", super().look, faces)

    def move(self, block: int, frames: Any, *, before: bool = False, after: bool = False) -> Any:  # noqa: ANN401
        where = "windows' edges" if frames.shape[2] <= EDGE_FRAMES else "faces over time"
        return self._timed(f"{where}, block {block}", super().move, block, frames, before=before, after=after)

    def detect(self, features: Any) -> Any:  # noqa: ANN401
        return self._timed("detector", super().detect, features)

    def _timed(self, name: str, work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        begun = time.process_time()
        result = work(*arguments, **options)
        self.spent_s[name] += time.process_time() - begun
        return result


EDGE_FRAMES = 18
"""A stretch at an edge is at most so long; a second's is longer."""


def parts_of(net: Watched) -> list[Part]:
    """Where the time goes in a track of 10 s; medians."""
    faces, mfcc = noise(PROFILED_S * FACE_RATE)
    seen: list[dict[str, float]] = []
    for _ in range(REPEATS):
        net.spent_s.clear()
        whole_s, _ = timed(lambda: score(net, faces, mfcc))
        net.spent_s["all else"] = whole_s - sum(net.spent_s.values())
        seen.append(net.spent_s.copy())
    return [Part(name, round(median(each[name] for each in seen) * 1e3 / PROFILED_S, 2)) for name in seen[0]]


def at_once(net: LrAsdNet) -> list[AtOnce]:
    """The face encoder on so many seconds of faces at once, in turns."""

    def see(faces: NDArray[np.uint8]) -> None:
        frames = net.look(faces[None])
        for block in BLOCKS:
            frames = net.move(block, np.ascontiguousarray(frames), before=True, after=True)

    faces = {seconds: noise(seconds * FACE_RATE)[0] for seconds in AT_ONCE_S}
    times: dict[int, list[float]] = {seconds: [] for seconds in AT_ONCE_S}
    for _ in range(REPEATS + 1):
        for seconds in AT_ONCE_S:
            times[seconds].append(timed(partial(see, faces[seconds]))[0] * 1e3 / seconds)
    return [AtOnce(seconds, round(median(times[seconds][1:]), 1)) for seconds in AT_ONCE_S]


def agreements(networks: dict[str, NaiveLrAsd], folder: Path) -> list[Agreement]:
    """Each case of the authors' own scores, with both weights."""
    rows = []
    for path in sorted(folder.glob("*.npz")):
        known = np.load(path)
        mfcc = cepstra_of(known["audio"])
        frames = min(len(mfcc) // MFCC_PER_FACE, len(known["frames"]))
        faces, mfcc = known["frames"][:frames], mfcc[: MFCC_PER_FACE * frames]
        for name, naive in networks.items():
            theirs = [known[f"{name}_raw_{length_s}s"] for length_s in range(1, 7)]
            apart = difference(score(naive.net, faces, mfcc), theirs)
            rows.append(Agreement(name, path.stem, frames, float(f"{apart:.1e}")))
    return rows


def processor() -> str:
    """Its name."""
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--golden", type=Path)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/lr_asd_cost.json"))
    options = parser.parse_args()
    head = about(REPEATS)
    checkpoints = {name: read_checkpoint(options.weights / file) for name, file in WEIGHTS.items()}
    networks = {name: NaiveLrAsd(tensors) for name, tensors in checkpoints.items()}
    measured: dict[str, Sequence[Cost | Part | AtOnce | Agreement]] = {
        "cost": [cost_of(networks["ava"], *each) for each in LENGTHS_S.items()],
        "parts": parts_of(Watched(checkpoints["ava"])),
        "at_once": at_once(networks["ava"].net),
        "agreement": agreements(networks, options.golden) if options.golden else [],
    }
    for rows in measured.values():
        print(*rows, sep="\n")
    found = {name: [asdict(row) for row in rows] for name, rows in measured.items()}
    options.output.write_text(as_text({**head, **found}), "utf-8")


if __name__ == "__main__":
    main()
