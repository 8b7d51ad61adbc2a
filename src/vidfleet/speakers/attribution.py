"""Who said it: each word gets the person who is seen saying it, or "off screen".

::

    words ─▶ breaths ─▶ evidence for each person over each word's time ─▶ belief along the breath ─▶ lines
                                 ▲
    tracks (25 scores a second) ─┘

Everything meets by time, on the grid's clock; nothing is paired by its index. docs/attribution.md explains the
model: a chain over the words of one breath, in which changing the speaker has a price.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vidfleet.speakers.confidence import LR_ASD, Evidence, Fitted, confidence
from vidfleet.speakers.data import GRID_RATE, Conversation, Line, SaidWord, Word
from vidfleet.speakers.turns import smoothed, turns_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vidfleet.speakers.confidence import Calibration, Rules
    from vidfleet.speakers.data import Person, Span, Transcript
    from vidfleet.speakers.turns import ScoredTrack

BREATH_S = 0.3
"""Words with a shorter gap between them are of one breath."""
LONGEST_BREATH_S = 60.0
"""Then another begins: subtitles may follow each other without any gap for a whole film."""
LEAST_FRAMES = 6
"""0.24 s: for so long a person must have the best positive score in a breath to be one of its speakers
(whisperVideo's rule), and so much of the scores is looked at for the shortest word."""
SPREAD_PAD_S = 0.2
"""Added to the padding where word times are only shared out within a subtitle."""
SCORE_CAP = 5.0
"""A single frame speaks no louder than this."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """A word and where it stands."""

    word: Word
    sentence: int
    first: int
    """Grid frame at which its window begins."""
    last: int
    """One past its window."""


@dataclass(frozen=True, slots=True)
class Belief:
    """What is believed of the words of one breath."""

    breath: tuple[Spoken, ...]
    """The words, in order of time."""
    persons: tuple[int, ...]
    """The candidates; "off screen" comes after them, as the last column."""
    posterior: NDArray[np.float64]
    """(words, candidates + 1)"""
    means: NDArray[np.float64]
    """(words, candidates) mean score over each word's window."""
    seen: NDArray[np.float64]
    """(words,) share of each window in which any face has a score."""


def who_said(
    transcript: Transcript,
    *,
    speech: Sequence[Span],
    persons: Sequence[Person],
    tracks: Sequence[ScoredTrack],
    fitted: Fitted = LR_ASD,
) -> Conversation:
    """Give every word to the person who is seen saying it, and find the turns of each.

    ``speech`` is when anybody is heard, in order; ``tracks`` are indexed as :attr:`Person.tracks` says, and a track
    that is no person's is not looked at. A film without words has turns and no lines.
    """
    return Conversation(
        persons=tuple(persons),
        lines=_lines(transcript, persons, tracks, fitted),
        turns=turns_of(persons, tracks, speech),
        words_from=transcript.source,
    )


def beliefs(
    transcript: Transcript, persons: Sequence[Person], tracks: Sequence[ScoredTrack], rules: Rules
) -> Iterator[Belief]:
    """What is believed of all words, breath by breath; persons are given by their place."""
    scores = _PersonScores(persons, tracks)
    for breath in _breaths(_spoken(transcript, rules)):
        yield _believe(breath, scores, rules)


def _lines(
    transcript: Transcript, persons: Sequence[Person], tracks: Sequence[ScoredTrack], fitted: Fitted
) -> tuple[Line, ...]:
    names = [person.name for person in persons]
    said: list[tuple[int, SaidWord]] = []
    for belief in beliefs(transcript, persons, tracks, fitted.rules):
        numbers = (at.sentence for at in belief.breath)
        said += zip(numbers, _said(belief, names, fitted.calibration), strict=True)
    languages = [sentence.language for sentence in transcript.sentences]
    # A stable sort: the words of a sentence stay together, whatever other sentence is spoken at the same time.
    said.sort(key=lambda item: item[0])
    lines = [
        Line(person, tuple(word for _sentence, word in group), languages[sentence])
        for (sentence, person), group in groupby(said, key=lambda item: (item[0], item[1].person))
    ]
    return tuple(sorted(lines, key=lambda line: line.start_s))


def _spoken(transcript: Transcript, rules: Rules) -> list[Spoken]:
    """All words in order of time, with the frames that are looked at for each."""
    pad_s = rules.pad_s + (SPREAD_PAD_S if transcript.times == "spread" else 0.0)
    result = []
    for number, sentence in enumerate(transcript.sentences):
        whole = (Word(sentence.text, sentence.start_s, sentence.end_s, 1.0),) if sentence.text.strip() else ()
        for word in sentence.words or whole:
            middle = round((word.start_s + word.end_s) / 2 * GRID_RATE)
            first = max(0, min(int(np.floor((word.start_s - pad_s) * GRID_RATE)), middle - LEAST_FRAMES // 2))
            last = max(int(np.ceil((word.end_s + pad_s) * GRID_RATE)), first + LEAST_FRAMES)
            result.append(Spoken(word, number, first, last))
    return sorted(result, key=lambda at: at.word.start_s)


def _breaths(spoken: Sequence[Spoken]) -> Iterator[list[Spoken]]:
    """Runs of words without a pause between them."""
    breath: list[Spoken] = []
    end_s = 0.0
    for at in spoken:
        if breath and (
            at.word.start_s - end_s >= BREATH_S or at.word.end_s - breath[0].word.start_s > LONGEST_BREATH_S
        ):
            yield breath
            breath = []
        end_s = max(end_s, at.word.end_s) if breath else at.word.end_s
        breath.append(at)
    if breath:
        yield breath


class _PersonScores:
    """The smoothed scores of all persons, found by time."""

    def __init__(self, persons: Sequence[Person], tracks: Sequence[ScoredTrack]) -> None:
        mine = [(tracks[index], number) for number, person in enumerate(persons) for index in person.tracks]
        self._values = [np.clip(smoothed(track.scores), -SCORE_CAP, SCORE_CAP) for track, _number in mine]
        self._starts = np.array([track.start for track, _number in mine], np.int64)
        self._ends = self._starts + np.array([len(values) for values in self._values], np.int64)
        self._persons = [number for _track, number in mine]

    def between(self, first: int, last: int) -> tuple[tuple[int, ...], NDArray[np.float64]]:
        """The persons seen in grid frames [first, last), and (persons, frames) their scores; NaN: not seen."""
        found = np.flatnonzero((self._starts < last) & (self._ends > first)).tolist()
        persons = tuple(sorted({self._persons[index] for index in found}))
        rows = {person: row for row, person in enumerate(persons)}
        scores = np.full((len(persons), last - first), np.nan)
        for index in found:
            start, values = int(self._starts[index]), self._values[index]
            low, high = max(start, first), min(start + len(values), last)
            row = scores[rows[self._persons[index]], low - first : high - first]
            np.fmax(row, values[low - start : high - start], out=row)
        return persons, scores


def _believe(breath: Sequence[Spoken], scores: _PersonScores, rules: Rules) -> Belief:
    """For each word of a breath, how much speaks for each candidate, and for nobody."""
    start = min(at.first for at in breath)
    persons, frames = scores.between(start, max(at.last for at in breath))
    keep = _speakers(frames)
    seen = ~np.isnan(frames)
    # A frame in which a face is not to be seen says nothing about it: it counts as a score of 0.
    known = np.where(seen, frames, 0.0)
    windows = [slice(at.first - start, at.last - start) for at in breath]
    means = np.array([known[:, window].mean(axis=1) for window in windows]).reshape(len(breath), -1)[:, keep]
    potentials = np.concatenate([rules.gain * means, np.full((len(breath), 1), rules.nobody)], axis=1)
    return Belief(
        breath=tuple(breath),
        persons=tuple(person for person, kept in zip(persons, keep, strict=True) if kept),
        posterior=_along(potentials, _prices(breath, rules.switch)),
        means=means,
        seen=np.array([seen[:, window].any(axis=0).mean() for window in windows]),
    )


def _speakers(frames: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(persons,) who has the best positive score for at least 0.24 s."""
    if not frames.size:
        return np.zeros(len(frames), bool)
    positive = np.where(frames > 0, frames, 0.0)
    best = (positive == positive.max(axis=0)) & (positive > 0)
    return np.asarray(best.sum(axis=1) >= LEAST_FRAMES)


def _prices(breath: Sequence[Spoken], switch: float) -> list[float]:
    """The price of a change of speaker before each word but the first: half of it where a sentence begins."""
    return [
        switch if before.sentence == at.sentence and not before.word.text.endswith((".", "?", "!")) else switch / 2
        for before, at in pairwise(breath)
    ]


def _along(potentials: NDArray[np.float64], prices: Sequence[float]) -> NDArray[np.float64]:
    """(words, states) probabilities of a chain whose neighbours differ at a price (forward-backward)."""

    def step(message: NDArray[np.float64], price: float) -> NDArray[np.float64]:
        anybody = np.logaddexp.reduce(message) - price
        return np.asarray(np.logaddexp(message + np.log1p(-np.exp(-price) + 1e-12), anybody))

    count = len(potentials)
    forward, backward = potentials.copy(), np.zeros_like(potentials)
    for at in range(1, count):
        forward[at] += step(forward[at - 1], prices[at - 1])
    for at in range(count - 2, -1, -1):
        backward[at] = step(backward[at + 1] + potentials[at + 1], prices[at])
    belief = forward + backward
    return np.asarray(np.exp(belief - np.logaddexp.reduce(belief, axis=1, keepdims=True)))


def evidence_of(belief: Belief, row: int) -> tuple[int | None, Evidence]:
    """The answer for one word of a breath (a place in :attr:`Belief.persons`, or None) and what it rests on."""
    answer = int(belief.posterior[row].argmax())
    off_screen = answer == len(belief.persons)
    evidence = Evidence(
        posterior=float(belief.posterior[row, answer]),
        off_screen=off_screen,
        seen=float(belief.seen[row]),
    )
    return None if off_screen else answer, evidence


def _said(belief: Belief, names: Sequence[str], calibration: Calibration) -> Iterator[SaidWord]:
    for row, at in enumerate(belief.breath):
        answer, evidence = evidence_of(belief, row)
        yield SaidWord(
            word=at.word,
            person=None if answer is None else names[belief.persons[answer]],
            confidence=confidence(evidence, calibration),
            overlapping=tuple(
                names[person]
                for column, person in enumerate(belief.persons)
                if column != answer and belief.means[row, column] > 0
            ),
        )
