"""What a composite's truth says is what its pictures show and its sound carries; at every rate."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest

from benchmarks.composite_sources import Library, Recording, Talker
from benchmarks.composites import FIT_SEED, RATES, TEST_SEED, Composite, CompositeSpec, make_composite, standard_set
from benchmarks.who_spoke_when import OFF_SCREEN, RULES, STEPS_PER_S, FaceTrack, decide, diarisation, true_speech
from tools.sample_clips.__main__ import CAST
from tools.sample_clips.film import Scene, Studio, Turn
from tools.sample_clips.speech import Speech
from vidfleet.speakers.faces import HaarFaces
from vidfleet.speakers.media import VideoSource, extract_sound

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of two people, and one of somebody who is never seen."""
    folder = tmp_path_factory.mktemp("stock")
    studio = Studio(CAST, Speech())
    for name, text in (("Ann", "All engines are running."), ("Bea", "The weather is clear.")):
        studio.shoot(folder / f"{name}.mp4", (Scene((name,), (Turn(name, text),)),))
    studio.shoot(folder / "Control.mp4", (Scene(("Cleo",), (Turn("Control", "We hear you."),)),))
    return folder


SPEC = CompositeSpec(
    name="talk",
    seed=3,
    people=tuple(
        Talker(name, (Recording(f"{name}.mp4", 0.0, 2.2, (320, 165, 160), text=text),))
        for name, text in (("Ann", "All engines are running."), ("Bea", "The weather is clear."))
    ),
    voices=(Talker("Control", (Recording("Control.mp4", 0.0, 1.6, None, text="We hear you."),)),),
    turns=5,
    overlaps=1,
    narrator=True,
    rate="variable",
    size=(640, 360),
)


@pytest.fixture(scope="module")
def made(stock: Path, tmp_path_factory: pytest.TempPathFactory) -> Composite:
    return make_composite(SPEC, tmp_path_factory.mktemp("made"), stock)


def test_a_composite_is_read_as_it_was_written(made: Composite) -> None:
    assert Composite.read(made.video.with_suffix(".truth.json")) == made
    assert made.persons == ("Ann", "Bea")
    assert made.voices == ("Control",)
    assert max(len(made.speaking(step / 100)) for step in range(int(made.length_s * 100))) == 2


def test_the_sound_is_loud_where_the_truth_says_that_somebody_speaks(made: Composite, tmp_path: Path) -> None:
    source = VideoSource.open(made.video)
    sound = extract_sound(made.video, tmp_path / "a.wav", zero=source.zero)
    assert sound is not None
    frames = int(made.length_s * 25) - 1
    loud = np.abs(sound.read(0, frames * 640).reshape(frames, 640)).max(axis=1) > 600
    spoken = np.array([bool(made.speaking((frame + 0.5) / 25)) for frame in range(frames)])
    assert (loud == spoken).mean() > 0.85


def test_every_cell_shows_one_face_and_cuts_are_where_the_truth_says(made: Composite) -> None:
    frames = [frame.bgr for frame in VideoSource.open(made.video).frames()]
    assert made.cuts_s
    change = [float(np.abs(a.astype(int) - b).mean()) for a, b in itertools.pairwise(frames)]
    for cut_s in made.cuts_s:
        near = range(int(cut_s * 25) - 3, int(cut_s * 25) + 4)
        # Between the last grid frame before the cut and the first one at or after it.
        assert max(near, key=lambda index: change[index]) + 1 == int(np.ceil(cut_s * 25 - 1e-6))
    source, detector = VideoSource.open(made.video), HaarFaces(scale=0, confidence=0.6)
    for frame in source.frames():
        if frame.index % 20 == 10:
            found = detector.find(frame, pixel_aspect=Fraction(1))
            persons = sorted(str(made.person_at(frame.index / 25, face.box)) for face in found)
            assert persons == sorted(each.person for each in made.seen(frame.index / 25))


def test_words_are_within_their_persons_speech_and_lie_beside_the_clip_without_names(made: Composite) -> None:
    for word in made.words:
        assert word.person in made.speaking((word.start_s + word.end_s) / 2)
        seen = {each.person for each in made.seen((word.start_s + word.end_s) / 2)}
        assert word.is_seen == (word.person in seen)
    assert {word.text for word in made.words if word.person == "Control"} == {"We", "hear", "you."}
    beside = json.loads(made.video.with_suffix(".json").read_text("utf-8"))
    times = [word["start"] for segment in beside["segments"] for word in segment["words"]]
    assert sorted(times) == [word.start_s for word in made.words]
    assert "Ann" not in made.video.with_suffix(".json").read_text("utf-8")


@pytest.mark.parametrize("rate", ["24000/1001", "50"])
def test_the_truth_is_the_same_at_every_rate_but_for_a_picture(
    made: Composite, stock: Path, tmp_path: Path, rate: str
) -> None:
    other = make_composite(replace(SPEC, rate=rate), tmp_path, stock)
    assert VideoSource.open(other.video).info.frame_rate == Fraction(rate)
    assert other.speech == made.speech
    np.testing.assert_allclose(other.cuts_s, made.cuts_s, atol=0.07)


def test_the_standard_sets_vary_all_and_share_nobody() -> None:
    fit, test = standard_set(FIT_SEED, 12), standard_set(TEST_SEED, 12)
    assert fit == standard_set(FIT_SEED, 12)
    names = [{talker.name for spec in specs for talker in (*spec.people, *spec.voices)} for specs in (fit, test)]
    assert not names[0] & names[1]
    assert {spec.rate for spec in fit} == set(RATES)
    assert {spec.faces for spec in fit} == {2, 3, 4}


def test_a_recording_is_read_once(stock: Path) -> None:
    library = Library(stock)
    recording = SPEC.people[0].recordings[0]
    assert library.footage(recording) is library.footage(recording)


def test_a_perfect_answer_has_no_error_and_each_kind_of_mistake_counts_once(made: Composite) -> None:
    steps = round(made.length_s * STEPS_PER_S)
    truth = true_speech(made, steps)
    assert diarisation(truth, truth, [])[:3] == (0, 0, 0)
    silent = {name: np.zeros(steps, bool) for name in truth}
    missed, false, confused, total = diarisation(truth, silent, [])
    assert (missed, false, confused) == (total, 0, 0)
    swapped = {"Ann": truth["Bea"], "Bea": truth["Ann"], OFF_SCREEN: truth[OFF_SCREEN]}
    missed, false, confused, _ = diarisation(truth, swapped, [])
    alone = float((truth["Ann"] ^ truth["Bea"]).sum()) / STEPS_PER_S
    assert (missed, false) == (0, 0)
    assert confused == pytest.approx(alone)


def test_of_two_faces_that_seem_to_speak_the_rule_takes_the_better_and_only_where_a_voice_is_heard() -> None:
    tracks = [FaceTrack(np.arange(50), np.zeros((50, 4)), np.full(50, value)) for value in (3.0, 0.5)]
    heard = np.arange(60) < 25
    better, worse = decide(tracks, RULES[1], heard)
    np.testing.assert_array_equal(better, heard[:50])
    assert not worse.any()
    assert all(said.all() for said in decide(tracks, RULES[0], heard))
