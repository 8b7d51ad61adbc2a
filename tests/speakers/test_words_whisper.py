"""Whisper's words come at their times, in the language of each region, and only where somebody speaks.

The model is tests/support/tiny_whisper.py's: real files through the real loading and running code.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.support.sounds import Samples, silence, tone
from tests.support.tiny_whisper import FIRST_WORD_S, WORD_EVERY_S, make_whisper
from vidfleet.errors import SetupError
from vidfleet.speakers.data import Span, Transcript
from vidfleet.speakers.hub import ModelFiles
from vidfleet.speakers.words.whisper import Whisper, whisper_method

if TYPE_CHECKING:
    from pathlib import Path

LOW_HZ, HIGH_HZ = 300, 4000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_whisper(tmp_path_factory.mktemp("whisper") / "tiny")


@pytest.fixture(scope="module")
def whisper(folder: Path) -> Whisper:
    return Whisper(ModelFiles("tiny", folder))


def hear(whisper: Whisper, *stretches: tuple[float, float, int]) -> Transcript:
    """What is heard in a film with tones (start, end, frequency) for speech."""
    parts, at_s = [], 0.0
    for start_s, end_s, frequency_hz in stretches:
        parts += [silence(start_s - at_s), tone(frequency_hz, end_s - start_s)]
        at_s = end_s
    sound = Samples(np.concatenate([*parts, silence(3)]))
    return whisper.transcribe(sound, tuple(Span(start_s, end_s) for start_s, end_s, _ in stretches))


def test_words_come_at_their_times_on_the_films_clock(whisper: Whisper) -> None:
    found = hear(whisper, (7.0, 13.0, LOW_HZ))
    assert [sentence.text for sentence in found.sentences] == ["well, this is spoken.", "so is that."]
    assert found.source == "faster-whisper tiny"
    assert found.times == "recognised"
    middles_s = [(word.start_s + word.end_s) / 2 for sentence in found.sentences for word in sentence.words]
    # Region start 6.8; "well" is the first token, "," the second, "this" the third ...
    expected_s = [6.8 + FIRST_WORD_S + WORD_EVERY_S * token for token in (0, 2, 3, 4, 6, 7, 8)]
    assert middles_s == pytest.approx(expected_s, abs=0.1)


def test_each_region_is_heard_in_its_own_language(whisper: Whisper) -> None:
    found = hear(whisper, (1, 9, LOW_HZ), (15, 23, HIGH_HZ), (29, 37, LOW_HZ))
    assert [(s.language, round(s.start_s)) for s in found.sentences] == [
        ("en", 1), ("en", 3), ("de", 15), ("de", 17), ("en", 29), ("en", 31),
    ]  # fmt: skip


def test_a_region_too_short_to_tell_is_taken_to_be_in_the_films_language(whisper: Whisper) -> None:
    assert {s.language for s in hear(whisper, (1, 20, LOW_HZ), (25, 25.3, HIGH_HZ)).sentences} == {"en"}
    alone = hear(whisper, (1, 1.3, LOW_HZ), (25, 45, HIGH_HZ))
    assert {s.language for s in alone.sentences} == {"de"}, "those heard in one batch decide together"


def test_words_in_a_pause_are_dropped(whisper: Whisper) -> None:
    """The model says a word each 0.4 s, whatever it hears."""
    found = hear(whisper, (5.0, 5.6, LOW_HZ), (7.5, 9.0, LOW_HZ))
    assert [sentence.text for sentence in found.sentences] == ["well, this", "so is that."]
    assert found.sentences[0].end_s == pytest.approx(5.8), "cut where the pause begins"
    assert found.sentences[1].start_s == pytest.approx(7.3), "and where it ends"


def test_nothing_is_run_where_nobody_speaks(whisper: Whisper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whisper, "_model", None)
    assert whisper.transcribe(Samples(tone(LOW_HZ, 60)), ()).sentences == ()


def test_a_sentence_goes_on_over_a_cut_through_long_speech(whisper: Whisper) -> None:
    found = hear(whisper, (0, 50, LOW_HZ))
    starts_s = [word.start_s for sentence in found.sentences for word in sentence.words]
    assert starts_s == sorted(starts_s)
    assert 10 < len(starts_s) <= 14, "both regions are heard, and what both hear counts once"


def test_the_language_can_be_said(folder: Path) -> None:
    german = Whisper(ModelFiles("tiny", folder), language="de")
    assert {sentence.language for sentence in hear(german, (1, 9, LOW_HZ)).sentences} == {"de"}
    with pytest.raises(SetupError, match=r"does not know the language tlh"):
        Whisper(ModelFiles("tiny", folder), language="tlh")


def test_a_model_of_english_alone_works(tmp_path: Path) -> None:
    english = Whisper(ModelFiles("tiny.en", make_whisper(tmp_path / "en", multilingual=False)))
    found = hear(english, (7.0, 13.0, HIGH_HZ))
    assert [(sentence.language, sentence.text) for sentence in found.sentences] == [
        ("en", "well, this is spoken."),
        ("en", "so is that."),
    ]


def test_a_circle_is_broken_or_thrown_out(tmp_path: Path) -> None:
    """Forty times the same word is Whisper gone wrong; forbidden to repeat itself the model says something else."""
    circle = Whisper(ModelFiles("circle", make_whisper(tmp_path / "circle", words=("round",) * 40)))
    found = hear(circle, (1, 21, LOW_HZ))
    words = [word.text for sentence in found.sentences for word in sentence.words]
    assert words.count("round") < 10


def test_a_batch_may_hold_regions_without_a_word(tmp_path: Path) -> None:
    silent = Whisper(ModelFiles("silent", make_whisper(tmp_path / "silent", words=())))
    assert hear(silent, (1, 9, LOW_HZ), (15, 23, HIGH_HZ), (29, 37, LOW_HZ)).sentences == ()


def test_the_record_names_the_model_its_revision_and_its_checksum(folder: Path) -> None:
    method = whisper_method(ModelFiles("small", folder, "Systran/faster-whisper-small", "0123abc"))
    assert method.name == "faster-whisper small (Systran/faster-whisper-small@0123abc)"
    assert len(method.sha256) == 64


def test_a_broken_model_stops_the_run_with_what_to_do(tmp_path: Path) -> None:
    broken = make_whisper(tmp_path / "broken")
    (broken / "model.bin").write_bytes((broken / "model.bin").read_bytes()[:1000])
    with pytest.raises(SetupError, match=r"(?s)broken cannot be loaded on the CPU: .*--whisper"):
        Whisper(ModelFiles("broken", broken))
    (broken / "config.json").write_text(json.dumps({"no": "model"}))
    with pytest.raises(SetupError, match=r"cannot be loaded"):
        Whisper(ModelFiles("broken", broken))


def test_one_region_is_heard_as_faster_whisper_itself_hears_it(folder: Path, whisper: Whisper) -> None:
    """Its pipeline and this one are put together of the same parts, and must stay alike."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    sound = np.concatenate([silence(1), tone(LOW_HZ, 8), silence(1)])
    theirs, _ = BatchedInferencePipeline(WhisperModel(str(folder), compute_type="int8", device="cpu")).transcribe(
        sound.astype(np.float32) / 32768,
        clip_timestamps=[{"start": 0.8, "end": 9.2}],
        word_timestamps=True,
        language="en",
    )
    expected = [(w.word.strip(), float(w.start), float(w.end)) for segment in theirs for w in segment.words or ()]
    ours = [w for s in whisper.transcribe(Samples(sound), (Span(1, 9),)).sentences for w in s.words]
    assert [w.text for w in ours] == [text for text, _, _ in expected]
    assert [w.start_s for w in ours] == pytest.approx([start_s for _, start_s, _ in expected], abs=0.05)
    assert [w.end_s for w in ours] == pytest.approx([end_s for _, _, end_s in expected], abs=0.05)


def test_where_there_is_no_gpu_the_cpu_does_it(folder: Path) -> None:
    import ctranslate2

    if ctranslate2.get_cuda_device_count():
        pytest.skip("this machine has a GPU")
    assert hear(Whisper(ModelFiles("tiny", folder), device="cuda"), (1, 9, LOW_HZ)).sentences
