"""The elements' ledgers become one story."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from vidfleet.data import Attempt, Device, Evidence, Lane, Outcome, Task
from vidfleet.runner.events import (
    AttemptEnded,
    AttemptStarted,
    Event,
    LaneJoined,
    LaneOut,
    RunEnded,
    RunStarted,
    VideoEnded,
)
from vidfleet.runner.ledger import LEDGER_NAME, Ledger, read_ledger
from vidfleet.runner.lines import Reader
from vidfleet.runner.slurm.follow import Follower
from vidfleet.runner.slurm.place import ElementStart, Place

from .test_shares import make_task

if TYPE_CHECKING:
    from pathlib import Path

TASKS = tuple(make_task(index, 10.0) for index in range(4))
LANES = tuple(Lane(index, Device("gpu", str(index)), 1) for index in range(2))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path / "slurm")
    made.make()
    made.tell_clock(made.path)
    return made


def begin(place: Place, share: int, start: int, node: str) -> Ledger:
    folder = place.element(ElementStart(share, start))
    folder.mkdir()
    place.tell_clock(folder)
    ledger = Ledger(folder / LEDGER_NAME)
    lanes = tuple(replace(lane, device=replace(lane.device, host=node)) for lane in LANES)
    ledger.write(RunStarted("/videos", "x", lanes, (), ()))
    return ledger


def follower(place: Place) -> Follower:
    reader = Reader()
    reader.begin(RunStarted("/videos", "x", (), TASKS, ()))
    return Follower(place, reader)


def heard(of: Follower) -> list[Event]:
    return [event for _, event, _ in of.poll()]


def work(ledger: Ledger, task: Task, lane: Lane) -> None:
    attempt = Attempt(1, lane, "h", 1.0, 2.0, "done", "", Evidence())
    ledger.write(AttemptStarted(task, lane, 1))
    ledger.write(AttemptEnded(task, attempt, will_retry=False))
    ledger.write(VideoEnded(task, Outcome(task.video, "done")))


def test_lanes_of_all_nodes_have_numbers_of_their_own(place: Place) -> None:
    follow = follower(place)
    with begin(place, 0, 0, "n1") as first, begin(place, 1, 0, "n2") as second:
        work(first, TASKS[0], LANES[1])
        work(second, TASKS[1], LANES[1])
    events = heard(follow)
    joined = [event.lane for event in events if isinstance(event, LaneJoined)]
    assert sorted((lane.index, lane.label) for lane in joined) == [
        (0, "n1/gpu:0"), (1, "n1/gpu:1"), (2, "n2/gpu:0"), (3, "n2/gpu:1"),
    ]  # fmt: skip
    started = {event.task.video.stem: event.lane.label for event in events if isinstance(event, AttemptStarted)}
    assert started == {"v0": "n1/gpu:1", "v1": "n2/gpu:1"}
    (attempt,) = follow.attempts("v1.mp4")
    assert attempt.lane.label == "n2/gpu:1"


def test_only_what_is_new_is_told(place: Place) -> None:
    follow = follower(place)
    with begin(place, 0, 0, "n1") as ledger:
        assert len(heard(follow)) == 2
        assert heard(follow) == []
        work(ledger, TASKS[0], LANES[0])
        assert len(heard(follow)) == 3


def test_a_line_that_is_half_written_waits(place: Place) -> None:
    follow = follower(place)
    with begin(place, 0, 0, "n1"):
        path = place.element(ElementStart(0, 0)) / LEDGER_NAME
        whole = b'{"type":"notice","at":1,"text":"hello"}\n'
        with path.open("ab", buffering=0) as file:
            file.write(whole[:20])
            assert len(heard(follow)) == 2
            file.write(whole[20:])
        assert len(heard(follow)) == 1


def test_a_node_whose_element_starts_again_has_the_same_lanes(place: Place) -> None:
    """So the display and the report do not grow with each pre-emption."""
    follow = follower(place)
    with begin(place, 0, 0, "n1") as ledger:
        ledger.write(RunEnded(1.0, "interrupt"))
    gone = [event for event in heard(follow) if isinstance(event, LaneOut)]
    assert [event.lane.index for event in gone] == [0, 1]
    assert follow.ended(ElementStart(0, 0)) == "interrupt"
    with begin(place, 0, 1, "n1"), begin(place, 1, 0, "n2"):
        pass
    joined = {event.lane.label: event.lane.index for event in heard(follow) if isinstance(event, LaneJoined)}
    assert joined == {"n1/gpu:0": 0, "n1/gpu:1": 1, "n2/gpu:0": 2, "n2/gpu:1": 3}


def test_another_driver_merges_each_line_once(place: Place, tmp_path: Path) -> None:
    """It knows from the run's own ledger how far the one before it was."""
    first, told = follower(place), tmp_path / "events.jsonl"
    with begin(place, 0, 0, "n1") as ledger, Ledger(told) as merged:
        merged.write(RunStarted("/videos", "x", (), TASKS, ()))
        work(ledger, TASKS[0], LANES[0])
        for _, event, source in first.poll():
            merged.write(event, source)
        work(ledger, TASKS[1], LANES[1])
        reader = Reader()
        second = Follower(place, reader)
        for plain in read_ledger(told):
            if event := reader.read(plain):  # type: ignore[assignment]
                second.has_merged(plain, event)
        events = heard(second)
    assert [type(event) for event in events] == [AttemptStarted, AttemptEnded, VideoEnded]
    assert isinstance(events[0], AttemptStarted)
    assert (events[0].task.video.stem, events[0].lane.label) == ("v1", "n1/gpu:1")


def test_times_of_a_node_whose_clock_is_wrong_are_ours(place: Place) -> None:
    """What its clock was ahead of the file server's, ours is not."""
    with begin(place, 0, 0, "n1") as ledger:
        work(ledger, TASKS[0], LANES[0])
    clock = place.element(ElementStart(0, 0)) / "clock"
    at = clock.stat().st_mtime - 500.0  # so its clock is 500 s ahead
    os.utime(clock, (at, at))
    ended = next(event for event in heard(follower(place)) if isinstance(event, AttemptEnded))
    assert ended.attempt.ended_at == pytest.approx(2.0 - 500.0, abs=1.0)
