"""The pipeline with faces followed by masks: the same files, and how many shots went which way."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.speakers.films import FAST, Run, noise, write_video
from tests.speakers.painted import HEIGHT, SIDE, WIDTH, PaintedSegmenter
from vidfleet.errors import UsageError
from vidfleet.speakers.data import Face, GridFrame, Method
from vidfleet.speakers.pipeline import Speakers
from vidfleet.speakers.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction
    from pathlib import Path

    from numpy.typing import NDArray

    from vidfleet.speakers.boxes import Box

RED, BLUE = (0, 0, 255), (255, 0, 0)
FRAMES = 100
CUT = 62
"""Before it two faces walk through each other, after it one stands."""


def corners(frame: int) -> list[tuple[tuple[int, int, int], int]]:
    """The faces of a frame, the last in front: colour, and the left edge of the box."""
    if frame >= CUT:
        return [(RED, 140)]
    return [(RED, round(20 + 3.5 * frame)), (BLUE, round(240 - 3.5 * frame))]


def picture(frame: int) -> NDArray[np.uint8]:
    painted = np.full((HEIGHT, WIDTH, 3), 90 if frame < CUT else 200, np.uint8)
    for colour, x in corners(frame):
        painted[60 : 60 + SIDE, x : x + SIDE] = colour
    return painted


class PaintedFaces:
    """Finds a painted face where three quarters of it are seen, in what the decoder makes of it."""

    method = Method("paint", "")

    def find(self, frame: GridFrame, *, pixel_aspect: Fraction) -> tuple[Face, ...]:
        found = []
        for colour, x in corners(frame.index):
            near = np.abs(frame.bgr.astype(int) - colour).sum(axis=2) < 120
            if near.sum() >= 0.75 * SIDE * SIDE:
                found.append(Face(frame.index, (x, 60, x + SIDE, 60 + SIDE), 0.9))
        return tuple(found)


class NearPaint(PaintedSegmenter):
    """Follows a paint that an encoder has been at: the nearest of the scene's colours counts."""

    def begin(self) -> NearPaintSegmentation:  # type: ignore[override]
        self.pictures.append(0)
        return NearPaintSegmentation(self)


class NearPaintSegmentation:
    def __init__(self, segmenter: PaintedSegmenter) -> None:
        self._inner = PaintedSegmenter.begin(segmenter)

    def push(self, seen: NDArray[np.uint8], prompts: dict[int, Box]) -> object:
        colours = np.array([RED, BLUE, (90, 90, 90), (200, 200, 200)])
        nearest = np.abs(seen[:, :, np.newaxis].astype(int) - colours).sum(axis=3).argmin(axis=2)
        return self._inner.push(colours.astype(np.uint8)[nearest], prompts)

    def forget(self, objects: Sequence[int]) -> None:
        self._inner.forget(objects)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "crossing.mp4"
    return write_video(path, [picture(frame) for frame in range(FRAMES)], sound=noise(FRAMES / 25))


def process(video: Path, out: Path, *arguments: str, masks: bool = True) -> tuple[Run, dict[str, object] | None]:
    speakers = Speakers.from_arguments([*FAST, *arguments])
    speakers.setup("cpu")
    segmenter = NearPaint() if masks else None
    speakers.stages = replace(speakers.stages, detector=PaintedFaces(), segmenter=segmenter)  # type: ignore[arg-type]
    told = speakers.process(str(video), str(out), lambda stage, share: None)
    return Run(out, []), told


def left_edges(run: Run) -> list[tuple[float, float]]:
    """Of each track's first and last box."""
    return [(track["track"]["bbox"][0][0], track["track"]["bbox"][-1][0]) for track in run.load("tracks.pckl")]


def test_faces_that_cross_keep_their_tracks_in_all_files(video: Path, tmp_path: Path) -> None:
    swapped, nothing = process(video, tmp_path / "boxes", masks=False)
    assert nothing is None
    assert [end for _, end in left_edges(swapped)[:2]] != [234.0, 26.0]
    run, _ = process(video, tmp_path / "masks")
    assert left_edges(run) == [(20.0, 234.0), (240.0, 26.0), (140.0, 140.0)]
    assert [len(track["track"]["frame"]) for track in run.load("tracks.pckl")] == [62, 62, 38]
    assert run.names("pycrop") == [f"0000{n}.{kind}" for n in range(3) for kind in ("avi", "wav")]
    assert len(run.table("tracks.csv")) == 62 + 62 + 38


def test_the_record_tells_how_many_shots_went_which_way(video: Path, tmp_path: Path) -> None:
    run, told = process(video, tmp_path / "out")
    kept = json.loads((run.out / "pywork" / "tracking.json").read_text())
    assert told == {"tracking": kept}
    assert (kept["model"], kept["when"]) == ("paint", "hard")
    assert (kept["shots"], kept["shots_by_masks"], kept["shots_by_boxes"]) == (2, 1, 1)
    assert set(kept["doubts"]) <= {"meet", "break", "jump"}
    assert 0 < kept["frames_by_masks"] < FRAMES


def test_a_second_attempt_tells_the_same_without_looking_again(video: Path, tmp_path: Path) -> None:
    first = process(video, tmp_path / "out")[1]
    (tmp_path / "out" / "transcript.json").unlink()
    assert process(video, tmp_path / "out")[1] == first


def test_files_do_not_depend_on_the_number_of_threads(video: Path, tmp_path: Path) -> None:
    one, _ = process(video, tmp_path / "one")
    two, _ = process(video, tmp_path / "two", "--threads", "2")
    for name in ("faces.pckl", "tracks.pckl", "scores.pckl", "tracks.csv", "tracking.json"):
        assert (one.out / "pywork" / name).read_bytes() == (two.out / "pywork" / name).read_bytes(), name


def test_masks_without_a_model_are_refused_with_the_way_out() -> None:
    with pytest.raises(UsageError, match="--sam2 auto"):
        read_settings(["--masks"])
    with pytest.raises(UsageError, match="--sam2 auto"):
        read_settings(["--masks", "--sam2", "tiny", "--sam2-when", "never"])


def test_masks_in_every_frame_without_a_model_are_refused_too() -> None:
    with pytest.raises(UsageError, match="--sam2 auto"):
        read_settings(["--sam2-when", "always"])
    read_settings(["--sam2-when", "never"])
