"""Words with times are read as whisperX and its like write them, and nothing else is taken for them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vidfleet.errors import BadInputError
from vidfleet.speakers.words.whisperx import parse


def read(content: Any) -> list[tuple[str, float, float, float]]:  # noqa: ANN401
    found = parse(json.dumps(content), name="film.json")
    return [(w.text, round(w.start_s, 3), round(w.end_s, 3), w.score) for s in found.sentences for w in s.words]


def segment(*words: dict[str, Any], start: object = 1.0, end: object = 5.0, **more: object) -> dict[str, Any]:
    return {"segments": [{"start": start, "end": end, "text": "x", "words": list(words), **more}]}


def test_whisperx_is_read() -> None:
    content = segment({"word": "Hello", "start": 1.0, "end": 1.5, "score": 0.9, "speaker": "SPEAKER_00"},
                      {"word": "you.", "start": 1.5, "end": 2.0, "score": 0.8}) | {"language": "en"}  # fmt: skip
    found = parse(json.dumps(content), name="film.json")
    assert found.are_timed
    assert [(s.text, s.start_s, s.end_s, s.language) for s in found.sentences] == [("Hello you.", 1.0, 2.0, "en")]
    assert read(content) == [("Hello", 1.0, 1.5, 0.9), ("you.", 1.5, 2.0, 0.8)]


def test_words_without_times_share_what_is_between_their_neighbours() -> None:
    content = segment({"word": "7"}, {"word": "of", "start": 2, "end": 3}, {"word": "10"}, {"word": "20"},
                      {"word": "x", "start": 4, "end": 4.5})  # fmt: skip
    assert [each[:3] for each in read(content)] == [
        ("7", 1, 2), ("of", 2, 3), ("10", 3, 3.5), ("20", 3.5, 4), ("x", 4, 4.5),
    ]  # fmt: skip


def test_a_segment_without_words_spreads_its_text() -> None:
    found = parse('{"segments": [{"start": 0, "end": 4, "text": " one two "}]}', name="film.json")
    assert not found.are_timed
    assert [(w.text, w.start_s, w.end_s) for w in found.sentences[0].words] == [("one", 0, 2), ("two", 2, 4)]


def test_whispers_own_json_and_a_bare_list_are_read_and_put_in_order() -> None:
    later = {"start": 5, "end": 6, "words": [{"word": " b", "start": 5, "end": 6, "probability": 0.5}]}
    earlier = {"start": 1, "end": 2, "words": [{"word": " a", "start": 1, "end": 2, "probability": 0.25}]}
    assert read([later, earlier]) == [("a", 1, 2, 0.25), ("b", 5, 6, 0.5)]


@pytest.mark.parametrize("odd", [None, "1.0", True, [1], {}, 1e300, -5])
def test_numbers_that_are_none_leave_a_word_without_time(odd: object) -> None:
    content = segment({"word": "a", "start": odd, "end": odd, "score": "high"})
    assert read(content) == [("a", 1.0, 5.0, 1.0)]


def test_scores_are_kept_within_bounds_and_times_made_whole() -> None:
    content = segment({"word": "a", "start": -1, "end": 2, "score": 7}, {"word": "b", "start": 3, "end": 3})
    assert read(content) == [("a", 0.0, 2.0, 1.0), ("b", 3.0, 3.02, 1.0)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secret",
        "[" * 100_000,
        "9" * 10_000,
        '{"title": "secret"}',
        '{"segments": {"secret": 1}}',
        '{"segments": [1, null, "secret"]}',
        '{"segments": [{"text": "secret"}]}',
        '{"segments": [{"start": NaN, "end": Infinity, "text": "secret"}]}',
        '{"segments": [{"start": 5, "end": 1, "text": "secret"}]}',
        '{"segments": [{"start": 1, "end": 2, "text": "", "words": [{"word": 5}]}]}',
    ],
)  # fmt: skip
def test_what_is_no_transcript_is_refused_without_a_word_of_it(text: str) -> None:
    with pytest.raises(BadInputError, match=r"^film\.json is no (JSON|transcript)") as refused:
        parse(text, name="film.json")
    assert "secret" not in str(refused.value)
