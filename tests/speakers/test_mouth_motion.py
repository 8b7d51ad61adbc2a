"""The embedded active speaker: a mouth that goes with the voice speaks, and of several the one that does so best."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from tests.speakers.drawn_faces import Samples, face, pushed, score, talk
from vidfleet.speakers.active_speaker import TrackScores
from vidfleet.speakers.data import Scores, Span
from vidfleet.speakers.mouth_motion import MouthMotion
from vidfleet.speakers.pipeline import Speakers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray


def test_a_mouth_that_moves_in_speech_speaks() -> None:
    faces, sound = talk(4, speaks=[(1, 3)])
    values = score(MouthMotion(), faces, sound=sound, speech=[Span(1.0, 3.0)])
    said = np.flatnonzero(values > 0) / 25
    assert said.min() == pytest.approx(1.0, abs=0.2)
    assert said.max() == pytest.approx(3.0, abs=0.2)


def test_a_still_mouth_is_silent_while_another_speaks() -> None:
    _, sound = talk(4, speaks=[(1, 3)])
    speech = [Span(1.0, 3.0)]
    numbers = np.random.default_rng(1)
    still = np.repeat(face(0.2)[None], 100, axis=0)
    noisy = np.clip(still + numbers.normal(0, 3, still.shape), 0, 255).astype(np.uint8)
    shaken = np.array([face(0.2, shift_px=int(shift)) for shift in numbers.integers(-1, 2, 100)])
    flat = np.full((100, 112, 112), 110, np.uint8)
    for faces in (still, noisy, shaken, flat):
        assert (score(MouthMotion(), faces, sound=sound, speech=speech) < 0).all()


def test_a_mouth_that_moves_unheard_is_silent() -> None:
    faces, sound = talk(3, speaks=[(0, 3)])
    assert (score(MouthMotion(), faces, sound=sound) < 0).all()
    assert (score(MouthMotion(), faces, sound=sound, speech=[Span(10.0, 12.0)]) < 0).all()


def chews(seconds: float) -> NDArray[np.uint8]:
    """A mouth that opens and closes as it likes, to no voice."""
    wanted = np.random.default_rng(5).normal(0, 1, round(seconds * 25) + 8)
    opening = np.clip(0.4 + np.convolve(wanted, np.hanning(11)[1:-1] / 3, mode="valid"), 0, 1)
    return np.array([face(float(value)) for value in opening])


def leaning(faces: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same faces on a head that is never still."""
    moved = []
    for index, each in enumerate(faces):
        matrix = cv2.getRotationMatrix2D((56, 60), 3 * np.sin(index / 9), 1 + 0.03 * np.sin(index / 14))
        matrix[:, 2] += (2 * np.sin(index / 7), 1.5 * np.sin(index / 5))
        moved.append(cv2.warpAffine(each, matrix, (112, 112), borderMode=cv2.BORDER_REPLICATE))
    return np.array(moved, np.uint8)


def together(faces: Sequence[NDArray[np.uint8]], sound: Samples, speech: Sequence[Span]) -> list[NDArray[np.float64]]:
    """The scores of faces that are in one shot from its begin to its end."""
    method = MouthMotion()
    tracks = [TrackScores(0, pushed(method.track(0, sound, speech), each)) for each in faces]
    return [scores.values for scores in method.settle(tracks)]


def test_who_listens_with_a_moving_mouth_loses_to_who_speaks() -> None:
    speaks, sound = talk(6, speaks=[(0.5, 5.5)])
    speaker, listener = together([speaks, chews(6)], sound, [Span(0.5, 5.5)])
    inside = slice(25, 125)
    assert (speaker[inside] > 0).mean() > 0.95
    alone = score(MouthMotion(), chews(6), sound=sound, speech=[Span(0.5, 5.5)])
    assert (listener[inside] > 0).mean() < min(0.2, (alone[inside] > 0).mean())
    assert (listener[inside] < speaker[inside]).all()


def test_the_order_of_the_faces_does_not_matter() -> None:
    speaks, sound = talk(4, speaks=[(0.5, 3.5)])
    faces, speech = [speaks, chews(4), leaning(speaks)], [Span(0.5, 3.5)]
    straight, back = together(faces, sound, speech), together(faces[::-1], sound, speech)
    for first, second in zip(straight, back[::-1], strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_head_that_leans_and_nods_does_not_speak_and_may_speak() -> None:
    faces, sound = talk(5, speaks=[(1, 4)])
    speech = [Span(1.0, 4.0)]
    still = np.repeat(face(0.1)[None], 125, axis=0)
    assert (score(MouthMotion(), leaning(still), sound=sound, speech=speech) < 0).all()
    values = score(MouthMotion(), leaning(faces), sound=sound, speech=speech)
    assert (values[30:95] > 0).mean() > 0.95


@pytest.mark.parametrize("late_frames", [-4, 4])
def test_sound_may_be_a_little_early_or_late(late_frames: int) -> None:
    faces, sound = talk(5, speaks=[(1, 4)])
    moved = Samples(np.roll(sound.values, late_frames * 640))
    span = Span(1.0 + late_frames / 25, 4.0 + late_frames / 25)
    np.testing.assert_allclose(
        score(MouthMotion(), faces, sound=moved, speech=[span])[35:90],
        score(MouthMotion(), faces, sound=sound, speech=[Span(1.0, 4.0)])[35:90],
        atol=0.5,
    )


def final(*evidence: float) -> list[float]:
    """Scores of faces with so much evidence each, all in one frame."""
    tracks = [TrackScores(7, Scores(np.array([value]))) for value in evidence]
    return [float(scores.values[0]) for scores in MouthMotion().settle(tracks)]


def test_a_face_alone_keeps_its_evidence_and_a_voice_alone_makes_no_face_a_speaker() -> None:
    assert final(1.5) == [1.5]
    assert all(score < 0 for score in final(-0.5, -0.3, -1.0))


def test_two_may_speak_at_once_but_a_weak_rival_does_not() -> None:
    assert all(score > 0 for score in final(4.0, 4.0))
    strong, weak = final(4.0, 0.5)
    assert strong > 0 > weak


def test_faces_that_are_never_seen_together_do_not_compete() -> None:
    first, second = (TrackScores(start, Scores(np.full(10, 2.0))) for start in (0, 10))
    for scores in MouthMotion().settle([first, second]):
        np.testing.assert_array_equal(scores.values, np.full(10, 2.0))
    assert list(MouthMotion().settle([])) == []


def test_nobody_speaks_better_by_evidence_that_cannot_be_counted() -> None:
    values = final(10.0, 10.0, -10.0)
    assert values[0] == values[1] > 0
    assert values[2] < 0
    assert np.isfinite(values).all()


@pytest.mark.slow
def test_the_embedded_methods_are_right_on_single_talkers(media: Path, tmp_path: Path) -> None:
    """98 % of frames when measured; the truth is voice activity, which this method hears itself."""
    wanted = ["--models", "embedded", "--frames", "none", "--no-crops", "--no-annotated"]
    speakers = Speakers.from_arguments(wanted)
    speakers.setup("cpu")
    right = []
    for clip, ((start_s, end_s),) in json.loads((media / "speech_truth.json").read_text("utf-8"))["spans"].items():
        speakers.process(str(media / clip), str(tmp_path / clip), lambda _stage, _share: None)
        with (tmp_path / clip / "pywork" / "tracks.csv").open(encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["score"]]
        assert len(rows) == 74
        right += [(float(row["score"]) > 0) == (start_s <= float(row["time_s"]) + 0.02 < end_s) for row in rows]
    assert np.mean(right) >= 0.95
