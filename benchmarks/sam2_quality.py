"""What SAM 2 brings over boxes: identity switches and boxes, on scenes whose truth is exact, and on your own films.

::

    python -m benchmarks.sam2_quality                                     boxes alone, and beside exact masks; 1 minute
    python -m benchmarks.sam2_quality --sam2 tiny --device cuda           and beside SAM 2
    python -m benchmarks.sam2_quality --sam2 large --device cuda --films DIR --weights DIR

The scenes are those of ``benchmarks.sam2_scenes``; *exact masks* are what a perfect segmenter would bring there. A head
is given to the track whose box overlaps its face by more than one half. For films no truth is known: which tracks of
boxes SAM 2 joins, and which it tells apart, is to be looked at.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from benchmarks.sam2_scenes import FOUND, ExactSegmenter, scenes
from vidfleet.speakers.boxes import overlap
from vidfleet.speakers.masks.sam2_files import fetch_sam2, find_sam2
from vidfleet.speakers.masks.tracker import MaskTracker
from vidfleet.speakers.nets.sam2 import Sam2Segmenter
from vidfleet.speakers.pipeline import Speakers
from vidfleet.speakers.tables import StageClock
from vidfleet.speakers.tracks import BoxTracker, TrackRules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.sam2_scenes import Scene
    from vidfleet.speakers.boxes import Box
    from vidfleet.speakers.masks.segmenter import Segmenter
    from vidfleet.speakers.tracks import FaceTracker, GrowingTrack

SAME = 0.5
"""Boxes that overlap by more than this are of the same face."""
PARTLY = 0.25
"""A face of which at least this share is seen should have a box."""
OFTEN = 5
"""Frames that two tracks share, to be of one face."""
ENDINGS = (".mp4", ".mkv", ".mpg", ".webm", ".avi")

Found = dict[int, dict[int, "Box"]]
"""By frame: the box of each track."""


@dataclass(frozen=True)
class Row:
    """One scene, one way."""

    scene: str
    way: str
    heads: int
    tracks: int
    switches: int
    """How often a head that is clearly seen has another track than when it was last clearly seen."""
    kept: float
    """The share of frames with a partly seen face in which the head's first track has a box on it."""
    iou: float
    """Of those boxes with the face, the mean."""
    by_masks: int
    """Frames."""
    ms: float
    """Of a frame, the mean."""


def follow(scene: Scene, way: str, tracker: FaceTracker, rules: TrackRules) -> Row:
    """Run a tracker over a scene and hold it against the truth."""
    looked = scene.looked()
    began = time.perf_counter()
    out = [followed for each in looked for followed in tracker.push(each)] + list(tracker.finish())
    spent = time.perf_counter() - began
    tracks = [track for followed in out for track in followed.begun if track.qualifies(rules)]
    found = _boxes(tracks)
    switches, kept, ious = 0, [], []
    for head in range(len(scene.paths)):
        first = last = None
        for frame, shown in enumerate(scene.shown):
            face, seen = shown.boxes[head], shown.seen[head]
            if seen < PARTLY:
                continue
            shares = {track: _iou(box, face) for track, box in found.get(frame, {}).items()}
            best = max(shares, key=shares.__getitem__, default=None)
            if best is not None and seen >= FOUND and shares[best] > SAME:
                first = best if first is None else first
                switches += last not in {None, best}
                last = best
            if first is not None:
                kept.append(shares.get(first, 0.0) > SAME)
                ious += [shares[first]] if kept[-1] else []
    use = tracker.mask_use
    return Row(
        scene.name, way, len(scene.paths), len(tracks), switches, float(np.mean(kept or 0)), float(np.mean(ious or 0)),
        use.frames_by_masks if use else 0, 1000 * spent / scene.frames,
    )  # fmt: skip


def rows_of(scene: Scene, sam2: Segmenter | None) -> Iterator[Row]:
    """A scene, all ways."""
    rules = TrackRules()
    yield follow(scene, "boxes", BoxTracker(rules, clock=StageClock()), rules)
    ways: list[tuple[str, Segmenter, Literal["hard", "always"]]] = [("exact masks", ExactSegmenter(scene), "hard")]
    if sam2 is not None:
        ways += [("SAM 2, hard", sam2, "hard"), ("SAM 2, always", sam2, "always")]
    for way, segmenter, when in ways:
        yield follow(scene, way, MaskTracker(rules, segmenter, when=when, clock=StageClock()), rules)


def _boxes(tracks: Sequence[GrowingTrack]) -> Found:
    found: Found = {}
    for track in tracks:
        for offset, (x1, y1, x2, y2) in enumerate(track.boxes().tolist()):
            found.setdefault(track.start + offset, {})[track.number] = (x1, y1, x2, y2)
    return found


