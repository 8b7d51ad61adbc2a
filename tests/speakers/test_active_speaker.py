"""Faces that speak score above 0, others below, by every method; and the numbers do not depend on the pieces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from tests.speakers.drawn_faces import Samples, pushed, score, talk
from vidfleet.errors import WeightsError
from vidfleet.speakers import active_speaker as module
from vidfleet.speakers.active_speaker import LrAsd, TrackScores
from vidfleet.speakers.data import Span
from vidfleet.speakers.mouth_motion import MouthMotion
from vidfleet.speakers.nets.lr_asd import WINDOWS_S
from vidfleet.speakers.nets.mfcc import mfcc as cepstra_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from vidfleet.speakers.active_speaker import ActiveSpeaker, TrackScorer
    from vidfleet.speakers.nets.lr_asd import LrAsdNet
    from vidfleet.speakers.nets.lr_asd_windows import WindowScorer

AVA = "LR-ASD_pretrain_AVA.model"


@pytest.fixture(params=["LrAsd", "MouthMotion"])
def method(request: pytest.FixtureRequest) -> ActiveSpeaker:
    """Every implementation; a new one is a new name here."""
    if request.param == "MouthMotion":
        return MouthMotion()
    return LrAsd(request.getfixturevalue("weights") / AVA)


def test_n_frames_give_n_minus_1_scores_rounded_to_a_tenth(method: ActiveSpeaker) -> None:
    faces, sound = talk(0.6, speaks=[(0.1, 0.5)])
    for frames in (0, 1, 2, 15):
        values = score(method, faces[:frames], sound=sound, speech=[Span(0.1, 0.5)], start=3)
        assert values.shape == (max(frames - 1, 0),)
        assert values.dtype == np.float64
        np.testing.assert_allclose(values * 10, np.round(values * 10), atol=1e-9)


def test_without_sound_every_score_is_negative(method: ActiveSpeaker) -> None:
    values = score(method, talk(0.4, speaks=[(0, 1)])[0], sound=None)
    assert len(values) == 9
    assert (values < 0).all()


def test_a_sound_that_ends_before_its_track_is_silence_from_there(method: ActiveSpeaker) -> None:
    faces, sound = talk(0.8, speaks=[(0.1, 0.4)])
    cut = Samples(sound.values[: 12 * 640])
    filled = Samples(np.pad(cut.values, (0, 8 * 640)))
    speech = [Span(0.1, 0.4)]
    np.testing.assert_array_equal(
        score(method, faces, sound=cut, speech=speech),
        score(method, faces, sound=filled, speech=speech),
    )
    assert len(score(method, faces, sound=cut, speech=speech, start=500)) == 19, "a track behind the sound's end"


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
    values = method.settle([TrackScores(0, scorer.finish())])[0].values
    np.testing.assert_array_equal(values, score(method, faces, sound=sound, speech=speech))


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
    values = score(LrAsd(weights / AVA), known["frames"], sound=sound, start=7)
    np.testing.assert_allclose(values, known["ava_final"], atol=1e-6)


class WindowMeans:
    """Stands for the network: a score depends on everything in its window and nothing outside."""

    def __init__(self) -> None:
        self.seen = 0
        self._faces: list[NDArray[Any]] = []

    def see(self, faces: NDArray[np.uint8]) -> None:
        assert len(faces) == 25
        self._take(faces)

    def finish(self, faces: NDArray[np.uint8], mfcc: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
        self._take(faces)
        assert len(mfcc) == 4 * self.seen
        seen = np.concatenate(self._faces) + mfcc.reshape(self.seen, 52).mean(axis=1)
        return tuple(self._score(seen, 25 * length_s) for length_s in WINDOWS_S)

    def _take(self, faces: NDArray[np.uint8]) -> None:
        self.seen += len(faces)
        self._faces.append(faces.mean(axis=(1, 2)))

    def _score(self, seen: NDArray[np.float64], window: int) -> NDArray[np.float64]:
        parts = [seen[start : start + window] for start in range(0, len(seen), window)]
        return np.concatenate([np.zeros(0), *(part * len(part) - part.sum() / 2 for part in parts)])


def one_by_one() -> module._Seconds:
    return module._Seconds(cast("LrAsdNet", None), tracks=1)


@pytest.mark.parametrize("frames", [1, 2, 1499, 1500, 1501, 1502, 3100])
def test_a_long_track_scored_minute_by_minute_has_the_scores_of_the_whole(frames: int) -> None:
    numbers = np.random.default_rng(frames)
    faces = np.broadcast_to(numbers.integers(0, 255, (frames, 1, 1), np.uint8), (frames, 112, 112))
    start = 5
    sound = Samples(numbers.integers(-9000, 9000, (start + frames) * 640, np.int16))
    begun: list[WindowMeans] = []

    def begin() -> WindowScorer:
        begun.append(WindowMeans())
        return cast("WindowScorer", begun[-1])

    values = pushed(module._LrAsdTrack(begin, np.ones(6), start, sound, seconds=one_by_one()), faces).values

    whole = cepstra_of(sound.values[start * 640 :])[: 4 * (frames - 1)]
    expected = np.mean(WindowMeans().finish(faces[: frames - 1], whole), axis=0)
    np.testing.assert_allclose(values, expected, atol=0.051)
    assert max(each.seen for each in begun) <= 1500


def test_whispervideo_counts_short_windows_more() -> None:
    numbers = np.random.default_rng(4)
    faces = np.broadcast_to(numbers.integers(0, 255, (200, 1, 1), np.uint8), (200, 112, 112))
    sound = Samples(numbers.integers(-9000, 9000, 200 * 640, np.int16))
    weights = np.array(module.WEIGHTINGS["whispervideo"], float)
    begin = cast("Callable[[], WindowScorer]", WindowMeans)
    values = pushed(module._LrAsdTrack(begin, weights, 0, sound, seconds=one_by_one()), faces).values
    raw = WindowMeans().finish(faces[:199], cepstra_of(sound.values)[: 4 * 199])
    # The authors of whisperVideo list the durations 1,1,1,2,2,2,3,3,4,5,6 and take the plain mean.
    listed = np.mean([raw[length_s - 1] for length_s in (1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 6)], axis=0)
    np.testing.assert_allclose(values, listed, atol=0.051)


@pytest.mark.slow
def test_tracks_that_are_scored_together_have_the_scores_of_each_alone(weights: Path) -> None:
    faces, sound = talk(3.4, speaks=[(0.3, 1.1), (1.9, 3.0)])
    ends = {0: 60, 4: 85, 8: 84, 31: 80, 40: 50}  # first frame and one past the last, of tracks that overlap

    def all_scores(batch: int) -> dict[int, list[float]]:
        method, found = LrAsd(weights / AVA, batch=batch), {}
        open_tracks: dict[int, TrackScorer] = {}
        for frame, face in enumerate(faces):
            for start in [start for start in open_tracks if ends[start] == frame]:
                found[start] = open_tracks.pop(start).finish().values.tolist()
            if frame in ends:
                open_tracks[frame] = method.track(frame, sound, [])
            for scorer in open_tracks.values():
                scorer.push(face)
        return {**found, **{start: scorer.finish().values.tolist() for start, scorer in open_tracks.items()}}

    alone = all_scores(1)
    assert {start: len(scores) for start, scores in alone.items()} == {s: e - s - 1 for s, e in ends.items()}
    assert all_scores(2) == all_scores(16) == alone


def test_a_file_that_is_no_checkpoint_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "LR-ASD_x.model").write_bytes(b"no")
    with pytest.raises(WeightsError, match="LR-ASD_x"):
        LrAsd(tmp_path / "LR-ASD_x.model")
