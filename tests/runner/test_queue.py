"""Which lane takes what, and where a retry goes."""

from __future__ import annotations

from pathlib import Path

from vidfleet.data import Device, Lane, Probe, Stage, Task, Video
from vidfleet.runner.queue import Case, Queue, Running
from vidfleet.workloads import Description

DESCRIPTION = Description(Path(), "x.py", "script", {})


def _cases(count: int) -> list[Case]:
    stage, probe = Stage(Path(), Path(), "", Path()), Probe(1.0, 1, 1, 1, "")
    return [Case(Task(Video(Path(f"{i}.mp4"), f"{i}.mp4", 1, 1, i), stage, probe)) for i in range(count)]


def _lanes(count: int) -> list[Lane]:
    return [Lane(i, Device("gpu", str(i)), 1) for i in range(count)]


def _position(case: Case | None) -> int | None:
    return None if case is None else case.task.video.position


def test_any_lane_takes_the_next_in_order() -> None:
    lanes = _lanes(2)
    queue = Queue(_cases(3), lanes, "longest")
    assert [_position(queue.take(lanes[i], [], lanes)) for i in (1, 1, 0, 0)] == [0, 1, 2, None]


def test_in_round_robin_video_i_waits_for_lane_i_mod_n() -> None:
    """Also where earlier videos are done already: positions are those of all videos."""
    lanes = _lanes(4)
    queue = Queue([case for case in _cases(9) if case.task.video.position not in (0, 5)], lanes, "round-robin")
    taken = {lane.index: [_position(queue.take(lane, [], lanes)) for _ in range(3)] for lane in lanes}
    assert taken == {0: [4, 8, None], 1: [1, None, None], 2: [2, 6, None], 3: [3, 7, None]}


def test_a_retry_goes_first_and_to_another_lane() -> None:
    for schedule in ("longest", "round-robin"):
        lanes = _lanes(2)
        queue = Queue(_cases(4), lanes, schedule)
        case = queue.take(lanes[0], [], lanes)
        assert case is not None
        queue.put_back(case, lanes[0])
        assert _position(queue.take(lanes[0], [], lanes)) != 0
        assert _position(queue.take(lanes[1], [], lanes)) == 0


def test_with_one_lane_a_retry_goes_there_again() -> None:
    lanes = _lanes(1)
    lane, queue = lanes[0], Queue(_cases(1), lanes, "longest")
    case = queue.take(lane, [], lanes)
    assert case is not None
    queue.put_back(case, lane)
    assert queue.take(lane, [], lanes) is case


def test_the_rest_is_everything_that_nobody_took() -> None:
    for schedule in ("longest", "round-robin"):
        lanes = _lanes(2)
        queue = Queue(_cases(5), lanes, schedule)
        case = queue.take(lanes[0], [], lanes)
        assert case is not None
        queue.put_back(case, lanes[0])
        assert sorted(case.task.video.position for case in queue.rest()) == [0, 1, 2, 3, 4]
        assert queue.take(lanes[1], [], lanes) is None
        assert list(queue.rest()) == []


def test_each_attempt_of_a_case_has_a_name_of_its_own() -> None:
    case, other = _cases(2)
    assert {case.name, other.name} == {"0.1", "1.1"}


def test_a_retry_that_wants_its_gpu_alone_waits_until_the_other_lane_is_free_and_keeps_it_free() -> None:
    """Two lanes on one GPU; nothing starts beside it either."""
    gpu = Device("gpu", "0")
    lanes = [Lane(0, gpu, 1), Lane(1, gpu, 1)]
    queue = Queue(_cases(3), lanes, "longest")
    hungry, other = queue.take(lanes[0], [], lanes), queue.take(lanes[1], [], lanes)
    assert hungry is not None
    assert other is not None
    hungry.room = "gpu"
    queue.put_back(hungry, lanes[0])
    beside = [Running(other, lanes[1], 0.0, DESCRIPTION)]
    assert queue.take(lanes[0], beside, lanes) is not hungry
    assert queue.take(lanes[1], [], lanes) is hungry
    assert queue.take(lanes[0], [Running(hungry, lanes[1], 0.0, DESCRIPTION)], lanes) is None


def test_a_retry_that_wants_room_on_the_host_runs_beside_less_than_half() -> None:
    """Of four lanes one other may work."""
    lanes = _lanes(4)
    queue = Queue(_cases(6), lanes, "longest")
    cases = [queue.take(lane, [], lanes) for lane in lanes]
    running = [Running(case, lane, 0.0, DESCRIPTION) for case, lane in zip(cases, lanes, strict=True) if case]
    hungry = running[0].case
    hungry.room = "host"
    queue.put_back(hungry, lanes[0])
    assert queue.take(lanes[1], running[1:3], lanes) is None
    assert queue.take(lanes[1], running[2:3], lanes) is hungry
    assert queue.take(lanes[2], [running[2], Running(hungry, lanes[1], 0.0, DESCRIPTION)], lanes) is None


def test_a_lane_that_is_out_gives_its_videos_away() -> None:
    """In round-robin nothing would else take them."""
    lanes = _lanes(2)
    queue = Queue(_cases(4), lanes, "round-robin")
    queue.give_away(lanes[0])
    taken = [_position(queue.take(lanes[1], [], lanes[1:])) for _ in range(4)]
    assert sorted(position for position in taken if position is not None) == [0, 1, 2, 3]
