"""Subtitles are read as people write them, beside a video or in it, and broken ones harm nobody."""

from __future__ import annotations

import io
import json
import os
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
from av.stream import Disposition

from tests.support.sounds import Samples, silence
from vidfleet.errors import BadInputError
from vidfleet.speakers.data import Span, Transcript
from vidfleet.speakers.media import VideoSource
from vidfleet.speakers.words import subtitles
from vidfleet.speakers.words.cues import Cue, plain_texts, sentences_of
from vidfleet.speakers.words.sidecar import SidecarWords
from vidfleet.speakers.words.subtitles import decode_text, read_file

if TYPE_CHECKING:
    from pathlib import Path

CAFE = "1\n00:00:01,000 --> 00:00:02,500\nTwo cafés, <i>déjà vu</i>\n\n2\n00:00:03,000 --> 00:00:04,000\nBye\n"
HUGE = 2000
"""So often a pattern's first character is written to see whether it takes for ever."""


def texts(path: Path) -> list[tuple[float, float, str]]:
    return [(cue.start_s, cue.end_s, " / ".join(plain_texts(cue.text))) for cue in read_file(path)]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(CAFE.encode(), id="utf-8"),
        pytest.param(CAFE.encode("utf-8-sig"), id="utf-8 with mark"),
        pytest.param(CAFE.encode("utf-16"), id="utf-16 little"),
        pytest.param(b"\xfe\xff" + CAFE.encode("utf-16-be"), id="utf-16 big"),
        pytest.param(CAFE.encode("cp1252"), id="windows"),
        pytest.param(CAFE.replace("\n", "\r\n").encode(), id="windows lines"),
        pytest.param(CAFE.replace(",000", ".000").encode(), id="points"),
        pytest.param(CAFE.replace("1\n", "").replace("2\n", "").encode(), id="no numbers"),
        pytest.param(CAFE.replace("vu", "v\0u").encode(), id="a NUL"),
    ],
)
def test_an_srt_file_is_read_in_any_dress(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "film.srt").write_bytes(data)
    assert texts(tmp_path / "film.srt") == [(1.0, 2.5, "Two cafés, déjà vu"), (3.0, 4.0, "Bye")]


def test_one_damaged_byte_does_not_make_utf_8_something_else() -> None:
    assert decode_text("déjà vu, été".encode() + b"\xff") == "déjà vu, été\ufffd"


def test_a_vtt_file_is_read_with_its_voices_and_notes(tmp_path: Path) -> None:
    path = tmp_path / "film.vtt"
    path.write_text(
        "WEBVTT\n\nNOTE not said\n\nSTYLE\n::cue { color: red }\n\n00:01.000 --> 00:02.500 align:start\n"
        "<v Bob>Two <00:01.500><c.loud>&amp; three</c></v>\n\nintro\n00:03.000 --> 00:04.000\nBye\n"
    )
    assert texts(path) == [(1.0, 2.5, "Two & three"), (3.0, 4.0, "Bye")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{\\an8}Up <b>here</b>", ["Up here"]),
        ("- Who?\n- Me.", ["Who?", "Me."]),
        ("- Who\nis it?", ["Who is it?"]),
        (">> Who? \\N>> Me.", ["Who?", "Me."]),
        ("♪ la la ♪", ["la la"]),
        ("♪", []),
        ("[door slams] Hey! (sighs)", ["Hey!"]),
        ("JOHN SMITH: Hello there", ["Hello there"]),
        ("It was 5:30 in NASA: yes", ["It was 5:30 in NASA: yes"]),
        ("{\\p1}m 0 0 l 10 10{\\p0}Text", ["Text"]),
        ("Tom &amp; Ann", ["Tom & Ann"]),
        ("...", []),
        ("x" * 5000, []),
        *[(mark * HUGE, []) for mark in "{<[(-\\&"],
    ],
)
def test_what_is_not_said_is_left_out(text: str, said: list[str]) -> None:
    assert plain_texts(text) == said


def spread(cue: Cue, *speech: tuple[float, float]) -> list[tuple[str, float, float]]:
    found = sentences_of([cue], [Span(*each) for each in speech])
    return [(w.text, round(w.start_s, 3), round(w.end_s, 3)) for s in found for w in s.words]


def test_a_cues_time_is_shared_out_by_the_words_lengths() -> None:
    assert spread(Cue("a bc def", 0.0, 9.0)) == [("a", 0, 2), ("bc", 2, 5), ("def", 5, 9)]


