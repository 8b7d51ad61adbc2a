"""Whether more at a time on a GPU is faster, by what single videos took: work a second, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_LEAST_GAIN = 1.10
"""One more at a time has to give a tenth more work a second: it takes memory, and every video of it takes longer."""
_FEWEST = 3
"""Videos at each number; and as many as run at a time."""
_MOST_ROUNDS = 4
"""Where noise still hides the answer after so many times the fewest, what is there decides."""


@dataclass(frozen=True, slots=True)
class Took:
    """One video, while so many ran at a time."""

    cost: float
    seconds: float


def gain(few: Sequence[Took], few_at_once: int, many: Sequence[Took], many_at_once: int) -> tuple[float, float]:
    """Work a second with ``many_at_once``, in terms of that with ``few_at_once``; and its standard error.

    Work is the videos' cost, or their number where that explains better what they took.
    """
    work = min((_by_cost, _by_count), key=lambda work: _spread(few, work) ** 2 + _spread(many, work) ** 2)
    ratio = many_at_once * _speed(many, work) / (few_at_once * _speed(few, work))
    error = math.hypot(_spread(few, work) / math.sqrt(len(few)), _spread(many, work) / math.sqrt(len(many)))
    return ratio, ratio * error


def is_faster(few: Sequence[Took], few_at_once: int, many: Sequence[Took], many_at_once: int) -> bool | None:
    """Whether more at a time pays; nothing while there are too few videos to tell."""
    fewest = enough(many_at_once)
    if len(many) < fewest:
        return None
    ratio, error = gain(few, few_at_once, many, many_at_once)
    if abs(ratio - _LEAST_GAIN) < error and len(many) < _MOST_ROUNDS * fewest:
        return None
    return ratio >= _LEAST_GAIN


def enough(at_once: int) -> int:
    """How many videos say something about so many at a time."""
    return max(_FEWEST, at_once)


def _by_cost(took: Took) -> float:
    return took.cost


def _by_count(_: Took) -> float:
    return 1.0


def _speed(videos: Sequence[Took], work: Callable[[Took], float]) -> float:
    """Of one of them: all work over all seconds, so that a short video counts for little."""
    return sum(map(work, videos)) / max(sum(took.seconds for took in videos), 1e-9)


def _spread(videos: Sequence[Took], work: Callable[[Took], float]) -> float:
    """The standard deviation of the single speeds, as a share of their mean."""
    speeds = [work(took) / max(took.seconds, 1e-9) for took in videos]
    return pstdev(speeds) / fmean(speeds)
