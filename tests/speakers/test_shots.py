"""Cuts are found where PySceneDetect finds them, and downstream is told in time."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scenedetect import FrameTimecode
from scenedetect.detectors import ContentDetector

from tests.speakers.stills import Still
from vidfleet.speakers.data import GridFrame, Shot
from vidfleet.speakers.shots import Content, ContentShots, grid_time, shots_between

if TYPE_CHECKING:
    from numpy.typing import NDArray


def picture(colour: int) -> NDArray[np.uint8]:
    random = np.random.default_rng(colour)
    flat = np.full((90, 160, 3), random.integers(0, 256, 3), dtype=np.uint8)
    flat[20:60, 30 : 30 + 10 * (colour % 10 + 1)] = random.integers(0, 256, 3)
    return flat


def film(*lengths: int) -> list[NDArray[np.uint8]]:
    """Shots of so many frames, each with a picture of its own."""
    return [picture(shot * 7 + 3) for shot, length in enumerate(lengths) for _ in range(length)]


def run(pictures: list[NDArray[np.uint8]]) -> tuple[list[int], list[int]]:
    """The cuts, and how far behind the pictures ``settled`` was after each."""
    shots = ContentShots()
    cuts: list[int] = []
    lags: list[int] = []
    for index, bgr in enumerate(pictures):
        repeat = index > 0 and pictures[index - 1] is bgr
        new = shots.push(GridFrame(index, index / 25, Still(bgr), is_repeat=repeat))
        assert all(before <= cut for before, cut in itertools.pairwise([settled_before(lags, index), *new]))
        cuts += new
        lags.append(index + 1 - shots.settled)
    return cuts, lags


def settled_before(lags: list[int], index: int) -> int:
    return index - lags[-1] if lags else 0


def reference(pictures: list[NDArray[np.uint8]]) -> list[int]:
    """What PySceneDetect's detector says by itself."""
    detector = ContentDetector(min_scene_len=25)
    cuts: list[FrameTimecode] = []
    for index, bgr in enumerate(pictures):
        cuts += detector.process_frame(FrameTimecode(index, 25.0), bgr)
    return [cut.frame_num for cut in cuts]


def test_a_change_has_the_number_that_pyscenedetect_gives_it() -> None:
    numbers = np.random.default_rng(8)
    noise = [numbers.integers(0, 256, (36, 64, 3), np.uint8) for _ in range(3)]
    pictures = [*noise, noise[0] // 2, noise[0]]
    content, detector = Content(), ContentDetector()
    for index, bgr in enumerate(pictures):
        expected = detector._calculate_frame_score(FrameTimecode(index, 25.0), bgr)
        assert content._change(bgr) == expected
        assert index == 0 or expected > 0


def test_no_cut_is_one_shot() -> None:
    cuts, lags = run(film(60))
    assert cuts == []
    assert set(lags) == {0}
    assert shots_between(cuts, 60) == (Shot(0, 60),)


def test_a_cut_is_known_at_once() -> None:
    cuts, lags = run(film(40, 50, 30))
    assert cuts == [40, 90]
    assert set(lags) == {0}
    assert shots_between(cuts, 120) == (Shot(0, 40), Shot(40, 90), Shot(90, 120))


@pytest.mark.parametrize(
    "lengths",
    [
        (40, 50, 30),
        (10, 60),  # a cut in the first second
        (40, 5, 5, 5, 5, 5, 5, 60),  # a burst of more than a second
        (40, 5, 60, 60),  # a flash, and a real cut after it
        (40, 3, 60, 24, 25, 26, 1, 1, 40),
        (30, *([10] * 12), 40),
    ],
)
def test_cuts_are_those_of_pyscenedetect(lengths: tuple[int, ...]) -> None:
    pictures = film(*lengths)
    cuts, lags = run(pictures)
    assert cuts == reference(pictures)
    assert max(lags) <= 25


def test_a_cut_is_told_before_its_frame_is_settled() -> None:
    # run() asserts it for every frame; here a burst makes it matter.
    cuts, lags = run(film(40, 5, 5, 5, 5, 5, 5, 60))
    assert len(cuts) == 2
    assert max(lags) == 25
    assert lags[-1] == 0


def test_one_frame_is_one_shot() -> None:
    cuts, _ = run(film(1))
    assert shots_between(cuts, 1) == (Shot(0, 1),)


def test_times_are_on_the_grid() -> None:
    assert grid_time(150).seconds == 6.0