def _iou(first: Box, second: Box) -> float:
    return float(overlap(np.array([first]), np.array([second]))[0, 0])


@dataclass(frozen=True)
class FilmRow:
    """One film, by masks and by boxes."""

    film: str
    shots: int
    by_masks: int
    """Shots."""
    tracks: tuple[int, int]
    """By boxes, by masks."""
    face_frames: tuple[int, int]
    """Likewise."""
    joined: int
    """Tracks by masks that hold several by boxes."""
    told_apart: int
    """Tracks by boxes of which masks say that they are several."""


def compare(film: Path, arguments: argparse.Namespace) -> FilmRow:
    """Run the pipeline over a film twice."""
    boxes, _ = _run(film, arguments, "never")
    masks, told = _run(film, arguments, arguments.when)
    shared: Counter[tuple[int, int]] = Counter()
    for frame, by_boxes in boxes.items():
        for track, box in by_boxes.items():
            for other, theirs in masks.get(frame, {}).items():
                shared[track, other] += _iou(box, theirs) > SAME
    pairs = [pair for pair, count in shared.items() if count >= OFTEN]
    several = [sum(count > 1 for count in Counter(pair[side] for pair in pairs).values()) for side in (0, 1)]
    return FilmRow(
        film.name, told.get("shots", 0), told.get("shots_by_masks", 0), (_tracks(boxes), _tracks(masks)),
        (sum(map(len, boxes.values())), sum(map(len, masks.values()))), several[1], several[0],
    )  # fmt: skip


def _tracks(found: Found) -> int:
    return len({track for boxes in found.values() for track in boxes})


def _run(film: Path, arguments: argparse.Namespace, when: str) -> tuple[Found, Mapping[str, int]]:
    words = ["--words", "none", "--lean", "--no-page", "--face-embedder", "none", "--sam2", arguments.sam2]
    words += ["--weights", str(arguments.weights)] if arguments.weights else []
    speakers = Speakers.from_arguments([*words, "--sam2-when", when, "--threads", str(arguments.threads)])
    speakers.setup(arguments.device)
    found: Found = {}
    with tempfile.TemporaryDirectory() as folder:
        speakers.process(str(film), folder, lambda _stage, _share: None)
        with Path(folder, "pywork", "tracks.csv").open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                box = (float(row["x1"]), float(row["y1"]), float(row["x2"]), float(row["y2"]))
                found.setdefault(int(row["frame"]), {})[int(row["track"])] = box
        told = Path(folder, "pywork", "tracking.json")
        return found, json.loads(told.read_bytes()) if told.exists() else {}


def scene_table(rows: Sequence[Row]) -> str:
    """Markdown."""
    lines = [
        "| scene | way | heads | tracks | identity switches | first track kept | IoU | frames by masks | ms a frame |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {row.scene} | {row.way} | {row.heads} | {row.tracks} | {row.switches} | {100 * row.kept:.0f} % "
        f"| {row.iou:.2f} | {row.by_masks} | {row.ms:.1f} |"
        for row in rows
    ]
    return "\n".join(lines)


def film_table(rows: Sequence[FilmRow]) -> str:
    """Markdown."""
    lines = [
        "| film | shots | by masks | tracks by boxes | by masks | face frames | by masks | joined | told apart |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {row.film} | {row.shots} | {row.by_masks} | {row.tracks[0]} | {row.tracks[1]} | {row.face_frames[0]} "
        f"| {row.face_frames[1]} | {row.joined} | {row.told_apart} |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sam2", metavar="NAME|DIR", help="the model; without it, boxes and exact masks only")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch and of the pipeline")
    parser.add_argument("--weights", type=Path, metavar="DIR", help="where the other networks lie")
    parser.add_argument("--films", type=Path, metavar="DIR", help="films to go through, with --sam2")
    parser.add_argument("--when", choices=("hard", "always"), default="hard", help="for films")
    arguments = parser.parse_args()
    if arguments.films and not arguments.sam2:
        parser.error("--films needs --sam2")
    sam2 = None
    if arguments.sam2:
        files = find_sam2(arguments.sam2, weights=arguments.weights) or fetch_sam2(arguments.sam2)
        sam2 = Sam2Segmenter(files, threads=arguments.threads, device=arguments.device)
        print(f"{sam2.method.name}, {sam2.method.sha256}\n")
    print(scene_table([row for scene in scenes() for row in rows_of(scene, sam2)]))
    films = sorted(arguments.films.iterdir()) if arguments.films else []
    compared = []
    for film in films:
        if film.suffix.lower() in ENDINGS:
            sys.stderr.write(f"{film.name}\n")
            compared.append(compare(film, arguments))
    if compared:
        print(f"\n{film_table(compared)}")


if __name__ == "__main__":
    main()
