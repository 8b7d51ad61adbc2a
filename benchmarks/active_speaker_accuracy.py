"""How often the active speaker is right, on real clips whose truth is known.

    python benchmarks/active_speaker_accuracy.py --media ../shared/media --weights ../shared/weights

runs the whole pipeline three times over each clip (LR-ASD with its two weights, and the embedded methods:
OpenCV's faces with mouth motion), one thread, and counts the grid frames in which "speaking" (a score above 0)
is right. The truth is

* for the five single talkers of GRID, when voice activity hears them (speech_truth.json);
* for the composite of two people, what its README says, left and right;
* for silent people, that nobody speaks;
* elsewhere LR-ASD itself with the AVA weights: the embedded methods are then judged by how often they agree.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vidfleet.speakers.pipeline import Speakers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

METHODS = {
    "LR-ASD AVA": ("--models", "full", "--asd-weights", "ava"),
    "LR-ASD TalkSet": ("--models", "full", "--asd-weights", "talkset"),
    "embedded": ("--models", "embedded"),
}
REFERENCE = "LR-ASD AVA"
OUTPUTS = ("--frames", "none", "--no-crops", "--no-annotated")
SILENT = ("liveportrait_d18.mp4", "liveportrait_s18.mp4")
TWO_PEOPLE = "grid_2people_turns_cut.mp4"
LEFT_S, RIGHT_S = ((0.49, 2.21), (6.5, 8.3)), ((3.5, 5.1),)
"""When each of the two speaks; the one who is alone after the cut is the left one."""
OTHERS = (
    "latentsync_demo1.mp4",
    "liveportrait_d20.mp4",
    "retalking_face2.mp4",
    "retalking_face4.mp4",
    "retalking_hist_face4.mp4",
    "visualvoice_interview.mp4",
    "pyscenedetect_issue-195-aspect-ratio.mp4",
    "face_recognition_short_hamilton_clip.mp4",
)
SAME_FACE = 0.3
"""Two boxes of one frame that overlap by more than this are one face (the detectors' boxes differ)."""

Spans = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Seen:
    """A face in a frame, as ``tracks.csv`` has it."""

    frame: int
    box: tuple[float, ...]
    score: float

    @property
    def time_s(self) -> float:
        """The middle of the frame's time."""
        return (self.frame + 0.5) / 25


@dataclass(frozen=True)
class Row:
    """What is reported of one clip and method."""

    clip: str
    method: str
    truth: str
    frames: int
    right: int
    found: int
    """Of the frames that speak, those that were said to."""
    speaking: int
    seconds_per_second: float
    """Of scoring, for each second of track."""


def run(clip: Path, arguments: Sequence[str]) -> tuple[list[Seen], float]:
    """The faces with scores, and the seconds that scoring took."""
    speakers = Speakers.from_arguments([*arguments, *OUTPUTS])
    speakers.setup("cpu")
    with tempfile.TemporaryDirectory() as folder:
        speakers.process(str(clip), folder, lambda _stage, _share: None)
        work = Path(folder, "pywork")
        with (work / "tracks.csv").open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["score"]]
        stages = [json.loads(line) for line in (work / "time_log.jsonl").read_text("utf-8").splitlines()]
    faces = [
        Seen(int(row["frame"]), tuple(float(row[name]) for name in ("x1", "y1", "x2", "y2")), float(row["score"]))
        for row in rows
    ]
    return faces, sum(stage["elapsed_sec"] for stage in stages if stage["stage"] == "scores")


def truth_of(clip: str, grid: dict[str, Spans], reference: list[Seen]) -> tuple[str, Callable[[Seen], bool | None]]:
    """What the truth is, and whether a face speaks by it; nothing where it does not tell."""
    if clip in grid:
        return "voice activity", lambda face: within(face, grid[clip])
    if clip == TWO_PEOPLE:
        return "known turns", lambda face: within(face, RIGHT_S if is_right(face) else LEFT_S)
    if clip in SILENT:
        return "nobody speaks", lambda _face: False
    return REFERENCE, lambda face: next((other.score > 0 for other in same_face(face, reference)), None)


def within(face: Seen, spans: Spans) -> bool:
    return any(start <= face.time_s < end for start, end in spans)


def is_right(face: Seen) -> bool:
    return face.frame < 150 and face.box[0] > 640


def same_face(face: Seen, others: list[Seen]) -> Iterator[Seen]:
    return (other for other in others if other.frame == face.frame and overlap(face.box, other.box) > SAME_FACE)


def overlap(first: Sequence[float], second: Sequence[float]) -> float:
    """Intersection over union."""
    sides = [min(first[i + 2], second[i + 2]) - max(first[i], second[i]) for i in (0, 1)]
    shared = max(sides[0], 0.0) * max(sides[1], 0.0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return shared / max(sum(areas) - shared, 1e-9)


def measure(clip: Path, weights: Path, grid: dict[str, Spans]) -> Iterator[Row]:
    """One row for each method that the clip's truth can judge."""
    reference: list[Seen] = []
    for method, arguments in METHODS.items():
        faces, seconds = run(clip, [*arguments, "--weights", str(weights)])
        if method == REFERENCE:
            reference = faces
        kind, speaks = truth_of(clip.name, grid, reference)
        judged = [(face.score > 0, truth) for face in faces if (truth := speaks(face)) is not None]
        if kind != method:
            yield Row(
                clip=clip.name,
                method=method,
                truth=kind,
                frames=len(judged),
                right=sum(said == truth for said, truth in judged),
                found=sum(said and truth for said, truth in judged),
                speaking=sum(truth for _said, truth in judged),
                seconds_per_second=round(seconds / max(len(faces) / 25, 1e-9), 4),
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--media", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--output", type=Path, help="write the rows here as JSON")
    parser.add_argument("--only", default="", help="only clips whose name contains this")
    options = parser.parse_args()
    spans = json.loads((options.media / "speech_truth.json").read_text("utf-8"))["spans"]
    grid: dict[str, Spans] = {clip: tuple((start, end) for start, end in pairs) for clip, pairs in spans.items()}
    rows: list[Row] = []
    for clip in (*grid, TWO_PEOPLE, *SILENT, *OTHERS):
        if options.only in clip:
            for row in measure(options.media / clip, options.weights, grid):
                rows.append(row)
                show(row.clip, row.method, row.truth, [row])
    for method in METHODS:
        for truth in dict.fromkeys(row.truth for row in rows):
            show("all of this truth", method, truth, [r for r in rows if (r.method, r.truth) == (method, truth)])
    if options.output:
        options.output.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", "utf-8")


def show(clip: str, method: str, truth: str, rows: list[Row]) -> None:
    """Print one line over these rows."""
    frames = sum(row.frames for row in rows)
    if frames:
        right = sum(row.right for row in rows) / frames
        found = sum(row.found for row in rows) / max(sum(row.speaking for row in rows), 1)
        seconds = sum(row.seconds_per_second for row in rows) / len(rows)
        print(
            f"{clip:42} {method:15} truth: {truth:15} frames {frames:5} right {right:6.1%} "
            f"speech found {found:6.1%} {seconds:7.4f} s/s",
            flush=True,
        )


if __name__ == "__main__":
    main()
