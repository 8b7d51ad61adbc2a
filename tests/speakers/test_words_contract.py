"""What every source of words promises."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.support.sounds import Hum, Samples, silence, tone
from tests.support.tiny_whisper import make_whisper
from vidfleet.speakers.data import Span, Transcript
from vidfleet.speakers.hub import ModelFiles
from vidfleet.speakers.words.base import NoWords, Transcriber
from vidfleet.speakers.words.sidecar import SidecarWords
from vidfleet.speakers.words.sphinx import Sphinx
from vidfleet.speakers.words.whisper import Whisper

if TYPE_CHECKING:
    from pathlib import Path

SUBTITLES = "\n\n".join(
    f"{number}\n00:00:{start:02},000 --> 00:00:{start + 2:02},500\n- What is it?\n- <i>Nothing at all.</i>"
    for number, start in enumerate((1, 4, 8), start=1)
)
GRAMMAR = "#JSGF V1.0;\ngrammar hum;\npublic <said> = (yes | no | please)+;\n"


def a_whisper(folder: Path) -> Transcriber:
    return Whisper(ModelFiles("tiny", make_whisper(folder / "model")))


def a_sphinx(folder: Path) -> Transcriber:
    pytest.importorskip("pocketsphinx")
    (folder / "yes.jsgf").write_text(GRAMMAR)
    return Sphinx(grammar=folder / "yes.jsgf")


def a_sidecar(folder: Path) -> Transcriber:
    (folder / "film.srt").write_text(SUBTITLES)
    return SidecarWords(folder / "film.mp4", zero=Fraction(0))


def no_sidecar(folder: Path) -> Transcriber:
    (folder / "film.srt").write_bytes(b"\0\1\2 no subtitle")
    return SidecarWords(folder / "film.mp4", zero=Fraction(0))


def no_words(folder: Path) -> Transcriber:
    return NoWords()


MAKERS = (a_whisper, a_sphinx, a_sidecar, no_sidecar, no_words)


@pytest.fixture(params=MAKERS, ids=lambda make: make.__name__)
def transcriber(request: pytest.FixtureRequest, tmp_path: Path) -> Transcriber:
    made: Transcriber = request.param(tmp_path)
    return made


SPEECH = (Span(0.9, 3.6), Span(4.1, 6.3), Span(8.0, 11.0))


def film() -> Samples:
    parts = (silence(0.9), tone(300, 2.7), silence(0.5), tone(300, 2.2), silence(1.7), tone(300, 3), silence(1))
    return Samples(np.concatenate(parts))


def test_words_come_in_order_within_the_film_and_make_up_their_sentences(transcriber: Transcriber) -> None:
    sound = film()
    found = transcriber.transcribe(sound, SPEECH)
    words = [word for sentence in found.sentences for word in sentence.words]
    assert bool(words) == bool(found.sentences)
    assert [word.start_s for word in words] == sorted(word.start_s for word in words)
    for word in words:
        assert word.text == word.text.strip() != ""
        assert 0 <= word.start_s < word.end_s <= sound.length_samples / 16_000
        assert 0 <= word.score <= 1
    for sentence in found.sentences:
        assert sentence.text == " ".join(word.text for word in sentence.words)
        assert sentence.start_s == sentence.words[0].start_s
        assert sentence.end_s == max(word.end_s for word in sentence.words)
    assert found.times in {"recognised", "spread"}


def test_words_lie_in_speech_give_or_take_a_fifth_of_a_second(transcriber: Transcriber) -> None:
    for sentence in transcriber.transcribe(film(), SPEECH).sentences:
        for word in sentence.words:
            near = [s for s in SPEECH if word.start_s >= s.start_s - 0.2001 and word.end_s <= s.end_s + 0.2001]
            assert near, f"{word.start_s}..{word.end_s} is in none of {SPEECH}"


def test_a_film_without_sound_and_one_without_speech_are_no_errors(transcriber: Transcriber) -> None:
    for found in (
        transcriber.transcribe(None, ()),
        transcriber.transcribe(Samples(silence(0)), ()),
        transcriber.transcribe(Samples(silence(20)), ()),
    ):
        assert isinstance(found, Transcript)
        assert not isinstance(transcriber, Whisper | Sphinx) or found.sentences == ()


def test_a_film_leaves_nothing_behind_for_the_next(transcriber: Transcriber) -> None:
    first = transcriber.transcribe(film(), SPEECH)
    transcriber.transcribe(Samples(tone(4000, 5)), (Span(0, 5),))
    assert transcriber.transcribe(film(), SPEECH) == first


def test_a_long_film_is_read_in_slices(transcriber: Transcriber) -> None:
    """Ten minutes of which a tenth is speech, one speech longer than a minute."""
    sound = Hum(600)
    transcriber.transcribe(sound, (Span(3, 70), *(Span(float(s), s + 1.0) for s in range(80, 600, 60))))
    assert sound.largest <= 30 * 16_000


def test_the_method_has_a_name_and_networks_a_checksum(transcriber: Transcriber) -> None:
    assert transcriber.method.name
    assert len(transcriber.method.sha256) == (64 if isinstance(transcriber, Whisper | Sphinx) else 0)


def test_no_spoken_word_is_told_to_anybody(
    transcriber: Transcriber, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    found = transcriber.transcribe(film(), SPEECH)
    said = {word.text.strip(".,?!").lower() for sentence in found.sentences for word in sentence.words}
    told = (caplog.text + "".join(capfd.readouterr())).lower().split()
    assert not said & set(told)