def test_words_lie_in_the_speech_within_the_cue() -> None:
    assert spread(Cue("a b c d", 0.0, 10.0), (1, 2), (8, 9)) == [
        ("a", 1, 1.5), ("b", 1.5, 2), ("c", 8, 8.5), ("d", 8.5, 9),
    ]  # fmt: skip
    assert spread(Cue("a bcd", 0.0, 10.0), (1, 2), (8, 9)) == [("a", 1, 1.667), ("bcd", 8, 9)], "none in two spans"
    assert spread(Cue("a b", 5.0, 6.0), (0, 20)) == [("a", 5, 5.5), ("b", 5.5, 6)]


def test_a_cue_without_speech_or_with_too_little_for_its_words_keeps_its_time() -> None:
    assert spread(Cue("a b", 5.0, 6.0), (0, 4)) == [("a", 5, 5.5), ("b", 5.5, 6)]
    assert spread(Cue("twenty letters, twice", 5.0, 6.0), (0, 5.01))[0][1] == 5


def test_two_speakers_in_a_cue_are_two_sentences() -> None:
    found = sentences_of([Cue("- abc\n- def", 0.0, 8.0)], ())
    assert [(s.text, s.start_s, s.end_s) for s in found] == [("abc", 0, 4), ("def", 4, 8)]


def heard(folder: Path, *, zero: Fraction = Fraction(0), seconds: float = 20) -> tuple[Transcript, list[str]]:
    notices: list[str] = []
    words = SidecarWords(folder / "film.mkv", zero=zero, notice=notices.append)
    return words.transcribe(Samples(silence(seconds)), ()), notices


def srt(*cues: tuple[float, float, str]) -> str:
    lines = (f"00:00:{a:06.3f} --> 00:00:{b:06.3f}\n{text}\n".replace(".", ",", 2) for a, b, text in cues)
    return "\n".join(f"{number}\n{line}" for number, line in enumerate(lines, start=1))


def film(folder: Path, tracks: list[tuple[str, Disposition, str]], *, starts_s: int = 0) -> None:
    """A video with SubRip streams (language, disposition, SRT file), which starts at ``starts_s`` of its clock."""
    with av.open(folder / "film.mkv", "w") as container:
        pictures = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        pictures.width = pictures.height = 64
        pictures.pix_fmt = "yuv420p"
        inputs = []
        for language, disposition, text in tracks:
            source = av.open(io.BytesIO(text.encode()), "r", format="srt")
            stream = container.add_stream_from_template(source.streams.subtitles[0])
            stream.metadata["language"], stream.disposition = language, disposition
            inputs.append((source, stream))
        for number in range(50):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), number, np.uint8), format="bgr24")
            frame.pts, frame.time_base = number + 25 * starts_s, Fraction(1, 25)
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode(None))
        for source, stream in inputs:
            for packet in source.demux():
                if packet.size:
                    packet.stream = stream
                    packet.pts = packet.dts = (packet.pts or 0) + 1000 * starts_s
                    container.mux(packet)
            source.close()


def test_the_stream_that_players_show_is_taken_on_the_films_clock(tmp_path: Path) -> None:
    signs = ("eng", Disposition.forced, srt((1, 2, "EXIT")))
    other = ("ger", Disposition(0), srt((1, 2, "Hallo")))
    shown = ("fre", Disposition.default, srt((1, 2, "Bonjour <i>toi</i>"), (2.5, 3, "Adieu")))
    film(tmp_path, [signs, other, shown], starts_s=7)
    found, notices = heard(tmp_path, zero=VideoSource.open(tmp_path / "film.mkv").zero)
    assert [(s.text, s.start_s, s.end_s, s.language) for s in found.sentences] == [
        ("Bonjour toi", 1.0, 2.0, "fr"),
        ("Adieu", 2.5, 3.0, "fr"),
    ]
    assert (found.source, found.times, notices) == ("subtitle stream 3", "spread", [])


def test_a_file_beside_goes_before_a_stream_and_a_stream_before_nothing(tmp_path: Path) -> None:
    film(tmp_path, [("eng", Disposition.default, srt((1, 2, "stream")))])
    assert heard(tmp_path)[0].source == "subtitle stream 1"
    (tmp_path / "film.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nvtt\n")
    assert heard(tmp_path)[0].source == "film.vtt"
    (tmp_path / "film.srt").write_text(srt((1, 2, "srt")))
    assert heard(tmp_path)[0].source == "film.srt"
    (tmp_path / "film.json").write_text('[{"start": 1, "end": 2, "text": "json"}]')
    assert heard(tmp_path)[0].source == "film.json"


def test_a_video_without_any_has_no_words(tmp_path: Path) -> None:
    film(tmp_path, [])
    assert heard(tmp_path) == (Transcript((), ""), [])


