"""Faces that speak score above 0, others below, by every method; and the numbers do not depend on the pieces."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from vidfleet.errors import WeightsError
from vidfleet.speakers import active_speaker as module
from vidfleet.speakers.active_speaker import LrAsd, MouthMotion
from vidfleet.speakers.data import Span
from vidfleet.speakers.nets.lr_asd import WINDOWS_S
from vidfleet.speakers.nets.mfcc import mfcc as cepstra_of
from vidfleet.speakers.pipeline import Speakers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vidfleet.speakers.active_speaker import ActiveSpeaker, TrackScorer
    from vidfleet.speakers.nets.lr_asd import LrAsdNet

AVA = "LR-ASD_pretrain_AVA.model"


@dataclass(frozen=True)
class Samples:
    """A sound in memory."""

    values: NDArray[np.int16]

    @property
    def length_samples(self) -> int:
        return len(self.values)

    def read(self, start: int, end: int) -> NDArray[np.int16]:
        found = self.values[max(start, 0) : max(end, 0)]
        return np.pad(found, (max(-start, 0), max(end - max(start, 0) - len(found), 0)))


@pytest.fixture(params=["LrAsd", "MouthMotion"])
def method(request: pytest.FixtureRequest) -> ActiveSpeaker:
    """Every implementation; a new one is a new name here."""
    if request.param == "MouthMotion":
        return MouthMotion()
    return LrAsd(request.getfixturevalue("weights") / AVA)


def score(scorer: TrackScorer, faces: NDArray[np.uint8]) -> NDArray[np.float64]:
    for face in faces:
        scorer.push(face)
    return scorer.finish().values


def face(mouth_open: float, *, shift_px: int = 0) -> NDArray[np.uint8]:
    """A drawing: two eyes, a nose, a mouth between closed (0) and open (1)."""
    rows, columns = np.mgrid[:112, :112]

    def spot(row: float, column: float, height: float, width: float) -> NDArray[np.float64]:
        return np.asarray(np.exp(-(((rows - row) / height) ** 2) - ((columns - column) / width) ** 2))

    eyes = spot(14, 36, 5, 9) + spot(14, 76, 5, 9) + spot(36, 56, 12, 4) / 2
    drawn = 190 - 110 * eyes - 120 * spot(72, 56, 2 + 9 * mouth_open, 16)
    return np.asarray(np.roll(drawn, shift_px, axis=(0, 1)), np.uint8)


def talk(seconds: float, *, speaks: Sequence[tuple[float, float]]) -> tuple[NDArray[np.uint8], Samples]:
    """A face whose mouth opens four times a second while it speaks, and the sound that goes with it."""
    time_s = np.arange(round(seconds * 25)) / 25
    on = np.any([(time_s >= start) & (time_s < end) for start, end in speaks], axis=0)
    opening = on * (0.5 - 0.5 * np.cos(2 * np.pi * 4 * time_s))
    numbers = np.random.default_rng(7)
    sound = numbers.normal(0, 1, (len(time_s), 640)) * (20 + 4000 * opening[:, None])
    return np.array([face(value) for value in opening]), Samples(sound.reshape(-1).astype(np.int16))


def test_n_frames_give_n_minus_1_scores_rounded_to_a_tenth(method: ActiveSpeaker) -> None:
    faces, sound = talk(0.6, speaks=[(0.1, 0.5)])
    for frames in (0, 1, 2, 15):
        values = score(method.track(3, sound, [Span(0.1, 0.5)]), faces[:frames])
        assert values.shape == (max(frames - 1, 0),)
        assert values.dtype == np.float64
        np.testing.assert_allclose(values * 10, np.round(values * 10), atol=1e-9)


def test_without_sound_every_score_is_negative(method: ActiveSpeaker) -> None:
    values = score(method.track(0, None, []), talk(0.4, speaks=[(0, 1)])[0])
    assert len(values) == 9
    assert (values < 0).all()


def test_a_sound_that_ends_before_its_track_is_silence_from_there(method: ActiveSpeaker) -> None:
    faces, sound = talk(0.8, speaks=[(0.1, 0.4)])
    cut = Samples(sound.values[: 12 * 640])
    filled = Samples(np.pad(cut.values, (0, 8 * 640)))
    speech = [Span(0.1, 0.4)]
    np.testing.assert_array_equal(
        score(method.track(0, cut, speech), faces), score(method.track(0, filled, speech), faces)
    )
    assert len(score(method.track(500, cut, speech), faces)) == 19, "a track behind the sound's end"


def test_a_face_of_another_size_is_refused(method: ActiveSpeaker) -> None:
    for sound in (None, Samples(np.zeros(640, np.int16))):
        with pytest.raises(ValueError, match="instead of"):
            method.track(0, sound, []).push(np.zeros((224, 224), np.uint8))


def test_faces_may_be_overwritten_after_the_push(method: ActiveSpeaker) -> None:
    faces, sound = talk(0.4, speaks=[(0, 1)])
    speech = [Span(0.0, 0.4)]
    scorer, one = method.track(0, sound, speech), np.empty((112, 112), np.uint8)
    for each in faces:
        one[:] = each
        scorer.push(one)
    np.testing.assert_array_equal(scorer.finish().values, score(method.track(0, sound, speech), faces))


def test_the_method_is_named(method: ActiveSpeaker) -> None:
    assert method.method.is_heuristic == isinstance(method, MouthMotion)
    assert method.method.name in ("LR-ASD pretrain_AVA", "heuristic: mouth motion")


@pytest.mark.slow
def test_final_scores_equal_the_authors_own_wherever_the_track_starts(weights: Path) -> None:
    folder = Path(__file__).resolve().parents[2].parent / "shared" / "golden"
    if not folder.is_dir():
        pytest.skip("the golden values are not here: no folder ../shared/golden")
    known = np.load(folder / "grid_lbax4n_0.npz")
    # The sound of the 75 frames, behind 7 frames of something else.
    sound = Samples(np.concatenate((np.full(7 * 640, 99, np.int16), known["audio"])))
    values = score(LrAsd(weights / AVA).track(7, sound, []), known["frames"])
    np.testing.assert_allclose(values, known["ava_final"], atol=1e-6)


class WindowNet:
    """Stands for the network: a score depends on everything in its window and nothing outside."""

    def __init__(self) -> None:
        self.blocks: list[int] = []

    def score_windows(self, faces: NDArray[np.uint8], mfcc: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
        assert len(mfcc) == 4 * len(faces)
        self.blocks.append(len(faces))
        seen = faces.mean(axis=(1, 2)) + mfcc.reshape(len(faces), 52).mean(axis=1)
        return tuple(self._score(seen, 25 * length_s) for length_s in WINDOWS_S)

    def _score(self, seen: NDArray[np.float64], window: int) -> NDArray[np.float64]:
        parts = [seen[start : start + window] for start in range(0, len(seen), window)]
        return np.concatenate([np.zeros(0), *(part * len(part) - part.sum() / 2 for part in parts)])


@pytest.mark.parametrize("frames", [1, 2, 1499, 1500, 1501, 1502, 3100])
def test_a_long_track_scored_minute_by_minute_has_the_scores_of_the_whole(frames: int) -> None:
    numbers = np.random.default_rng(frames)
    faces = np.broadcast_to(numbers.integers(0, 255, (frames, 1, 1), np.uint8), (frames, 112, 112))
    start = 5
    sound = Samples(numbers.integers(-9000, 9000, (start + frames) * 640, np.int16))
    net, equal = WindowNet(), np.ones(6)
    values = score(module._LrAsdTrack(cast("LrAsdNet", net), equal, start, sound), faces)

    whole = cepstra_of(sound.values[start * 640 :])[: 4 * (frames - 1)]
    expected = np.mean(WindowNet().score_windows(faces[: frames - 1], whole), axis=0)
    np.testing.assert_allclose(values, expected, atol=0.051)
    assert max(net.blocks) <= 1500


def test_whispervideo_counts_short_windows_more() -> None:
    numbers = np.random.default_rng(4)
    faces = np.broadcast_to(numbers.integers(0, 255, (200, 1, 1), np.uint8), (200, 112, 112))
    sound = Samples(numbers.integers(-9000, 9000, 200 * 640, np.int16))
    weights = np.array(module.WEIGHTINGS["whispervideo"], float)
    values = score(module._LrAsdTrack(cast("LrAsdNet", WindowNet()), weights, 0, sound), faces)
    raw = WindowNet().score_windows(faces[:199], cepstra_of(sound.values)[: 4 * 199])
    # The authors of whisperVideo list the durations 1,1,1,2,2,2,3,3,4,5,6 and take the plain mean.
    listed = np.mean([raw[length_s - 1] for length_s in (1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 6)], axis=0)
    np.testing.assert_allclose(values, listed, atol=0.051)


def test_a_file_that_is_no_checkpoint_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "LR-ASD_x.model").write_bytes(b"no")
    with pytest.raises(WeightsError, match="LR-ASD_x"):
        LrAsd(tmp_path / "LR-ASD_x.model")


def test_a_mouth_that_moves_in_speech_speaks() -> None:
    faces, sound = talk(4, speaks=[(1, 3)])
    values = score(MouthMotion().track(0, sound, [Span(1.0, 3.0)]), faces)
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
        assert (score(MouthMotion().track(0, sound, speech), faces) < 0).all()


def test_a_mouth_that_moves_unheard_is_silent() -> None:
    faces, sound = talk(3, speaks=[(0, 3)])
    assert (score(MouthMotion().track(0, sound, []), faces) < 0).all()
    assert (score(MouthMotion().track(0, sound, [Span(10.0, 12.0)]), faces) < 0).all()


@pytest.mark.slow
def test_the_embedded_methods_are_right_on_single_talkers(media: Path, tmp_path: Path) -> None:
    """97 % of frames when measured; the truth is voice activity, which this method hears itself."""
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
