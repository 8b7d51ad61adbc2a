"""Persons have colours of their own, that can be read on."""

from __future__ import annotations

import re

from vidfleet.speakers.palette import OFF_SCREEN, colour_of, ink_on, rgb_of


def test_no_two_of_a_large_cast_share_a_colour() -> None:
    colours = [colour_of(order) for order in range(100)]
    assert len({OFF_SCREEN, *colours}) == 101
    assert all(re.fullmatch(r"#[0-9a-f]{6}", colour) for colour in colours)


def test_the_few_that_speak_most_are_far_apart() -> None:
    colours = [rgb_of(colour_of(order)) for order in range(7)]
    for place, one in enumerate(colours):
        for other in colours[:place]:
            assert sum(abs(a - b) for a, b in zip(one, other, strict=True)) > 75


def test_ink_is_the_one_that_is_read_better() -> None:
    assert (ink_on("#ffffff"), ink_on("#000000"), ink_on("#e8dc32"), ink_on("#0072b2")) == (
        "#000000",
        "#ffffff",
        "#000000",
        "#ffffff",
    )
