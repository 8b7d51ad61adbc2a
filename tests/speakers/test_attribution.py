"""Who said it: by time, with "off screen" as an answer, split where the speaker changes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from vidfleet.speakers.attribution import who_said
from vidfleet.speakers.confidence import EMBEDDED, LR_ASD, Evidence, confidence, fitted_for
from vidfleet.speakers.data import Conversation, Method, Person, Sentence, Span, Transcript, Word

ANNA, BERT = "Person_1", "Person_2"
SPEAKS, SILENT = 2.5, -3.0


@dataclass(frozen=True)
class Scored:
    start: int
    scores: NDArray[np.float64]


def track(seconds: float, *spoken: tuple[float, float], start_s: float = 0.0) -> Scored:
    """A face in the picture from ``start_s`` on, that is seen speaking in these spans of the film's time."""
    times = start_s + (np.arange(round(seconds * 25)) + 0.5) / 25
    speaks = np.any([(start <= times) & (times < end) for start, end in spoken] or [times < 0], axis=0)
    return Scored(round(start_s * 25), np.where(speaks, SPEAKS, SILENT))


def sentence(text: str, start_s: float, *, word_s: float = 0.3, score: float = 0.9) -> Sentence:
    """Words of 0.3 s without a pause."""
    texts = text.split()
    words = tuple(
        Word(word, start_s + at * word_s, start_s + (at + 1) * word_s, score) for at, word in enumerate(texts)
    )
    return Sentence(text, start_s, words[-1].end_s, words, "en")


def told(
    sentences: list[Sentence], tracks: list[Scored], *, persons: list[Person] | None = None, times: str = ""
) -> Conversation:
    speech = tuple(Span(each.start_s, each.end_s) for each in sentences)
    everybody = persons or [Person(f"Person_{at + 1}", (at,), 1.0) for at in range(len(tracks))]
    transcript = Transcript(tuple(sentences), "test", times or "recognised")
    return who_said(transcript, speech=speech, persons=everybody, tracks=tracks)


def answers(conversation: Conversation) -> list[tuple[str | None, str]]:
    return [(line.person, line.text) for line in conversation.lines]


def test_words_go_to_who_is_seen_saying_them() -> None:
    found = told(
        [sentence("how are you", 1.0), sentence("very well thanks", 3.0)],
        [track(6, (1.0, 1.9)), track(6, (3.0, 3.9))],
    )
    assert answers(found) == [(ANNA, "how are you"), (BERT, "very well thanks")]
    assert found.words_from == "test"


def test_a_voice_without_a_face_is_off_screen() -> None:
    found = told([sentence("somebody behind the door", 1.0)], [track(6), track(6)])
    assert answers(found) == [(None, "somebody behind the door")]
    assert [(turn.person, turn.start_s, round(turn.end_s, 3)) for turn in found.turns] == [(None, 1.0, 2.2)]


def test_without_any_face_everything_is_off_screen() -> None:
    assert answers(told([sentence("a radio play", 1.0)], [])) == [(None, "a radio play")]


def test_a_sentence_is_split_where_the_speaker_changes_and_never_repeated() -> None:
    shared = sentence("one two three four five six", 1.0, word_s=0.4)
    found = told([shared], [track(6, (1.0, 2.2)), track(6, (2.2, 3.4))])
    assert answers(found) == [(ANNA, "one two three"), (BERT, "four five six")]


def test_two_who_talk_at_once_each_keep_their_own_words() -> None:
    """The louder face would have all words that overlap; but nobody says two words at once."""
    loud = Scored(0, np.where(track(6, (1.0, 3.1)).scores > 0, 5.0, -3.0))
    found = told(
        [sentence("so this is what I think", 1.0, word_s=0.35), sentence("but no you do not", 2.05, word_s=0.35)],
        [loud, track(6, (2.05, 3.8))],
    )
    assert answers(found) == [(ANNA, "so this is what I think"), (BERT, "but no you do not")]


def test_an_interruption_by_somebody_unseen_is_off_screen() -> None:
    found = told(
        [sentence("so this is what I think", 1.0, word_s=0.35), sentence("no", 2.4)], [track(6, (1.0, 3.1)), track(6)]
    )
    assert answers(found) == [(ANNA, "so this is what I think"), (None, "no")]


@pytest.mark.parametrize("seed", range(5))
def test_every_word_is_said_once_and_in_order(seed: int) -> None:
    numbers = np.random.default_rng(seed)
    starts = np.cumsum(numbers.uniform(0.5, 4.0, 20))
    sentences = [
        sentence(" ".join(f"w{at}_{word}" for word in range(numbers.integers(1, 12))), float(start))
        for at, start in enumerate(starts)
    ]
    tracks = [Scored(int(numbers.integers(0, 400)), numbers.normal(0, 3, 700)) for _ in range(4)]
    found = told(sentences, tracks)
    said = [word.word for line in found.lines for word in line.words]
    spoken = [word for each in sentences for word in each.words]
    assert sorted(said, key=lambda word: word.text) == sorted(spoken, key=lambda word: word.text)
    for one, other in itertools.pairwise(found.lines):
        assert one.start_s <= other.start_s
    for line in found.lines:
        assert [word.word.start_s for word in line.words] == sorted(word.word.start_s for word in line.words)
        assert all(0 <= word.confidence <= 1 for word in line.words)
        assert all(line.person not in word.overlapping for word in line.words)


