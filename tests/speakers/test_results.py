"""The files that tell who said what are read back by other people's readers, whatever the words and names are."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import jsonschema
import pytest
import srt
import webvtt
from av.subtitles.subtitle import AssSubtitle
from pyannote.database.util import load_rttm

from vidfleet.speakers.data import Conversation, Line, Person, SaidWord, Turn, Word
from vidfleet.speakers.results.cues import COLUMNS, ROWS, cues_of
from vidfleet.speakers.results.rttm import write_rttm
from vidfleet.speakers.results.subtitles import write_ass, write_srt, write_vtt
from vidfleet.speakers.results.text import plain, width
from vidfleet.speakers.results.transcript import write_transcript

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "transcript.schema.json"
HOSTILE = {
    "markup": "<script>alert(1)</script> <i>x</i> &amp; a<b>c",
    "override": r"{\an8}{\p1}m 0 0{\p0} \N\h\n {unclosed",
    "arrow": "00:00:01,000 --> 00:00:02,000 1 -->",
    "control": "a\x00b\x1b[31mc\x07\r\nd\n\n2\n00:00:09,000 --> 00:00:10,000\ne\u2028f",
    "right to left": "שלום עולם مرحبا \u202egnp.exe",
    "emoji": "👩‍👩‍👧‍👦 🇩🇪 é̂ 𝄞",
    "chinese": "你好,世界。これは長い文です。" * 12,
    "long": "x" * 10_000,
    "half a pair": "\ud83d caf\udce9",
    "note": "NOTE STYLE WEBVTT X-TIMESTAMP-MAP=1 ;comment",
    "comma": "a, b; \"c\" 'd' %s {0} =cmd()",
}


def line(person: str | None, text: str, start_s: float, *, word_s: float = 0.3, language: str = "en") -> Line:
    words = text.split(" ")
    said = [
        SaidWord(Word(word, start_s + at * word_s, start_s + (at + 1) * word_s, 0.9), person, 0.8)
        for at, word in enumerate(words)
    ]
    return Line(person, tuple(said), language)


def conversation(*lines: Line, names: Sequence[str] = ("Person_1", "Person_2")) -> Conversation:
    persons = tuple(Person(name, (at,), 10.0 - at) for at, name in enumerate(names))
    turns = tuple(Turn(each.person, each.start_s, each.end_s) for each in lines)
    return Conversation(persons, lines, turns, "test")


def hostile(text: str) -> Conversation:
    """Somebody with a hostile name says hostile words; another answers."""
    return conversation(
        line(text, text, 1.0),
        line("Person_2", "fine", 20.0),
        line(None, text, 30.0),
        names=(text, "Person_2"),
    )


PLAIN = conversation(
    line("Person_1", "How are you today?", 0.5),
    line("Person_2", "Very well, thank you. And you?", 2.0),
    line(None, "Anybody home?", 5.0),
)


def letters(text: str) -> str:
    """What is left of a text without spaces and joiners, braces as they were."""
    text = plain(text).translate(str.maketrans("\u2774\u2775", "{}"))
    return "".join(
        character for character in text if not character.isspace() and unicodedata.category(character) != "Cf"
    )


@pytest.fixture(params=list(HOSTILE))
def words(request: pytest.FixtureRequest) -> str:
    return HOSTILE[request.param]


def test_json_fits_its_schema_and_says_who_said_what(tmp_path: Path) -> None:
    found = transcript(tmp_path, PLAIN)
    assert [(each["person"], each["text"]) for each in found["lines"]] == [
        ("Person_1", "How are you today?"),
        ("Person_2", "Very well, thank you. And you?"),
        (None, "Anybody home?"),
    ]
    assert found["video"] == {"name": "film.mp4", "duration_s": 60.0}
    assert found["words_from"] == "test"
    assert found["lines"][0]["words"][0] == {
        "text": "How",
        "start_s": 0.5,
        "end_s": 0.8,
        "score": 0.9,
        "confidence": 0.8,
        "overlapping": [],
    }


def test_json_of_a_film_in_which_nothing_happens_is_one_too(tmp_path: Path) -> None:
    found = transcript(tmp_path, Conversation((), (), ()))
    assert (found["persons"], found["lines"], found["turns"], found["words_from"]) == ([], [], [], None)


def test_json_keeps_every_word_as_it_was(tmp_path: Path, words: str) -> None:
    said = hostile(words)
    found = transcript(tmp_path, said)
    heard = [word["text"] for each in found["lines"] for word in each["words"]]
    meant = [each.word.text for line in said.lines for each in line.words]
    assert heard == [word.encode("utf-8", "replace").decode() for word in meant]


def transcript(folder: Path, said: Conversation) -> dict[str, Any]:
    path = folder / "transcript.json"
    write_transcript(path, said, video_name="film.mp4", duration_s=60.0)
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    schema = json.loads(SCHEMA.read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(found, schema)
    return found


def test_srt_is_read_by_srt(tmp_path: Path) -> None:
    write_srt(tmp_path / "a.srt", cues_of(PLAIN))
    found = list(srt.parse((tmp_path / "a.srt").read_text("utf-8"), ignore_errors=False))
    assert [each.content for each in found] == [
        "Person_1: How are you today?",
        "Person_2: Very well, thank you. And you?",
        "Off screen: Anybody home?",
    ]
    assert [each.index for each in found] == [1, 2, 3]
    assert found[0].start.total_seconds() == 0.5


def test_srt_holds_hostile_words_as_words(tmp_path: Path, words: str) -> None:
    cues = cues_of(hostile(words))
    write_srt(tmp_path / "a.srt", cues)
    text = (tmp_path / "a.srt").read_text("utf-8")
    found = list(srt.parse(text, ignore_errors=False))
    assert [letters(each.content) for each in found] == [letters("".join(cue.labelled_lines)) for cue in cues]
    assert not re.search(r"<[A-Za-z/]|\{|\\[nhN]", text)
    assert text.count("-->") == len(cues)


def test_ffmpeg_sees_no_tag_in_srt(tmp_path: Path, words: str) -> None:
    cues = cues_of(hostile(words))
    write_srt(tmp_path / "a.srt", cues)
    assert_shown(tmp_path / "a.srt", ["".join(cue.labelled_lines) for cue in cues])


def test_vtt_is_read_by_webvtt_with_its_voices(tmp_path: Path, words: str) -> None:
    said = hostile(words)
    cues = cues_of(said)
    write_vtt(tmp_path / "a.vtt", cues, said)
    found = list(webvtt.read(str(tmp_path / "a.vtt")))
    assert len(found) == len(cues)
    for each, cue in zip(found, cues, strict=True):
        # The reader takes off the voice tag and leaves escapes as they are.
        shown = re.sub("&lt;|&gt;|&amp;", lambda mark: {"&lt;": "<", "&gt;": ">", "&amp;": "&"}[mark[0]], each.text)
        assert letters(shown) == letters("".join(cue.lines))
        assert each.voice
    assert {each.voice for each in found} >= {"Person_2", "Off screen"}


def test_ass_is_read_by_ffmpeg_and_nothing_is_an_override(tmp_path: Path, words: str) -> None:
    said = hostile(words)
    cues = cues_of(said)
    write_ass(tmp_path / "a.ass", cues, said)
    assert_shown(tmp_path / "a.ass", ["".join(cue.labelled_lines) for cue in cues])


def test_each_person_has_a_colour_in_ass(tmp_path: Path) -> None:
    write_ass(tmp_path / "a.ass", cues_of(PLAIN), PLAIN, width=640, height=360)
    text = (tmp_path / "a.ass").read_text("utf-8")
    colours = dict(re.findall(r"^Style: (\w+),Sans,\d+,(&H[0-9A-F]{8})", text, re.MULTILINE))
    assert set(colours) == {"Off", "P1", "P2"}
    assert len(set(colours.values())) == 3
    assert re.findall(r"^Dialogue: 0,[\d:.]+,[\d:.]+,(\w+),", text, re.MULTILINE) == ["P1", "P2", "Off"]


def assert_shown(path: Path, texts: list[str]) -> None:
    """FFmpeg reads as many events with these letters, and nothing in them is an instruction."""
    events = list(subtitle_events(path))
    assert len(events) == len(texts)
    for event, text in zip(events, texts, strict=True):
        body = event.split(",", 8)[8]
        assert not re.search(r"(?<!\\)\{", body), "an override begins"
        body = re.sub(r"\\N", "", body)
        assert not re.search(r"\\[nhN]", body), "an escape that is ours no more"
        assert letters(body.replace(r"\{", "{").replace(r"\}", "}")) == letters(text)


def subtitle_events(path: Path) -> Iterator[str]:
    with av.open(str(path)) as container:
        for packet in container.demux(subtitles=0):
            if packet.size:
                for subtitle in packet.decode():
                    assert isinstance(subtitle, AssSubtitle)
                    yield subtitle.ass.decode("utf-8")


def test_rttm_is_read_by_pyannote(tmp_path: Path) -> None:
    write_rttm(tmp_path / "a.rttm", PLAIN, video_name="my film")
    (name, found), *others = load_rttm(tmp_path / "a.rttm").items()
    assert (name, others) == ("my_film", [])
    turns = [(label, round(segment.start, 3), round(segment.end, 3)) for segment, _, label in found.itertracks(True)]
    assert turns == [("Person_1", 0.5, 1.7), ("Person_2", 2.0, 3.8), ("off_screen", 5.0, 5.6)]


def test_rttm_keeps_people_apart_whatever_they_are_called(tmp_path: Path) -> None:
    names = [*HOSTILE.values(), "off_screen", "a b", "a_b", " ", "", "\x00"]
    lines = [line(name, "word", float(at)) for at, name in enumerate(names)]
    write_rttm(tmp_path / "a.rttm", conversation(*lines, names=names), video_name=";\n")
    ((_, found),) = load_rttm(tmp_path / "a.rttm").items()
    assert len(found.labels()) == len(names)


def test_cues_have_two_lines_and_never_meet_wrongly(words: str) -> None:
    said = conversation(
        line(words, f"{words} and {words}", 0.0, word_s=0.21),
        line("Person_2", "and I say", 0.1),
        line(words, words, 0.9),
        line(words, "again", 0.9),
        line(None, words, -1.0),
        names=(words, "Person_2"),
    )
    said = Conversation(said.persons, tuple(sorted(said.lines, key=lambda each: each.start_s)), ())
    cues = cues_of(said, duration_s=5.0)
    last: dict[str | None, int] = {}
    for cue in cues:
        for rows in (cue.lines, cue.labelled_lines):
            assert 1 <= len(rows) <= ROWS
            assert all(0 < width(row) <= COLUMNS for row in rows)
        assert 0 <= cue.start_ms < cue.end_ms
        assert cue.start_ms >= last.get(cue.person, 0)
        last[cue.person] = cue.end_ms
    assert [cue.start_ms for cue in cues] == sorted(cue.start_ms for cue in cues)


def test_no_letter_is_lost_or_said_twice_in_cues() -> None:
    text = " ".join(f"word{at}" for at in range(300))
    cues = cues_of(conversation(line("Person_1", text, 0.0)))
    assert " ".join(word for cue in cues for word in cue.words) == text
    assert all(cue.end_ms - cue.start_ms <= 7000 for cue in cues)


def test_a_cue_begins_when_its_first_word_does() -> None:
    said = line("Person_1", " ".join(["word"] * 60), 10.0, word_s=0.5)
    starts = {round(each.word.start_s * 1000) for each in said.words}
    assert all(cue.start_ms in starts for cue in cues_of(conversation(said)))


def test_a_pause_begins_a_new_cue() -> None:
    said = line("Person_1", "before after", 1.0, word_s=0.2)
    later = SaidWord(Word("after", 4.0, 4.2, 1.0), "Person_1", 0.9)
    cues = cues_of(conversation(Line("Person_1", (said.words[0], later))))
    assert [(cue.start_ms, cue.end_ms) for cue in cues] == [(1000, 1800), (4000, 4800)]


def test_a_short_word_stays_but_not_beyond_the_next_cue_or_the_film() -> None:
    said = conversation(line("Person_1", "no", 1.0), line("Person_2", "yes", 1.5), line("Person_1", "no", 9.8))
    assert [(cue.start_ms, cue.end_ms) for cue in cues_of(said, duration_s=10.2)] == [
        (1000, 1500),
        (1500, 2300),
        (9800, 10200),
    ]


def test_two_who_really_speak_at_once_are_both_shown() -> None:
    said = conversation(line("Person_1", "a b c d e f", 1.0), line("Person_2", "no no no no", 1.5))
    assert [(cue.start_ms, cue.end_ms) for cue in cues_of(said)] == [(1000, 2800), (1500, 2700)]


def test_a_film_without_faces_has_no_labels() -> None:
    assert [cue.labelled_lines for cue in cues_of(conversation(line(None, "a radio play", 1.0)))] == [["a radio play"]]


@pytest.mark.parametrize("bad_s", [-3.0, 0.0, 1e-7])
def test_no_time_is_negative_in_any_file(tmp_path: Path, bad_s: float) -> None:
    said = conversation(line("Person_1", "early bird", bad_s))
    found = transcript(tmp_path, said)
    times = [found["lines"][0]["start_s"], *(word["start_s"] for word in found["lines"][0]["words"])]
    assert all(time >= 0 and math.isfinite(time) for time in times)
    write_rttm(tmp_path / "a.rttm", said, video_name="f")
    assert "-" not in (tmp_path / "a.rttm").read_text().replace("<NA>", "")


def test_plain_text_is_one_line() -> None:
    assert plain(" a\tb\r\n\x00c\u202ed ") == "a b cd"
