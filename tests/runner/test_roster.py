"""Lanes that come and go: who is there, who gets videos, who is idle, and what people are told of it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from vidfleet.data import Device, Lane
from vidfleet.runner.events import AttemptStarted, LaneJoined, LaneOut, RunStarted
from vidfleet.runner.roster import Roster
from vidfleet.runner.show.board import Board
from vidfleet.runner.show.progress import PlainDisplay
from vidfleet.runner.text import HarmlessStream

if TYPE_CHECKING:
    from tests.runner.conftest import MadeUp


def _lane(index: int, host: str) -> Lane:
    return Lane(index, Device("cpu", "", host=host), 1)


def test_lanes_stand_in_the_order_of_their_indices_wherever_they_join() -> None:
    roster = Roster([_lane(0, "a"), _lane(2, "b")])
    roster.admit(_lane(1, "c"))
    assert [lane.index for lane in roster.lanes] == [lane.index for lane in roster.idle] == [0, 1, 2]


def test_a_lane_that_has_gone_is_never_idle_again() -> None:
    lane = _lane(0, "a")
    roster = Roster([lane, _lane(1, "b")])
    roster.idle.remove(lane)
    assert roster.dismiss(lane)
    assert not roster.dismiss(lane)
    roster.free(lane)
    assert lane not in roster.idle
    assert lane in roster.ever
    assert lane not in roster.usable


def test_places_follow_lanes_that_come_and_go_and_spare_ones_are_none() -> None:
    roster = Roster([_lane(0, "a"), Lane(1, Device("cpu", ""), 1, spare=True)])
    roster.admit(_lane(2, "b"))
    assert roster.places == 2
    for lane in (_lane(2, "b"), _lane(2, "b"), roster.lanes[1]):
        roster.dismiss(lane)
    assert roster.places == 1


def test_lanes_whose_device_is_out_are_there_but_not_usable() -> None:
    roster = Roster([_lane(0, "a"), _lane(1, "b")])
    roster.put_out(lambda lane: lane.device.host == "a")
    assert [lane.index for lane in roster.usable] == [1]
    assert len(roster.lanes) == 2


def test_people_see_who_joins_and_who_has_gone_and_why(made_up: MadeUp) -> None:
    """The display shows no lane that is no more."""
    first, joined = _lane(0, "a"), _lane(4, "b")
    task = made_up.task("x.mp4")
    board, said = Board(), io.StringIO()
    display = PlainDisplay(HarmlessStream(said), run_folder=None, clock=lambda: 0.0)
    for event in (
        RunStarted("/data", "a script", (first,), (task,), ()),
        AttemptStarted(task, first, 1),
        LaneJoined(joined),
        LaneOut(first, "node a was lost"),
    ):
        board.apply(event, 1.0)
        display.show(event)
    assert board.lanes == (joined,)
    assert not board.running
    assert "joined  lane b/cpu:4" in said.getvalue()
    assert "gone    lane a/cpu:0: node a was lost" in said.getvalue()
