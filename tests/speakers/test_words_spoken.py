"""Made-up words are thrown out, and sentences end where people end them."""

from __future__ import annotations

from vidfleet.speakers.data import Span, Word
from vidfleet.speakers.words.spoken import in_sentences, only_spoken

SPEECH = (Span(1.0, 2.0), Span(5.0, 6.0), Span(6.3, 7.0))


def kept(start_s: float, end_s: float) -> list[tuple[float, float]]:
    return [(w.start_s, w.end_s) for w in only_spoken([Word("word", start_s, end_s, 0.5)], SPEECH)]


def test_words_where_nobody_speaks_are_dropped() -> None:
    assert kept(3.0, 3.5) == []
    assert kept(0.0, 0.7) == []
    assert kept(8.0, 9.0) == []
    assert kept(1.2, 1.6) == [(1.2, 1.6)]
    assert only_spoken([Word("word", 1, 2, 1)], ()) == []


def test_a_word_drawn_out_over_silence_is_cut_to_the_speech_that_holds_most_of_it() -> None:
    assert kept(1.5, 4.0) == [(1.5, 2.2)]
    assert kept(1.9, 5.8) == [(4.8, 5.8)]
    assert kept(0.0, 9.0) == [(4.8, 7.2)], "two spans whose margins touch are one"


def sentences(*words: tuple[str, float, float]) -> list[str]:
    return [s.text for s in in_sentences([Word(*each, 1.0) for each in words], language="en")]


def test_a_sentence_ends_with_its_mark_or_before_a_pause() -> None:
    found = sentences(
        ("Who?", 0, 0.3), ("Me", 0.3, 0.6), ("or", 0.6, 1), ("not", 2.5, 3), ('me."', 3, 3.4), ("So", 3.4, 4)
    )
    assert found == ["Who?", "Me or", 'not me."', "So"]


def test_a_title_ends_no_sentence() -> None:
    assert sentences(("Dr.", 0, 0.3), ("Who", 0.3, 0.6), ("spoke.", 0.6, 1), ("好。", 1, 2), ("是", 2, 3)) == [
        "Dr. Who spoke.",
        "好。",
        "是",
    ]


def test_nothing_is_no_sentence() -> None:
    assert sentences() == []
