"""Faces of every frame from few looks: on the line where all is calm, looked at where something happens."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.speakers.films import FAST, noise, process, two_shots, write_video
from tests.speakers.stills import Still
from vidfleet.errors import UsageError
from vidfleet.speakers.boxes import overlap
from vidfleet.speakers.data import Face, GridFrame
from vidfleet.speakers.flow import Crew
from vidfleet.speakers.looked import Looked, Looks
from vidfleet.speakers.pipeline import Speakers
from vidfleet.speakers.settings import read_settings
from vidfleet.speakers.tables import StageClock

if TYPE_CHECKING:
    from pathlib import Path

Box = tuple[float, float, float, float]
World = Callable[[int], Sequence[Box]]
"""The boxes of the faces that are to be seen in a frame."""
PICTURE = Still(np.zeros((1, 1, 3), np.uint8))


def square(x: float, y: float = 100.0, *, side: float = 100.0) -> Box:
    return (x, y, x + side, y + side)


class Eye:
    """Sees the faces of a world, and remembers in which frames it was asked."""

    def __init__(self, world: World) -> None:
        self.asked: list[int] = []
        self._world = world

    def find(self, frame: GridFrame) -> tuple[Face, ...]:
        self.asked.append(frame.index)
        landmarks = np.zeros((5, 2), np.float32)
        return tuple(Face(frame.index, box, 0.9, landmarks + box[0]) for box in self._world(frame.index))


def watch(
    world: World, frames: int, *, every: int, shots: Sequence[int] = (0,), repeats: Sequence[int] = ()
) -> tuple[Eye, list[Looked]]:
    """Show a film of so many frames; nothing may wait for more than the next look."""
    eye = Eye(world)
    looks = Looks(eye.find, every=every, crew=Crew(1), clock=StageClock())
    seen: list[Looked] = []
    for index in range(frames):
        frame = GridFrame(index, index / 25, PICTURE, is_repeat=index in repeats)
        seen += looks.push(frame, starts_shot=index in shots)
        assert index - len(seen) < every - 1 or every == 1
    seen += looks.finish()
    assert [one.frame.index for one in seen] == list(range(frames))
    assert [one.frame.index for one in seen if one.starts_shot] == list(shots)
    assert all(face.frame == one.frame.index for one in seen for face in one.faces)
    return eye, seen


def boxes(seen: Sequence[Looked]) -> list[list[Box]]:
    return [sorted(face.box for face in one.faces) for one in seen]


def truth(world: World, frames: int) -> list[list[Box]]:
    return [sorted(world(index)) for index in range(frames)]


def test_with_one_every_picture_is_looked_at_but_none_twice() -> None:
    eye, seen = watch(lambda index: [square(index**2)], 20, every=1, shots=(0, 12), repeats=(5, 6))
    assert eye.asked == [index for index in range(20) if index not in (5, 6)]
    assert [one.faces[0].box for one in seen][4:8] == [square(16), square(16), square(16), square(49)]
    assert all(face.is_found for one in seen for face in one.faces)


def test_a_calm_face_is_looked_at_in_every_kth_picture_and_is_on_the_line_between() -> None:
    def world(index: int) -> list[Box]:
        return [square(100 + 3 * index), square(700, 90 - index)]

    eye, seen = watch(world, 23, every=5)
    assert eye.asked == [0, 5, 10, 15, 20, 22]
    np.testing.assert_allclose(boxes(seen), truth(world, 23), atol=1e-9)
    assert [one.frame.index for one in seen if one.faces[0].is_found] == eye.asked
    landmarks = seen[7].faces[0].landmarks
    assert landmarks is not None
    np.testing.assert_allclose(landmarks, 121, atol=1e-4)


def test_first_and_last_of_each_shot_are_looked_at_and_no_line_crosses_a_cut() -> None:
    def world(index: int) -> list[Box]:
        return [square(100 + index)] if index < 13 else [square(130 + index)]

    eye, seen = watch(world, 30, every=5, shots=(0, 13))
    assert {0, 12, 13, 29} <= {*eye.asked}
    assert len(eye.asked) <= 9
    np.testing.assert_allclose(boxes(seen), truth(world, 30), atol=1e-9)


@pytest.mark.parametrize("every", [2, 3, 5, 10])
@pytest.mark.parametrize("at", range(11, 22))
def test_a_face_that_comes_or_goes_does_so_in_the_very_frame(every: int, at: int) -> None:
    def comes(index: int) -> list[Box]:
        return [square(100), *([square(500)] if index >= at else [])]

    def goes(index: int) -> list[Box]:
        return [square(100), *([square(500)] if index < at else [])]

    for world in (comes, goes):
        eye, seen = watch(world, 40, every=every)
        assert boxes(seen) == truth(world, 40)
        assert len(eye.asked) < 40 / every + 2 + 1 + np.log2(every) * 2


def test_every_picture_is_looked_at_where_two_faces_meet() -> None:
    def world(index: int) -> list[Box]:
        return [square(100 + 2 * index), square(260 - 2 * index, 40)]

    eye, seen = watch(world, 120, every=5)
    near = [index for index in range(120) if abs(160 - 4 * index) < 150]
    assert {*near} <= {*eye.asked}
    assert len(eye.asked) < len(near) + 4 + (120 - len(near)) / 5 + 8
    np.testing.assert_allclose(boxes(seen), truth(world, 120), atol=1e-9)


def test_every_picture_is_looked_at_where_a_face_moves_far() -> None:
    def world(index: int) -> list[Box]:
        return [square(100 + max(0, index - 20) ** 2)]

    eye, seen = watch(world, 41, every=5)
    assert {*range(26, 41)} <= {*eye.asked}
    assert not {*range(1, 5)} & {*eye.asked}
    best = [overlap(np.array(a), np.array(b))[0, 0] for a, b in zip(boxes(seen), truth(world, 41), strict=True)]
    assert min(best) > 0.9


def test_a_repeated_picture_has_the_faces_of_the_one_before() -> None:
    def world(index: int) -> list[Box]:
        return [square(100 + 3 * (index - (index >= 7)))]  # what 7 shows is what 6 shows

    for every in (1, 2, 3, 4, 5, 7):
        eye, seen = watch(world, 15, every=every, repeats=(7,))
        assert seen[7].faces[0].box == seen[6].faces[0].box
        assert len(eye.asked) < 15


def test_the_line_between_two_looks_goes_by_when_their_pictures_were_new() -> None:
    """At 12.5 pictures a second each is shown twice: one half way between two looks has the box half way."""

    def world(index: int) -> list[Box]:
        return [square(100 + 3 * (index - index % 2))]

    _, seen = watch(world, 17, every=4, repeats=range(1, 17, 2))
    np.testing.assert_allclose(boxes(seen), truth(world, 17), atol=1e-9)


def test_whatever_happens_each_frame_comes_out_once_and_looks_are_as_found() -> None:
    dice = random.Random(5)
    for _ in range(200):
        frames, every = dice.randint(1, 60), dice.randint(1, 10)
        shots = sorted({0, *(dice.randrange(frames) for _ in range(3))})
        crowd = [[square(dice.randrange(900)) for _ in range(dice.randint(0, 3))] for _ in range(6)]
        plan = [dice.choice(crowd) for _ in range(frames // 4 + 1)]
        eye, seen = watch(lambda index, plan=plan: plan[index // 4], frames, every=every, shots=shots)  # type: ignore[misc]
        assert len(eye.asked) == len({*eye.asked})
        for index in eye.asked:
            assert [face.box for face in seen[index].faces] == list(plan[index // 4])


@pytest.mark.parametrize("wrong", ["0", "11", "-1", "two", "1.5"])
def test_what_cannot_be_meant_is_refused(wrong: str) -> None:
    with pytest.raises(UsageError, match="from 1 to 10"):
        read_settings(["--detect-every", wrong])


def test_results_say_how_often_was_looked_and_are_made_again_for_another_number(tmp_path: Path) -> None:
    said = [Speakers.describe([*FAST, "--detect-every", every])["fingerprint"] for every in ("1", "5")]
    assert said[0] != said[1]
    film = write_video(tmp_path / "a.mp4", two_shots(), sound=noise(2.4))
    exact = process(film, tmp_path / "out", "--lean")
    boxes = [track["track"]["bbox"] for track in exact.load("tracks.pckl")]
    sparse = process(film, tmp_path / "out", "--lean", "--detect-every", "5")
    assert {"faces", "tracks"} <= {row["stage"] for row in sparse.log()}
    theirs = [track["track"]["bbox"] for track in sparse.load("tracks.pckl")]
    assert [len(one) for one in theirs] == [len(one) for one in boxes]
    for one, other in zip(boxes, theirs, strict=True):
        assert overlap(one, other).diagonal().min() > 0.8
    again = process(film, tmp_path / "out", "--lean", "--detect-every", "5")
    assert "faces" not in {row["stage"] for row in again.log()}
