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
from itertools import groupby
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
BUSY = 5.0
"""How much speaks against a person who is sure to say another word at the same time."""
MOST_THREADS = 3
"""So many sentences are followed at once."""
TOUCHING_S = 0.15
"""Sentences that overlap by less follow each other: times are not exact."""
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


def _threads(breath: Sequence[Spoken]) -> list[int]:
    """For each word, which of the threads it belongs to: in none does a sentence begin before the last one ends.

    Where two talk at once their sentences go side by side, so who says the words that overlap is known from those
    that do not.
    """
    end_s: dict[int, float] = {}
    for at in breath:
        end_s[at.sentence] = max(end_s.get(at.sentence, 0.0), at.word.end_s)
    thread_of: dict[int, int] = {}
    free_s = [-np.inf] * MOST_THREADS
    for at in breath:
        if at.sentence not in thread_of:
            fits = [free - TOUCHING_S <= at.word.start_s for free in free_s]
            thread_of[at.sentence] = fits.index(True) if any(fits) else MOST_THREADS - 1
            free_s[thread_of[at.sentence]] = end_s[at.sentence]
    return [thread_of[at.sentence] for at in breath]


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
    steps = _steps(breath, rules.switch)
    keep = _speakers(frames, at_once=max(step.thread for step in steps) + 1)
    seen = ~np.isnan(frames)
    # A frame in which a face is not to be seen says nothing about it: it counts as a score of 0.
    known = np.where(seen, frames, 0.0)
    windows = [slice(at.first - start, at.last - start) for at in breath]
    means = np.array([known[:, window].mean(axis=1) for window in windows]).reshape(len(breath), -1)[:, keep]
    potentials = np.concatenate([rules.gain * means, np.full((len(breath), 1), rules.nobody)], axis=1)
    return Belief(
        breath=tuple(breath),
        persons=tuple(person for person, kept in zip(persons, keep, strict=True) if kept),
        posterior=_along(potentials, steps),
        means=means,
        seen=np.array([seen[:, window].any(axis=0).mean() for window in windows]),
    )


def _speakers(frames: NDArray[np.float64], *, at_once: int) -> NDArray[np.bool_]:
    """(persons,) who has the best positive score for at least 0.24 s; one of the best, where several talk at once."""
    if not frames.size:
        return np.zeros(len(frames), bool)
    positive = np.where(frames > 0, frames, 0.0)
    least = np.sort(positive, axis=0)[-min(at_once, len(positive))]
    best = (positive >= least) & (positive > 0)
    return np.asarray(best.sum(axis=1) >= LEAST_FRAMES)


@dataclass(frozen=True, slots=True)
class _Step:
    """How a breath goes on to a word."""

    thread: int
    price: float
    """Of a change of speaker in its thread; half of it where a sentence begins, nothing where the thread does."""
    beside: tuple[int, ...]
    """Threads in which somebody says a word at the same time."""


def _steps(breath: Sequence[Spoken], switch: float) -> list[_Step]:
    steps: list[_Step] = []
    last: dict[int, Spoken] = {}
    for at, thread in zip(breath, _threads(breath), strict=True):
        before = last.get(thread)
        beside = (other for other, word in last.items() if other != thread and at.word.start_s < word.word.end_s)
        steps.append(_Step(thread, 0.0 if before is None else _price(before, at, switch), tuple(beside)))
        last[thread] = at
    return steps


def _price(before: Spoken, at: Spoken, switch: float) -> float:
    goes_on = before.sentence == at.sentence and not before.word.text.endswith((".", "?", "!"))
    return switch if goes_on else switch / 2


def _along(potentials: NDArray[np.float64], steps: Sequence[_Step]) -> NDArray[np.float64]:
    """(words, states) probabilities of a chain whose neighbours differ at a price (forward-backward).

    Its state is who speaks in each of the threads, one axis each: a word changes it along the axis of its own, and
    two threads hardly ever have the same speaker at one time.
    """
    states, threads = potentials.shape[1], max(step.thread for step in steps) + 1
    weights = [_weights(row, step, threads) for row, step in zip(potentials, steps, strict=True)]
    forward = [weights[0] + np.zeros((states,) * threads)]
    for step, weight in zip(steps[1:], weights[1:], strict=True):
        forward.append(_pass(forward[-1], step) + weight)
    backward = [np.zeros((states,) * threads)]
    for step, weight in zip(steps[:0:-1], weights[:0:-1], strict=True):
        backward.append(_pass(backward[-1] + weight, step))
    rows = []
    for step, before, after in zip(steps, forward, reversed(backward), strict=True):
        others = tuple(axis for axis in range(threads) if axis != step.thread)
        row = np.logaddexp.reduce(before + after, axis=others) if others else before + after
        rows.append(np.exp(row - np.logaddexp.reduce(row)))
    return np.array(rows)


def _weights(row: NDArray[np.float64], step: _Step, threads: int) -> NDArray[np.float64]:
    """How much speaks for each state at one word."""
    along = [1] * threads
    along[step.thread] = len(row)
    weights = row.reshape(along)
    for other in step.beside:
        both = [1] * threads
        both[step.thread] = both[other] = len(row)
        same = np.diag([*(BUSY for _ in row[1:]), 0.0])  # nobody is seen: there may be several of those
        weights = weights - same.reshape(both)
    return weights


def _pass(message: NDArray[np.float64], step: _Step) -> NDArray[np.float64]:
    """Go from one word to the next, either way: its thread stays with its speaker or, at a price, does not."""
    anybody = np.logaddexp.reduce(message, axis=step.thread, keepdims=True) - step.price
    return np.asarray(np.logaddexp(message + np.log1p(-np.exp(-step.price) + 1e-12), anybody))


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
