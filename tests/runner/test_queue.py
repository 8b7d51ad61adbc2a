"""Which lane takes what, and where a retry goes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vidfleet.data import Device, Lane, Probe, Stage, Task, Video
from vidfleet.runner.events import AttemptStarted, RunStarted
from vidfleet.runner.order.forecast import Forecast
from vidfleet.runner.order.queue import Case, Queue, Running
from vidfleet.runner.order.timing import Known, Sample
from vidfleet.workloads import Description

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def test_a_retry_goes_to_another_gpu_where_there_is_one() -> None:
    """Not to the other lane of the one that failed."""
    one, other = Device("gpu", "0"), Device("gpu", "1")
    lanes = [Lane(0, one, 1), Lane(1, one, 1), Lane(2, other, 1)]
    queue = Queue(_cases(2), lanes, "longest")
    case = queue.take(lanes[0], [], lanes)
    assert case is not None
    queue.put_back(case, lanes[0])
    assert queue.take(lanes[1], [], lanes) is not case
    assert queue.take(lanes[2], [], lanes) is case
    queue.put_back(case, lanes[2])
    assert queue.take(lanes[2], [], lanes) is None
    queue.put_back(case, lanes[0])
    assert queue.take(lanes[1], [], lanes[:2]) is case, "the other GPU is out"


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


def test_other_machines_do_not_wait_for_a_retry_that_wants_room_on_its_host() -> None:
    lanes = [Lane(i, Device("cpu", "", host="ab"[i % 2]), 1) for i in range(4)]
    queue = Queue(_cases(6), lanes, "longest")
    case = queue.take(lanes[0], [], lanes)
    assert case is not None
    case.room = "host"
    running = [Running(case, lanes[0], 0.0, DESCRIPTION)]
    assert queue.take(lanes[2], running, lanes) is None
    assert queue.take(lanes[1], running, lanes) is not None


def test_a_lane_that_is_out_gives_its_videos_away() -> None:
    """In round-robin nothing would else take them."""
    lanes = _lanes(2)
    queue = Queue(_cases(4), lanes, "round-robin")
    queue.give_away(lanes[0])
    taken = [_position(queue.take(lanes[1], [], lanes[1:])) for _ in range(4)]
    assert sorted(position for position in taken if position is not None) == [0, 1, 2, 3]


class Unlike:
    """Lane 0 takes four times as long as lane 1; a video of cost 1 takes 1 s there."""

    def __init__(self, *costs: int, devices: tuple[str, str] = ("slow", "fast")) -> None:
        self.lanes = [Lane(index, Device("gpu", str(index), name), 1) for index, name in enumerate(devices)]
        stage = Stage(Path(), Path(), "", Path())
        tasks = [
            Task(Video(Path(f"{i}.mp4"), f"{i}.mp4", 1, 1, i), stage, Probe(1.0, cost, 1, 1, ""))
            for i, cost in enumerate(costs)
        ]
        known = tuple(
            Known(name, tuple(Sample(500, 500 * cost, 500 * cost * slow) for cost in (1, 10, 100)))
            for name, slow in (("slow", 4), ("fast", 1))
        )
        self.forecast = Forecast()
        self.forecast.apply(RunStarted("", "", tuple(self.lanes), tuple(tasks), (), known), 0.0)
        self.queue = Queue(
            [Case(task) for task in tasks], self.lanes, "longest", forecast=self.forecast, now=lambda: 0.0
        )
        self.running: list[Running] = []

    def take(self, lane: int) -> int | None:
        """The cost of what a lane takes at second 0, and begins."""
        case = self.queue.take(self.lanes[lane], self.running, self.lanes)
        if case is None:
            return None
        self.running.append(Running(case, self.lanes[lane], 0.0, DESCRIPTION))
        self.forecast.apply(AttemptStarted(case.task, self.lanes[lane], 1), 0.0)
        return case.task.probe.frames


def test_a_slow_lane_takes_the_longest_video_that_the_other_would_not_end_sooner() -> None:
    """100 and 50 end sooner on the fast lane, at 100 and 150 s; 40 would end there at 190, here at 160."""
    world = Unlike(100, 50, 40, 3)
    assert world.take(0) == 40
    assert world.take(1) == 100


def test_a_slow_lane_stays_idle_where_it_would_hold_up_the_end() -> None:
    """The fast lane is busy for 10 s, and does both before the slow one has done either."""
    world = Unlike(10, 9, 8)
    assert world.take(1) == 10
    assert world.take(0) is None
    assert [case.task.probe.frames for case in world.queue.peek(5)] == [9, 8]


def test_a_slow_lane_works_where_nobody_else_does() -> None:
    """The fast one may be shut for reasons that the queue does not know: asked again, the slow one works."""
    world = Unlike(10, 9)
    assert world.take(0) is None
    assert world.take(0) == 10


def test_a_lane_that_is_not_usable_is_no_reason_to_wait() -> None:
    world = Unlike(10, 9)
    case = world.queue.take(world.lanes[0], [], world.lanes[:1])
    assert case is not None
    assert case.task.probe.frames == 10


def test_far_down_a_long_line_a_slow_lane_finds_what_is_short_enough() -> None:
    """The fast lane is busy for 3,000 s and gets the first of the line: what takes up to 1,000 s here ends sooner."""
    world = Unlike(3000, *(3000 for _ in range(500)), *(90 for _ in range(50)), 80, 70)
    assert world.take(1) == 3000
    assert world.take(0) in (3000, 90)
    short = Unlike(200, *(100 for _ in range(3)), *range(60, 1, -1))
    assert short.take(1) == 200
    taken = short.take(0)
    assert taken is not None
    assert taken * 4 <= 200 + 300 + taken


def test_equal_lanes_take_what_is_first_in_line() -> None:
    world = Unlike(5, 4, 3, devices=("fast", "fast"))
    assert [world.take(lane) for lane in (1, 0, 0)] == [5, 4, 3]


def test_the_fastest_lane_decides_without_a_look_at_each_other_one() -> None:
    """A cluster has 8,000 of them, and decides 13 times a second."""

    class Unseen(tuple[Lane, ...]):
        __slots__ = ()

        def __iter__(self) -> Iterator[Lane]:
            raise AssertionError("each lane was looked at")

    world = Unlike(5, 4, 3)
    case = world.queue.take(world.lanes[1], [], Unseen(world.lanes))
    assert case is not None
    assert case.task.probe.frames == 5
    with pytest.raises(AssertionError, match="looked at"):
        world.queue.take(world.lanes[0], [], Unseen(world.lanes))


def test_where_nothing_is_known_every_other_lane_begins_with_a_few_of_middling_cost() -> None:
    lanes, stage = _lanes(4), Stage(Path(), Path(), "", Path())
    costs = range(100, 0, -1)
    cases = [
        Case(Task(Video(Path(f"{i}.mp4"), f"{i}.mp4", 1, 1, i), stage, Probe(1.0, cost, 1, 1, "")))
        for i, cost in enumerate(costs)
    ]
    queue = Queue(cases, lanes, "longest")
    peeked = queue.peek(6)
    taken = [case.task.probe.frames for lane in lanes if (case := queue.take(lane, [], lanes))]
    assert [taken[0], taken[2]] == [100, 99]
    assert all(10 <= cost <= 60 for cost in (taken[1], taken[3])), taken
    assert {case.task.probe.frames for case in peeked} >= set(taken)
    rest = [case.task.probe.frames for case in queue.rest()]
    assert sorted([*taken, *rest]) == sorted(costs)
    for schedule in ("name", "shortest", "round-robin"):
        strict = Queue(cases, lanes, schedule)
        assert [_position(strict.take(lane, [], lanes)) for lane in lanes] == [0, 1, 2, 3]
    few = Queue(cases[:15], lanes, "longest")
    assert [_position(few.take(lane, [], lanes)) for lane in lanes] == [0, 1, 2, 3]


def test_a_look_ahead_takes_nothing() -> None:
    for schedule in ("longest", "round-robin"):
        lanes = _lanes(2)
        queue = Queue(_cases(6), lanes, schedule)
        first = queue.take(lanes[0], [], lanes)
        assert first is not None
        queue.put_back(first, lanes[0])
        ahead = [_position(case) for case in queue.peek(3)]
        assert ahead[0] == 0
        taken = {_position(queue.take(lane, [], lanes)) for lane in (lanes[1], lanes[1], lanes[0])}
        assert taken == set(ahead) == {0, 1, 2}
        assert len(queue.peek(100)) == 3


def test_ten_thousand_videos_and_64_lanes_of_four_speeds_cost_little_to_decide_on() -> None:
    """A tenth of a millisecond; five times that is let pass here."""
    lanes = [Lane(i, Device("gpu", str(i), f"model {i % 4}"), 1) for i in range(64)]
    stage = Stage(Path(), Path(), "", Path())
    tasks = [
        Task(Video(Path(f"{i}.mp4"), f"{i}.mp4", 1, 1, i), stage, Probe(1.0, 10_000 - i, 1, 1, ""))
        for i in range(10_000)
    ]
    known = tuple(Known(f"model {n}", (Sample(500, 500_000, 500_000 * (1 + n)),)) for n in range(4))
    forecast = Forecast()
    forecast.apply(RunStarted("", "", tuple(lanes), tuple(tasks), (), known), 0.0)
    queue = Queue([Case(task) for task in tasks], lanes, "longest", forecast=forecast, now=lambda: 0.0)
    began, taken = time.process_time(), 0
    while taken < 2000:
        for lane in lanes:
            if (case := queue.take(lane, [], lanes)) is not None:
                forecast.apply(AttemptStarted(case.task, lane, 1), 0.0)
                taken += 1
    assert (time.process_time() - began) / taken < 0.0005
