"""Who speaks when, against what is known of real clips; and memory, against the length."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from tests.speakers.films import FAST, Run, noise, process, two_shots, write_video

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Turn:
    """A stretch of speech by one face."""

    start_s: float
    end_s: float
    x: float
    """Its face's centre, in pixels."""


def turns(run: Run) -> list[Turn]:
    """When each track's scores are above 0, gaps of a fifth of a second closed."""
    found: list[Turn] = []
    for index, track in enumerate(run.load("tracks.pckl")):
        frames = track["track"]["frame"][: len(run.load("scores.pckl")[index])]
        loud = frames[run.load("scores.pckl")[index] > 0]
        for stretch in np.split(loud, np.flatnonzero(np.diff(loud) > 5) + 1) if len(loud) else []:
            centre = float(np.mean(track["proc_track"]["x"]))
            found.append(Turn(stretch[0] / 25, (stretch[-1] + 1) / 25, centre))
    return sorted(found, key=lambda turn: turn.start_s)


def full(weights: Path) -> tuple[str, ...]:
    """The networks, as they are without any option."""
    return ("--models", "full", "--weights", str(weights), "--facedetScale", "0")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_people_who_take_turns_are_told_apart(media: Path, weights: Path, tmp_path: Path) -> None:
    video = media / "grid_2people_turns_cut.mp4"
    found = process(video, tmp_path / "out", *full(weights), "--frames", "none")
    assert [row["start_frame"] for row in found.table("shots.csv")] == ["0", "150"]
    first, second, third = turns(found)
    assert (first.start_s, first.end_s) == pytest.approx((0.49, 2.21), abs=0.2)
    assert (second.start_s, second.end_s) == pytest.approx((3.5, 5.1), abs=0.2)
    assert (third.start_s, third.end_s) == pytest.approx((6.5, 8.3), abs=0.2)
    assert first.x < 640 < second.x


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_talkers_of_grid_are_right_in_97_5_percent_of_frames(media: Path, weights: Path, tmp_path: Path) -> None:
    truth = json.loads((media / "speech_truth.json").read_text())["spans"]
    right = []
    for name, spans in truth.items():
        found = process(media / name, tmp_path / name, *full(weights), "--frames", "none", "--no-annotated")
        rows = [row for row in found.table("tracks.csv") if row["score"]]
        assert {row["track"] for row in rows} == {"0"}
        for row in rows:
            middle_s = float(row["time_s"]) + 0.02
            speaks = any(start <= middle_s < end for start, end in spans)
            right.append((float(row["score"]) > 0) == speaks)
    assert len(right) == 5 * 74
    assert np.mean(right) >= 0.975


PEAK_OF = """
import resource, sys
from vidfleet.speakers.pipeline import Speakers
speakers = Speakers.from_arguments(sys.argv[3:])
speakers.setup("cpu")
speakers.process(sys.argv[1], sys.argv[2], lambda stage, share: None)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_kib(video: Path, out: Path) -> int:
    """The largest resident set of a process that does one video."""
    argv = [sys.executable, "-c", PEAK_OF, str(video), str(out), *FAST, "--facedetScale", "0.25"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    # Four times as much of shots, faces, tracks and frames; small, so that it takes seconds.
    pictures = [cv2.resize(picture, (256, 192)) for picture in two_shots(seconds=4)] * 8
    sound = noise(32)
    short = write_video(tmp_path / "short.mp4", pictures, sound=sound)
    long = write_video(tmp_path / "long.mp4", pictures * 4, sound=np.tile(sound, 4))
    assert peak_kib(long, tmp_path / "b") <= 1.2 * peak_kib(short, tmp_path / "a")