def test_pictures_of_text_are_passed_over(media: Path) -> None:
    clip = media / "torchcodec_nasa_13013.mp4"
    words = SidecarWords(clip, zero=VideoSource.open(clip).zero).transcribe(None, ())
    assert (words.source, words.sentences[0].language, len(words.sentences)) == ("subtitle stream 2", "en", 4)
    assert words.sentences[0].start_s == pytest.approx(0.21)


BROKEN = {
    "nothing": b"",
    "garbage": bytes(range(256)) * 40,
    "only NULs": b"\0" * 5000,
    "a page": b"<html><body>1 00:00:01,000 --> 00:00:02,000 secret</body></html>",
    "no end": b"1\n00:00:01,000\nsecret\n\n",
    "no text": b"1\n00:00:01,000 --> 00:00:02,000\n\n",
    "only tags": b"1\n00:00:01,000 --> 00:00:02,000\n<i></i> [secret]\n\n",
    "times beyond any clock": b"1\n99999999999999:00:01,000 --> 99999999999999:00:02,000\nsecret\n\n",
    "another film's": b"1\n99:00:01,000 --> 99:00:02,000\nsecret\n\n",
}


@pytest.mark.parametrize("ending", [".srt", ".vtt", ".json"])
@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_file_is_told_and_the_next_source_asked(
    tmp_path: Path, what: str, ending: str, capfd: pytest.CaptureFixture[str]
) -> None:
    film(tmp_path, [("eng", Disposition.default, srt((1, 2, "good")))])
    (tmp_path / f"film{ending}").write_bytes(BROKEN[what])
    found, notices = heard(tmp_path)
    assert [sentence.text for sentence in found.sentences] == ["good"]
    assert len(notices) == 1
    assert f"film{ending}" in notices[0]
    assert "secret" not in notices[0] + "".join(capfd.readouterr())


def test_times_that_make_no_sense_are_mended_or_left_out(tmp_path: Path) -> None:
    (tmp_path / "film.srt").write_text(
        srt((5, 4, "backwards"), (6, 8, "one"), (7, 9, "over it")) + "\n9\n-00:00:03,000 --> -00:00:01,000\nbefore\n"
    )
    found, _ = heard(tmp_path)
    assert [(s.text, s.start_s) for s in found.sentences][-3:] == [("backwards", 5), ("one", 6), ("over it", 7)]
    assert all(0 <= s.start_s < s.end_s for s in found.sentences)


@pytest.mark.parametrize("has_sound", [True, False])
def test_a_word_that_claims_years_lasts_no_longer_than_the_film_or_a_minute(tmp_path: Path, has_sound: bool) -> None:
    """Faces are compared over the whole time of a word, so its end decides how much memory that takes."""
    words = [{"word": "for", "start": 1, "end": 1e9}, {"word": "ever", "start": 5e8, "end": 9e8}]
    (tmp_path / "film.json").write_text(json.dumps({"segments": [{"start": 1, "end": 1e9, "words": words}]}))
    source = SidecarWords(tmp_path / "film.mp4", zero=Fraction(0))
    (sentence,) = source.transcribe(Samples(silence(20)) if has_sound else None, ()).sentences
    if has_sound:
        assert [(word.text, word.start_s, word.end_s) for word in sentence.words] == [("for", 1.0, 20.0)]
        assert (sentence.text, sentence.end_s) == ("for", 20.0)
    else:
        assert [word.end_s - word.start_s for word in sentence.words] == [60.0, 60.0]


def test_what_is_no_file_or_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film(tmp_path, [])
    (tmp_path / "film.srt").mkdir()
    os.mkfifo(tmp_path / "film.vtt")
    with (tmp_path / "film.json").open("wb") as file:
        file.truncate(1 << 30)
    found, notices = heard(tmp_path)
    assert found.sentences == ()
    assert "film.json has 1024 MB" in notices[0]
    assert "film.srt is no plain file" in notices[1]
    assert "film.vtt is no plain file" in notices[2]


def test_a_link_that_leads_nowhere_and_a_video_that_is_none_are_told(tmp_path: Path) -> None:
    (tmp_path / "film.srt").symlink_to(tmp_path / "gone")
    (tmp_path / "film.mkv").write_bytes(b"no video")
    found, notices = heard(tmp_path)
    assert found.sentences == ()
    assert ["film.srt cannot be read" in notices[0], "cannot be opened" in notices[1]] == [True, True]


def test_more_subtitles_than_any_film_has_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subtitles, "MOST_CUES", 10)
    (tmp_path / "film.srt").write_text(srt(*((n, n + 0.5, "word") for n in range(20))))
    with pytest.raises(BadInputError, match="more than 10 subtitles"):
        read_file(tmp_path / "film.srt")
