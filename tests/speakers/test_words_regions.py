"""All speech is heard, half a minute at a time, and no word twice or cut in two."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest

from tests.support.sounds import RATE, Hum, Samples, tone
from vidfleet.speakers.data import Span, Word
from vidfleet.speakers.words.regions import LONGEST_S, Region, plan_regions, share_out


def spans(*times_s: tuple[float, float]) -> tuple[Span, ...]:
    return tuple(Span(*each) for each in times_s)


def word(start_s: float, end_s: float, text: str = "word") -> Word:
    return Word(text, start_s, end_s, 1.0)


def test_short_spans_are_heard_together_and_long_silence_is_not_heard() -> None:
    regions = plan_regions(Hum(60), spans((1, 3), (4, 6), (20, 25)))
    assert [(r.start_s, r.end_s) for r in regions] == [(0.8, 6.2), (19.8, 25.2)]


def test_the_margin_reaches_no_further_than_half_way_to_the_neighbour_and_the_ends() -> None:
    regions = plan_regions(Hum(30), spans((0.1, 14.0), (14.2, 29.95)))
    assert [r.start_s for r in regions] == pytest.approx([0, 14.1])
    assert [r.end_s for r in regions] == pytest.approx([14.1, 30])


@pytest.mark.parametrize("seed", range(20))
def test_every_moment_of_speech_is_heard_and_no_region_is_too_long(seed: int) -> None:
    chance = random.Random(seed)
    times = sorted(chance.uniform(0, 600) for _ in range(2 * chance.randint(1, 40)))
    speech = spans(*zip(times[::2], times[1::2], strict=True))
    regions = plan_regions(Hum(600), speech)
    assert all(r.end_s - r.start_s <= LONGEST_S + 1e-6 for r in regions)
    for at_s in np.arange(0, 600, 0.05):
        owners = [
            r
            for r in regions
            if (r.start_s if r.cut_before_s is None else r.cut_before_s) <= at_s
            and at_s < (r.end_s if r.cut_after_s is None else r.cut_after_s)
        ]
        assert len(owners) <= 1
        assert owners or not any(s.start_s <= at_s < s.end_s for s in speech)


def test_long_speech_is_cut_where_it_is_quiet_and_both_sides_hear_a_second_more() -> None:
    values = tone(300, 50)
    values[int(24.0 * RATE) : int(24.3 * RATE)] //= 20
    first, second = plan_regions(Samples(values), spans((0, 50)))
    assert first.cut_after_s == second.cut_before_s == pytest.approx(24.15, abs=0.06)
    assert first.cut_after_s is not None
    assert (first.end_s, second.start_s) == (first.cut_after_s + 1, first.cut_after_s - 1)
    assert (first.cut_before_s, second.cut_after_s) == (None, None)


def test_hours_of_speech_without_a_pause_are_cut_again_and_again() -> None:
    sound = Hum(3600)
    regions = plan_regions(sound, spans((0, 3600)))
    assert all(a.cut_after_s == b.cut_before_s is not None for a, b in pairwise(regions))
    assert sound.largest <= 10 * RATE, "only where a cut may be is listened to"


CUT = (Region(0, 25, None, 24.0), Region(23, 50, 24.0, None))


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        pytest.param([word(22, 23), word(24.2, 24.6)], [word(22.5, 23), word(24.2, 24.6)], [22, 24.2], id="clear"),
        pytest.param([word(23.7, 24.2)], [word(23.9, 24.3)], [23.7], id="both claim it"),
        pytest.param([word(23.8, 24.3)], [word(23.6, 24.2)], [23.8], id="both refuse it"),
        pytest.param([word(23.7, 24.2)], [], [23.7], id="only one hears it"),
        pytest.param([word(23.8, 24.3)], [word(23.9, 24.3)], [23.9], id="the second has it"),
        pytest.param([word(23.5, 23.9), word(24.1, 24.4)], [word(24.1, 24.4), word(24.4, 25)], [23.5, 24.1, 24.4],
                     id="neighbours"),
    ],
)  # fmt: skip
def test_a_word_at_a_cut_counts_once(before: list[Word], after: list[Word], kept: list[float]) -> None:
    own = share_out(CUT, [before, after])
    assert [w.start_s for each in own for w in each] == kept
