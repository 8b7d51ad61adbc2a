"""Finds the numbers of vidfleet/speakers/confidence.py from composites whose truth is known.

The rules' numbers are those under which the true answers are most likely, of the words that are said while one
person speaks. The price of a change of speaker is not fitted: but for where two speak at once, no composite has a
change without a pause. Each composite counts six times: with exact times and twice with times that are off as a
recogniser's are, and each of these with those who talk at once in one sentence and in one each. The calibration is a
logistic regression of "is the answer right" on what the answer rests on, over the same words.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize

from benchmarks.composite_truth import Composite
from benchmarks.who_said_what_cases import SeenFace
from vidfleet.speakers.attribution import beliefs, evidence_of
from vidfleet.speakers.confidence import Calibration, Evidence, Fitted, Rules, features
from vidfleet.speakers.data import Person, Sentence, Transcript, Word

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from benchmarks.who_said_what_cases import Case

PADS_S = (0.0, 0.04, 0.08, 0.12, 0.2)
JITTERS_S = (0.0, 0.06, 0.12)
"""How far word times are off; a recogniser's are off by about a tenth of a second."""
PAUSE_S = 0.5
"""Pieces of the transcript end where nobody speaks for so long."""
UNLIKELY = 1e-3
"""How likely a true answer is that is not among the candidates."""
LEAST, MOST = np.array([0.1, -5.0]), np.array([5.0, 5.0])
"""Within these gain and nobody are looked for."""
PRIOR = 0.02
"""How much speaks against numbers far from the plain ones: there are few people to learn from."""


@dataclass(frozen=True, slots=True)
class Talk:
    """A composite as attribution sees it."""

    transcript: Transcript
    """Each word carries its number in the composite after a ``#``."""
    persons: tuple[Person, ...]
    """The true ones: identity's mistakes are not attribution's."""
    faces: tuple[SeenFace, ...]
    composite: Composite

    def truth(self, word: Word) -> str | None:
        """Who says it; None: somebody who is not in the picture."""
        true = self.composite.words[int(word.text.rpartition("#")[2])]
        return true.person if true.is_seen else None


def talk_of(case: Case, jitter_s: float, *, apart: bool = False) -> Talk:
    """One composite, its words off by about ``jitter_s``: whole pieces alike, and each word by half as much more.

    Those who talk at once share a sentence, as a recogniser writes it, or have one each (``apart``), as subtitles do.
    """
    numbers = np.random.default_rng(round(jitter_s * 1000))
    pieces: list[list[Word]] = []
    now: dict[str, list[Word]] = {}
    last_s: dict[str, float] = {}
    shift_s: dict[str, float] = {}
    for number, word in enumerate(case.composite.words):
        who = word.person if apart else ""
        if word.start_s - last_s.get(who, -9.0) > PAUSE_S:
            pieces.append([])
            now[who] = pieces[-1]
            shift_s[who] = float(numbers.normal(0, jitter_s))
        last_s[who] = max(last_s.get(who, -9.0), word.end_s)
        start_s = max(0.0, word.start_s + shift_s[who] + float(numbers.normal(0, jitter_s / 2)))
        now[who].append(Word(f"{word.text}#{number}", start_s, start_s + word.end_s - word.start_s, 1.0))
    sentences = tuple(
        Sentence("", piece[0].start_s, max(word.end_s for word in piece), tuple(piece)) for piece in pieces
    )
    return Talk(Transcript(sentences, "truth"), case.true_persons(), case.faces, case.composite)


@dataclass(frozen=True, slots=True)
class Judged:
    """One word and what the rules make of it."""

    likely: float
    """How likely they hold the truth to be."""
    evidence: Evidence
    """What their answer rests on."""
    is_right: bool
    is_over: bool
    """Somebody else speaks at the same time."""


def judged(talk: Talk, rules: Rules) -> Iterator[Judged]:
    """What the rules make of each word."""
    for belief in beliefs(talk.transcript, talk.persons, talk.faces, rules):
        names = [talk.persons[person].name for person in belief.persons]
        for row, at in enumerate(belief.breath):
            truth = talk.truth(at.word)
            column = len(names) if truth is None else names.index(truth) if truth in names else None
            likely = UNLIKELY if column is None else max(float(belief.posterior[row, column]), UNLIKELY)
            answer, evidence = evidence_of(belief, row)
            said = None if answer is None else names[answer]
            middle_s = (at.word.start_s + at.word.end_s) / 2
            yield Judged(likely, evidence, truth == said, len(talk.composite.speaking(middle_s)) > 1)


def fitted(cases: Sequence[Case], start: Fitted) -> Fitted:
    """The numbers for these cases, looked for from ``start`` on."""
    talks = [
        talk_of(case, jitter_s, apart=apart) for apart in (False, True) for jitter_s in JITTERS_S for case in cases
    ]
    rules = min(
        (_rules(talks, replace(start.rules, pad_s=pad_s)) for pad_s in PADS_S),
        key=lambda rules: _surprise(talks, rules),
    )
    seen = [found for talk in talks for found in judged(talk, rules)]
    return Fitted(rules, _calibration(seen))


def _surprise(talks: Sequence[Talk], rules: Rules) -> float:
    """The mean of minus the logarithm of how likely the truth is held to be, and what speaks against the numbers."""
    likely = [found.likely for talk in talks for found in judged(talk, rules) if not found.is_over]
    return -float(np.mean(np.log(likely))) + PRIOR * ((rules.gain - 1) ** 2 + rules.nobody**2) / 2


def _rules(talks: Sequence[Talk], start: Rules) -> Rules:
    def rules(numbers: NDArray[np.float64]) -> Rules:
        gain, nobody = np.clip(numbers, LEAST, MOST).tolist()
        return replace(start, gain=round(gain, 2), nobody=round(nobody, 2))

    first = np.array([start.gain, start.nobody])
    found = minimize(
        lambda numbers: _surprise(talks, rules(numbers)),
        first,
        method="Nelder-Mead",
        options={"maxfev": 40, "initial_simplex": np.vstack([first, first + np.diag([0.6, 0.8])])},
    )
    return rules(found.x)


def _calibration(seen: Sequence[Judged]) -> Calibration:
    rows = np.array([features(found.evidence) for found in seen])
    right = np.array([found.is_right for found in seen], float)

    def loss(weights: NDArray[np.float64]) -> float:
        total = rows @ weights
        fit = np.mean(np.logaddexp(0, total) - right * total)
        return float(fit + PRIOR * np.square(weights - [0, 1, 0, 0]).sum() / 2)

    found = minimize(
        loss, np.array([0.0, 1.0, 0.0, 0.0]), method="L-BFGS-B", bounds=[(None, None), (0, None)] + 2 * [(None, None)]
    )
    return Calibration(*(round(float(weight), 2) for weight in found.x))


def calibration_error(confidence: NDArray[np.float64], right: NDArray[np.float64], *, bins: int = 10) -> float:
    """How far confidence is from how often it is right: bins of equal width, each counted by its words."""
    places = np.minimum((confidence * bins).astype(int), bins - 1)
    apart = [abs(float((confidence[places == place] - right[places == place]).sum())) for place in np.unique(places)]
    return round(sum(apart) / max(len(confidence), 1), 4)
