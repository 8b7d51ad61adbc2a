"""Stretches of time are joined, cut and taken away without losing or gaining a moment."""

from __future__ import annotations

import numpy as np
import pytest

from vidfleet.speakers.data import Span
from vidfleet.speakers.spans import at_least, common, joined, without


def spans(*edges: float) -> tuple[Span, ...]:
    return tuple(Span(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True))


def test_gaps_are_closed_up_to_a_length_and_order_does_not_matter() -> None:
    assert joined(spans(5, 6, 0, 1, 1.2, 2, 1.5, 1.7), gap_s=0.3) == spans(0, 2, 5, 6)
    assert joined(spans(0, 1, 1, 2)) == spans(0, 2)
    assert joined(()) == ()


def test_what_is_taken_away_may_lie_anywhere() -> None:
    assert without(spans(1, 5), spans(0, 2, 3, 4, 4.5, 9)) == spans(2, 3, 4, 4.5)
    assert without(spans(1, 5), ()) == spans(1, 5)
    assert without((), spans(1, 5)) == ()


def test_a_shortest_length_is_kept_itself() -> None:
    assert at_least(spans(0, 0.24, 1, 1.2, 2.0, 2.24), 0.24) == spans(0, 0.24, 2.0, 2.24)


@pytest.mark.parametrize("seed", range(10))
def test_parts_add_up_at_every_moment(seed: int) -> None:
    numbers = np.random.default_rng(seed)
    first, second = (
        joined(Span(start, start + length) for start, length in numbers.uniform((0, 0.1), (50, 4), (8, 2)).tolist())
        for _ in range(2)
    )
    for time_s in np.linspace(0.01, 55, 500).tolist():
        here = [any(span.start_s <= time_s < span.end_s for span in part) for part in (first, second)]
        for found, expected in (
            (common(first, second), here[0] and here[1]),
            (without(first, second), here[0] and not here[1]),
            (joined((*first, *second)), here[0] or here[1]),
        ):
            assert any(span.start_s <= time_s < span.end_s for span in found) == expected
