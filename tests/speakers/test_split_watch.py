"""Shots put together of segments are those of one pass, wherever the segments begin; and who takes which segment."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.speakers.stills import Still
from vidfleet.speakers.data import GridFrame
from vidfleet.speakers.parts.board import Board, State
from vidfleet.speakers.parts.watch import Watch
from vidfleet.speakers.shots import ContentShots, CutFilter, SettledFrames
from vidfleet.speakers.tables import StageClock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MINIMUM_S = 0.4
"""Ten grid frames."""


def film(random: np.random.Generator, length: int) -> list[GridFrame]:
    """Shots of 1 to 60 frames, every third of a few frames only; some pictures are shown twice."""
    frames: list[GridFrame] = []
    while len(frames) < length:
        still = Still(np.full((18, 32, 3), random.integers(0, 256, 3), np.uint8))
        long = int(random.integers(1, 60 if random.random() < 0.6 else 8))
        for at in range(long):
            is_repeat = at > 0 and random.random() < 0.2
            frames.append(GridFrame(len(frames), len(frames) / 25, still, is_repeat=is_repeat))
    return frames[:length]


def one_pass(frames: Sequence[GridFrame]) -> list[int]:
    shots = SettledFrames(ContentShots(minimum_s=MINIMUM_S), clock=StageClock())
    settled = [one for frame in frames for one in shots.push(frame)] + list(shots.finish())
    assert [one.frame.index for one in settled] == list(range(len(frames)))
    return [one.frame.index for one in settled if one.starts_shot]


def segment(
    frames: Sequence[GridFrame], starts: Sequence[int], number: int
) -> tuple[list[tuple[int, bool]], tuple[int, int] | None, bool]:
    """What comes out of one segment, where it ends, and whether it has nothing."""
    watch = Watch(starts, number, minimum_s=MINIMUM_S, clock=StageClock())
    seen = []
    for frame in frames[starts[number] :]:
        seen += [(one.frame.index, one.starts_shot) for one in watch.push(frame)]
        if watch.has_nothing or watch.agreed is not None:
            return seen, watch.agreed, watch.has_nothing
    seen += [(one.frame.index, one.starts_shot) for one in watch.finish()]
    return seen, None, not watch.has_begun


@pytest.mark.parametrize("seed", range(60))
def test_shots_of_segments_join_to_those_of_one_pass(seed: int) -> None:
    random = np.random.default_rng(seed)
    frames = film(random, 600)
    fresh = [frame.index for frame in frames if not frame.is_repeat and frame.index]
    starts = [0, *sorted(random.choice(fresh, size=int(random.integers(1, 25)), replace=False).tolist())]
    parts = [segment(frames, starts, number) for number in range(len(starts))]
    joined: list[tuple[int, bool]] = []
    number, cut = 0, 0
    while True:
        seen, agreed, has_nothing = parts[number]
        assert not has_nothing
        joined += [one for one in seen if one[0] >= cut]
        if agreed is None:
            break
        assert agreed[0] > cut
        cut, number = agreed
        assert (cut, True) in parts[number][0]
    assert [index for index, _ in joined] == list(range(600))
    assert [index for index, starts_shot in joined if starts_shot] == one_pass(frames)


@pytest.mark.parametrize("seed", range(20))
def test_who_goes_on_by_himself_sees_the_shots_of_one_pass(seed: int) -> None:
    random = np.random.default_rng(100 + seed)
    frames = film(random, 600)
    starts = [0, *(frame.index for frame in frames if frame.index and frame.index % 37 == 0 and not frame.is_repeat)]
    watch = Watch(starts, 0, minimum_s=MINIMUM_S, clock=StageClock())
    seen, seams = [], 0
    for frame in frames:
        seen += list(watch.push(frame))
        if watch.agreed is not None:
            watch.go_on()
            seams += 1
    seen += list(watch.finish())
    assert [one.frame.index for one in seen] == list(range(600))
    assert [one.frame.index for one in seen if one.starts_shot] == one_pass(frames)
    assert seams > 2


def test_filters_agree_only_when_they_will_say_the_same_for_ever() -> None:
    one, other = (CutFilter(minimum_s=MINIMUM_S) for _ in range(2))
    for index in range(40):
        one.push(index, is_other=index in {12, 30})
        if index >= 20:
            other.push(index, is_other=index == 30)
        if index in range(20, 30):
            assert not one.agrees(other)  # a cut at 29 would be told by the one and not by the other
    assert one.agrees(other)


def test_a_segment_is_for_one_only(tmp_path: Path) -> None:
    boards = Board(tmp_path, 3), Board(tmp_path, 3)
    claim = boards[0].claim(1)
    assert claim is not None
    assert boards[1].claim(1) is None
    assert list(boards[1].look().states) == [State.FREE, State.TAKEN, State.FREE]
    claim.release()
    assert boards[1].claim(1) is not None


def test_who_says_nothing_for_long_is_taken_for_dead_and_who_beats_is_not(tmp_path: Path) -> None:
    watcher, worker = Board(tmp_path, 2, stale_s=0.3), Board(tmp_path, 2)
    lives, dies = worker.claim(0), worker.claim(1)
    assert lives is not None
    assert dies is not None
    end = time.monotonic() + 2.5
    while watcher.look().states[1] is State.TAKEN:
        assert time.monotonic() < end
        path = next(tmp_path.glob("00000.*.taken"))
        with path.open("r+b") as file:
            file.write(f"{time.monotonic_ns() % 10**12:012d} {7:012d}\n".encode())
        time.sleep(0.05)
    assert list(watcher.look().states) == [State.TAKEN, State.FREE]
    assert watcher.look().at == {0: 7}
    again = watcher.claim(1)
    assert again is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000.1.taken", "00001.1.taken", "00001.2.taken"]


def test_a_clock_of_files_that_is_wrong_does_not_matter(tmp_path: Path) -> None:
    watcher, worker = Board(tmp_path, 1), Board(tmp_path, 1)
    assert worker.claim(0) is not None
    os.utime(tmp_path / "00000.1.taken", (1, 1))
    assert watcher.look().states[0] is State.TAKEN


@pytest.mark.parametrize(
    ("names", "taken", "expected"),
    [
        ([], (), 0),
        ([], (0,), 5),  # 1 to 9 are free, and who works on 0 comes by himself
        (["00000-00003.part"], (3,), 7),
        (["00000-00003.part"], (), 3),
        (["00000-end.part"], (), None),
        ([], (0, 4), 7),
        ([], (0, 1, 2, 3, 4, 5, 6, 7, 8), 9),
        (["00004-none.part"], (0,), 5),
    ],
)
def test_the_share_to_take_is_where_nobody_comes_soon(
    names: Sequence[str], taken: Sequence[int], expected: int | None, tmp_path: Path
) -> None:
    for name in names:
        (tmp_path / name).mkdir()
    board = Board(tmp_path, 10)
    for number in taken:
        assert board.claim(number) is not None
    assert Board(tmp_path, 10).look().next_free() == expected


def test_two_who_make_the_same_part_do_no_harm(tmp_path: Path) -> None:
    board = Board(tmp_path, 2)
    for text in ("one", "two"):
        growing = board.growing()
        (growing / "part.npz").write_text(text)
        board.publish(growing, 0, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["00000-00001.part"]
    assert (tmp_path / "00000-00001.part/part.npz").read_text() == "one"
