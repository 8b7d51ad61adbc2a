"""What ``--detect-every K`` costs and keeps, against the run that looks in every picture.

    python -m benchmarks.detect_every --media DIR --weights DIR

runs the whole pipeline over each clip with ``--lean``, one thread, for each K. Of the exact run's tracks (K =
1) it counts the face frames that have a box of the other run within an intersection over union of 0.8, and the
scored frames whose score has the same sign, all and those with a clear one; a frame without such a face counts
as wrong. The detector's looks are counted, and its processor time.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.pipeline.about import about
from benchmarks.speed.measuring import as_text
from vidfleet.speakers.boxes import overlap
from vidfleet.speakers.pipeline import Speakers

if TYPE_CHECKING:
    from fractions import Fraction

    from vidfleet.speakers.data import Face, GridFrame, Method
    from vidfleet.speakers.faces import FaceDetector

RESULT = Path(__file__).parent / "results" / "detect_every.json"
SETTINGS = ("--models", "full", "--threads", "1", "--words", "none", "--lean", "--no-page", "--face-embedder", "none")
SAME_BOX, SAME_FACE = 0.8, 0.5
"""A box is as good as the exact run's; a face is the same."""
CLEAR = 0.5
"""Scores are rounded to 0.1 and reach from about -6 to 4: nearer to 0 than this, the sign says little."""
ENDINGS = (".mp4", ".mpg", ".webm")


@dataclass(frozen=True)
class Box:
    """A face in a frame, as ``tracks.csv`` has it."""

    box: tuple[float, ...]
    score: float | None


@dataclass(frozen=True)
class Run:
    """One clip under one K."""

    faces: Mapping[int, list[Box]]
    """By grid frame."""
    tracks: int
    looks: int
    """How often the detector was asked."""
    detector_s: float
    """Its processor time."""
    all_s: float
    """The whole run's."""


@dataclass(frozen=True)
class Row:
    """What is reported of one clip and K."""

    clip: str
    every: int
    frames: int
    """Grid frames."""
    looks: int
    detector_s: float
    all_s: float
    tracks: int
    face_frames: int
    """Of the exact run."""
    within: int
    """Of these, how many have a box within 0.8."""
    scored_frames: int
    """Of the exact run."""
    same_sign: int
    clear_frames: int
    """Those whose score in the exact run is not within half a point of 0."""
    clear_same_sign: int


class Counted:
    """A detector whose looks are counted."""

    def __init__(self, detector: FaceDetector) -> None:
        self.method: Method = detector.method
        self._detector = detector
        self.looks, self.spent_s = 0, 0.0

    def find(self, frame: GridFrame, *, pixel_aspect: Fraction) -> tuple[Face, ...]:
        """See FaceDetector."""
        before = time.thread_time()
        found = self._detector.find(frame, pixel_aspect=pixel_aspect)
        self.spent_s += time.thread_time() - before
        self.looks += 1
        return found


def run(clip: Path, weights: Path, every: int) -> tuple[Run, int]:
    """Process a clip; also its length in grid frames."""
    speakers = Speakers.from_arguments([*SETTINGS, "--weights", str(weights), "--detect-every", str(every)])
    speakers.setup("cpu")
    detector = Counted(speakers.stages.detector)
    speakers.stages = replace(speakers.stages, detector=detector)
    with tempfile.TemporaryDirectory() as folder:
        before = time.process_time()
        speakers.process(str(clip), folder, lambda _stage, _share: None)
        spent_s = time.process_time() - before
        with Path(folder, "pywork/tracks.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        with Path(folder, "pywork/shots.csv").open(newline="", encoding="utf-8") as file:
            frames = max(int(row["end_frame"]) for row in csv.DictReader(file))
    faces: dict[int, list[Box]] = {}
    for row in rows:
        box = tuple(float(row[name]) for name in ("x1", "y1", "x2", "y2"))
        faces.setdefault(int(row["frame"]), []).append(Box(box, float(row["score"]) if row["score"] else None))
    tracks = len({row["track"] for row in rows})
    return Run(faces, tracks, detector.looks, detector.spent_s, spent_s), frames


def compared(clip: str, every: int, frames: int, exact: Run, other: Run) -> Row:
    """Count what is the same in two runs."""
    within, signs, clear = [], [], []
    for frame, faces in exact.faces.items():
        theirs = other.faces.get(frame, [])
        overlaps = overlap(np.array([one.box for one in faces]), np.array([one.box for one in theirs]).reshape(-1, 4))
        for one, row in zip(faces, overlaps, strict=True):
            best = int(row.argmax()) if len(row) else -1
            within.append(best >= 0 and bool(row[best] >= SAME_BOX))
            if one.score is not None:
                score = theirs[best].score if best >= 0 and row[best] >= SAME_FACE else None
                signs.append(score is not None and (score > 0) == (one.score > 0))
                if abs(one.score) >= CLEAR:
                    clear.append(signs[-1])
    return Row(
        clip, every, frames, other.looks, round(other.detector_s, 2), round(other.all_s, 2), other.tracks,
        face_frames=len(within), within=sum(within), scored_frames=len(signs), same_sign=sum(signs),
        clear_frames=len(clear), clear_same_sign=sum(clear),
    )  # fmt: skip


def main() -> None:
    """Measure all clips, and keep the rows after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, required=True, metavar="DIR")
    parser.add_argument("--weights", type=Path, required=True, metavar="DIR")
    parser.add_argument("--every", type=int, nargs="+", default=[5], metavar="K")
    parser.add_argument("--only", nargs="+", default=[""], metavar="TEXT", help="clips whose name begins with TEXT")
    parser.add_argument("--result", type=Path, default=RESULT, metavar="FILE")
    options = parser.parse_args()
    rows: list[Row] = []
    head = about(1)
    for clip in sorted(options.media.iterdir()):
        if clip.suffix not in ENDINGS or not clip.name.startswith(tuple(options.only)):
            continue
        exact, frames = run(clip, options.weights, 1)
        rows.append(compared(clip.name, 1, frames, exact, exact))
        rows += [
            compared(clip.name, every, frames, exact, run(clip, options.weights, every)[0]) for every in options.every
        ]
        options.result.write_text(as_text({**head, "rows": [asdict(row) for row in rows]}), "ascii")
        print(*rows[-1 - len(options.every) :], sep="\n", flush=True)


if __name__ == "__main__":
    main()
