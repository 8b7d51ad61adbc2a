"""How sure it is who said a word: numbers that were fitted, and from them a probability.

One set of numbers for LR-ASD's scores and one for the embedded method's, whose scores mean something else.
``benchmarks/who_said_what.py --fit`` found them, on composites whose truth is known; docs/attribution.md tells how.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vidfleet.speakers.data import Method

LOGIT_CAP = 6.0
"""Beyond it the posterior says no more: 1 in 400."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How words are given to persons."""

    pad_s: float
    """So much before and after a word is looked at as well: lips move before they are heard."""
    gain: float
    """How much a mean score of 1 over a word's time speaks for a face."""
    nobody: float
    """How much is to be said for "off screen" before any face is looked at; in units of gain times score."""
    switch: float
    """How much speaks against a change of speaker between two words of one breath and one sentence."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A logistic regression: from what the rules believe to how often they are right."""

    bias: float
    posterior: float
    """Of the log odds of the answer, in the rules' own belief."""
    off_screen: float
    """Added where the answer is "off screen"."""
    seen: float
    """Of the share of the word's time in which a face with a score is in the picture."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the answer for one word rests on."""

    posterior: float
    """0..1: the rules' belief in the answer."""
    off_screen: bool
    seen: float
    """0..1: the share of the word's time in which any face with a score is in the picture."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """All numbers for one kind of scores."""

    rules: Rules
    calibration: Calibration


LR_ASD = Fitted(
    Rules(pad_s=0.0, gain=0.66, nobody=0.14, switch=3.0),
    Calibration(bias=0.29, posterior=0.58, off_screen=-0.23, seen=0.29),
)
EMBEDDED = Fitted(
    Rules(pad_s=0.0, gain=1.11, nobody=0.17, switch=3.0),
    Calibration(bias=-0.01, posterior=0.89, off_screen=-0.13, seen=-0.01),
)
"""By the mouth alone scores are smaller, and each counts for more."""


def fitted_for(method: Method) -> Fitted:
    """The numbers for the active speaker method that made the scores."""
    return EMBEDDED if method.is_heuristic else LR_ASD


def features(evidence: Evidence) -> tuple[float, float, float, float]:
    """What :class:`Calibration`'s numbers are multiplied with, in the order of its fields."""
    posterior = min(max(evidence.posterior, 1e-9), 1 - 1e-9)
    logit = math.log(posterior / (1 - posterior))
    return (
        1.0,
        min(max(logit, -LOGIT_CAP), LOGIT_CAP),
        float(evidence.off_screen),
        evidence.seen,
    )


def confidence(evidence: Evidence, calibration: Calibration) -> float:
    """0..1, rounded to a thousandth: how often an answer with this evidence is right."""
    weights = (
        calibration.bias,
        calibration.posterior,
        calibration.off_screen,
        calibration.seen,
    )
    total = sum(weight * feature for weight, feature in zip(weights, features(evidence), strict=True))
    return round(1 / (1 + math.exp(-total)), 3)