def test_a_track_that_begins_late_is_met_by_time_and_not_by_index() -> None:
    # The second track's scores begin at its own first frame, 100 s into the film.
    late = track(6, (101.0, 102.0), start_s=100.0)
    found = told([sentence("good morning", 1.0), sentence("good evening", 101.0)], [track(6), late])
    assert answers(found) == [(None, "good morning"), (BERT, "good evening")]


def test_a_person_may_have_several_tracks() -> None:
    tracks = [track(3, (1.0, 2.0)), track(3, start_s=3.0), track(3, (4.0, 5.0), start_s=3.0)]
    persons = [Person("Anna", (0, 2), 2.0), Person("Bert", (1,), 0.0)]
    found = told([sentence("here we", 1.1), sentence("are again", 4.1)], tracks, persons=persons)
    assert [person for person, _ in answers(found)] == ["Anna", "Anna"]


def test_a_flicker_of_less_than_a_quarter_second_makes_nobody_a_speaker() -> None:
    found = told([sentence("who was that", 1.0)], [track(6, (1.3, 1.5))])
    assert answers(found) == [(None, "who was that")]


def test_one_doubtful_word_stays_with_the_words_around_it() -> None:
    # For 0.2 s, a whole short word, the speaker's lips rest and the other's twitch.
    texts = sentence("it was the best of times", 1.0, word_s=0.2)
    found = told([texts], [track(6, (1.0, 1.4), (1.6, 2.2)), track(6, (1.4, 1.6))])
    assert answers(found) == [(ANNA, "it was the best of times")]


def test_two_at_once_are_both_named() -> None:
    found = told([sentence("no yes no", 1.0)], [track(6, (0.8, 2.1)), track(6, (0.5, 2.1))])
    (line,) = found.lines
    others = {ANNA: BERT, BERT: ANNA}
    assert line.person
    assert [word.overlapping for word in line.words] == [(others[line.person],)] * 3
    assert {turn.person for turn in found.turns} == {ANNA, BERT}


def test_a_face_that_is_not_sure_makes_for_less_confidence() -> None:
    sure = told([sentence("well well well", 1.0)], [track(6, (0.5, 2.5)), track(6)])
    both = told([sentence("well well well", 1.0)], [track(6, (0.5, 2.5)), track(6, (0.5, 2.5))])
    assert min(word.confidence for word in sure.lines[0].words) > 0.8
    assert max(word.confidence for word in both.lines[0].words) < 0.7


def test_short_words_and_words_at_the_very_beginning_have_a_window() -> None:
    odd = Sentence("a b", 0.0, 0.05, (Word("a", 0.0, 0.0, 1.0), Word("b", 0.0, 0.05, 0.1)))
    assert answers(told([odd], [track(1, (0.0, 1.0))])) == [(ANNA, "a b")]


def test_a_piece_without_words_of_its_own_is_said_as_a_whole() -> None:
    whole = Sentence("two people talk", 1.0, 2.0, ())
    assert answers(told([whole], [track(3, (1.0, 2.0))])) == [(ANNA, "two people talk")]


def test_subtitles_that_lie_over_each_other_keep_their_sentences() -> None:
    found = told([sentence("a1 a2 a3 a4", 1.0), sentence("b1 b2 b3", 1.5)], [track(4, (0.9, 2.5))])
    assert sorted(text for _, text in answers(found)) == ["a1 a2 a3 a4", "b1 b2 b3"]


def test_a_film_of_subtitles_without_a_pause_is_no_single_breath() -> None:
    lines = [sentence(" ".join(["word"] * 10), 3.0 * at) for at in range(100)]
    found = told(lines, [track(300, (0.0, 150.0)), track(300, (150.0, 300.0))], times="spread")
    assert [person for person, _ in answers(found)] == [ANNA] * 50 + [BERT] * 50


def test_turns_come_without_words_and_end_where_speech_does() -> None:
    tracks = [track(10, (1.0, 3.0), (3.2, 4.0), (6.0, 6.1), (8.0, 9.5)), track(10, (2.0, 2.6))]
    persons = [Person(ANNA, (0,), 1.0), Person(BERT, (1,), 1.0)]
    found = who_said(Transcript((), ""), speech=[Span(0.9, 5.0), Span(8.0, 9.0)], persons=persons, tracks=tracks)
    turns = [(turn.person, round(turn.start_s, 1), round(turn.end_s, 1)) for turn in found.turns]
    # 3.0-3.2 is a gap that is closed; 6.0 is too short, and no speech; lips that move on after 9.0 are not heard.
    assert turns == [(ANNA, 0.9, 4.0), (BERT, 2.0, 2.6), (None, 4.0, 5.0), (ANNA, 8.0, 9.0)]
    assert found.lines == ()


def test_each_method_has_numbers_of_its_own() -> None:
    assert fitted_for(Method("LR-ASD pretrain_AVA", "ab")) is LR_ASD
    assert fitted_for(Method("heuristic: mouth motion", "")) is EMBEDDED


@pytest.mark.parametrize("fitted", [LR_ASD, EMBEDDED])
def test_more_belief_never_makes_less_confidence(fitted: object) -> None:
    calibration = LR_ASD.calibration if fitted is LR_ASD else EMBEDDED.calibration
    beliefs = [confidence(Evidence(p, False, 1.0), calibration) for p in (0.0, 0.3, 0.5, 0.8, 0.99, 1.0)]
    assert beliefs == sorted(beliefs)
    assert beliefs[0] < beliefs[-1]
