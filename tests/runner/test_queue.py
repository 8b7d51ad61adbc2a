"""Which lane takes what, and where a retry goes."""

from __future__ import annotations

from pathlib import Path

from vidfleet.data import Device, Lane, Probe, Stage, Task, Video
from vidfleet.runner.queue import Case, Queue


def _cases(count: int) -> list[Case]:
    stage, probe = Stage(Path(), Path(), "", Path()), Probe(1.0, 1, 1, 1, "")
    return [Case(Task(Video(Path(f"{i}.mp4"), f"{i}.mp4", 1, 1, i), stage, probe)) for i in range(count)]


def _lanes(count: int) -> list[Lane]:
    return [Lane(i, Device("gpu", str(i)), 1) for i in range(count)]


def _position(case: Case | None) -> int | None:
    return None if case is None else case.task.video.position


def test_any_lane_takes_the_next_in_order() -> None:
    queue, lanes = Queue(_cases(3), 2, "longest"), _lanes(2)
    assert [_position(queue.take(lanes[i])) for i in (1, 1, 0, 0)] == [0, 1, 2, None]


def test_in_round_robin_video_i_waits_for_lane_i_mod_n() -> None:
    """Also where earlier videos are done already: positions are those of all videos."""
    queue, lanes = (
        Queue([case for case in _cases(9) if case.task.video.position not in (0, 5)], 4, "round-robin"),
        _lanes(4),
    )
    taken = {lane.index: [_position(queue.take(lane)) for _ in range(3)] for lane in lanes}
    assert taken == {0: [4, 8, None], 1: [1, None, None], 2: [2, 6, None], 3: [3, 7, None]}


def test_a_retry_goes_first_and_to_another_lane() -> None:
    for schedule in ("longest", "round-robin"):
        queue, lanes = Queue(_cases(4), 2, schedule), _lanes(2)
        case = queue.take(lanes[0])
        assert case is not None
        queue.put_back(case, lanes[0])
        assert _position(queue.take(lanes[0])) != 0
        assert _position(queue.take(lanes[1])) == 0


def test_with_one_lane_a_retry_goes_there_again() -> None:
    queue, lane = Queue(_cases(1), 1, "longest"), _lanes(1)[0]
    case = queue.take(lane)
    assert case is not None
    queue.put_back(case, lane)
    assert queue.take(lane) is case


def test_the_rest_is_everything_that_nobody_took() -> None:
    for schedule in ("longest", "round-robin"):
        queue, lanes = Queue(_cases(5), 2, schedule), _lanes(2)
        case = queue.take(lanes[0])
        assert case is not None
        queue.put_back(case, lanes[0])
        assert sorted(case.task.video.position for case in queue.rest()) == [0, 1, 2, 3, 4]
        assert queue.take(lanes[1]) is None
        assert list(queue.rest()) == []


def test_each_attempt_of_a_case_has_a_name_of_its_own() -> None:
    case, other = _cases(2)
    assert {case.name, other.name} == {"0.1", "1.1"}
