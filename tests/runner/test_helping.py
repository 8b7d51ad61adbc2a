"""What is told, shown, foretold and learnt of lanes that help, and who must make room: without any process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len

from tests.runner.test_headroom import Machine
from tests.runner.test_story import begin, kill
from vidfleet.data import Evidence
from vidfleet.runner.events import AttemptEnded, AttemptProgress, AttemptStarted, HelpEnded, HelpStarted, RunStarted
from vidfleet.runner.ledger import Ledger, RunFolder, read_ledger
from vidfleet.runner.lines import to_events
from vidfleet.runner.order.forecast import Forecast
from vidfleet.runner.order.queue import Case, Queue, Running
from vidfleet.runner.order.timing import Known, Sample
from vidfleet.runner.record import Record
from vidfleet.runner.show.board import Board
from vidfleet.runner.show.lanes_view import LanesView, Screen
from vidfleet.runner.show.report import write_story
from vidfleet.runner.show.story import read_story, with_now
from vidfleet.workloads import Description

if TYPE_CHECKING:
    from tests.runner.conftest import MadeUp
    from vidfleet.data import Lane, Task

_KNOWN = (Known("gpu", (Sample(1, 100, 100),)),)


def _helped(made_up: MadeUp, seconds: float = 100.0, by: float = 60.0) -> AttemptEnded:
    """An attempt of ``seconds``, that one lane helped for ``by``."""
    lanes = made_up.lanes(2)
    helper = replace(made_up.attempt(lanes[1], seconds=by), kind="helped")
    attempt = replace(made_up.attempt(lanes[0], seconds=seconds), helpers=(helper,))
    return AttemptEnded(made_up.task(), attempt, will_retry=False)


def _begun(made_up: MadeUp, task: Task) -> Forecast:
    forecast = Forecast()
    forecast.apply(RunStarted("", "w", made_up.lanes(2), (task,), (), _KNOWN), 0.0)
    forecast.apply(AttemptStarted(task, made_up.lanes(2)[0], 1), 0.0)
    return forecast


def _running(made_up: MadeUp, lane: Lane, *, helps: str = "", started_at: float = 0.0, room: str = "") -> Running:
    case = Case(made_up.task(f"{lane.index}.mp4"), room=room)  # type: ignore[arg-type]
    return Running(case, lane, started_at, Description(Path(), "x", "class", {}), helps=helps)


# ---- foretold and learnt


def test_a_video_that_is_helped_is_through_sooner(made_up: MadeUp) -> None:
    """100 s of work, half of it done after 50 s; one more lane halves what is left."""
    task = made_up.task()
    forecast, lane = _begun(made_up, task), made_up.lanes(2)[0]
    forecast.apply(AttemptProgress(task, lane, "", 0.5), 50.0)
    assert forecast.left_s(lane, 50.0) == pytest.approx(50, rel=0.05)
    forecast.apply(HelpStarted(task, made_up.lanes(2)[1]), 50.0)
    assert forecast.left_s(lane, 50.0) == pytest.approx(25, rel=0.05)
    forecast.apply(AttemptProgress(task, lane, "", 0.9), 70.0)  # 90 s of lanes for 90 % of it
    assert forecast.left_s(lane, 70.0) == pytest.approx(5, rel=0.05)
    forecast.apply(HelpEnded(task, made_up.attempt(made_up.lanes(2)[1], kind="helped")), 70.0)
    assert forecast.left_s(lane, 70.0) == pytest.approx(10, rel=0.05)


def test_a_video_that_was_helped_teaches_what_it_would_have_taken_alone(made_up: MadeUp) -> None:
    """100 s of its lane and 60 s of another: the next of its sort is expected to take 160 s."""
    task = made_up.task()
    forecast = Forecast()
    forecast.apply(RunStarted("", "w", made_up.lanes(2), (task,), ()), 0.0)
    forecast.apply(AttemptStarted(task, made_up.lanes(2)[0], 1), 0.0)
    forecast.apply(_helped(made_up), 100.0)
    forecast.refresh(100.0)
    assert forecast.expected_s(made_up.task("next.mp4")) == pytest.approx(160)


def test_help_that_failed_is_no_work(made_up: MadeUp) -> None:
    attempt = _helped(made_up).attempt
    failed = replace(attempt, helpers=(replace(attempt.helpers[0], kind="crash"),))
    assert (attempt.lane_seconds, failed.lane_seconds) == (160.0, 100.0)


@pytest.mark.parametrize(("helpers", "seconds"), [(..., 100.0), ([("helped", 60.0), ("crash", 7.0)], 160.0)])
def test_a_record_tells_what_a_video_took_of_all_lanes(helpers: object, seconds: float) -> None:
    """Also a record of before there was help."""
    attempt = {"kind": "done", "started_at": 1000.0, "ended_at": 1100.0, "lane": "cpu:0", "device": {"name": ""}}
    if isinstance(helpers, list):
        attempt["helpers"] = [{"kind": kind, "started_at": 0.0, "ended_at": took_s} for kind, took_s in helpers]
    took = Record({}, {}, {}, [attempt]).took
    assert took is not None
    assert took.seconds == seconds


# ---- told and shown


def test_who_replays_a_ledger_takes_no_helper_for_an_attempt(made_up: MadeUp, tmp_path: Path) -> None:
    run = begin(tmp_path, made_up)
    with Ledger(run.ledger) as ledger:
        ledger.write(HelpStarted(made_up.task("runs.mp4"), made_up.lanes(2)[1]))
    board = Board()
    for at, event in to_events(read_ledger(run.ledger)):
        board.apply(event, at)
    assert [(item.lane.index, item.number) for item in board.running.values()] == [(0, 2)]
    assert {index: item.task.video.relative for index, item in board.helping.items()} == {1: "runs.mp4"}


def test_a_killed_run_tells_who_helped_and_its_report_says_the_same(made_up: MadeUp, tmp_path: Path) -> None:
    run, lanes = begin(tmp_path, made_up), made_up.lanes(2)
    task = made_up.task("runs.mp4")
    with Ledger(run.ledger) as ledger:
        ledger.write(HelpStarted(task, lanes[1]))
        ledger.write(HelpEnded(task, replace(made_up.attempt(lanes[1], kind="helped"), evidence=Evidence(cpu_s=2.0))))
        ledger.write(HelpStarted(task, lanes[1]))
    until = with_now(read_story(run), 1e10).summary.outcomes[1].attempts[-1].helpers
    assert [(helper.kind, helper.ended_at) for helper in until] == [("helped", 1010.0), ("running", 1e10)]
    kill(run)
    told = read_story(run)
    helpers = told.summary.outcomes[1].attempts[-1].helpers
    assert [(helper.kind, helper.lane.index, helper.evidence.cpu_s) for helper in helpers] == [
        ("helped", 1, 2.0), ("interrupted", 1, 0.0),
    ]  # fmt: skip
    assert len(told.summary.outcomes[1].attempts) == 2
    write_story(told, run.path)
    assert [helper.kind for helper in read_story(run).summary.outcomes[1].attempts[-1].helpers] == [
        "helped", "interrupted",
    ]  # fmt: skip


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_lane_that_helps_says_whom(made_up: MadeUp, width: int) -> None:
    """In the columns of the others; busy, where lanes are only counted."""
    lanes, name = made_up.lanes(3), "Frasier/a long name of a film 話者 " * 4 + "end.mp4"
    task, board = made_up.task(name), Board()
    board.apply(RunStarted("", "w", lanes, (task,), ()), 0.0)
    board.apply(AttemptStarted(task, lanes[0], 1), 0.0)
    board.apply(HelpStarted(task, lanes[1]), 10.0)
    _, first, second, third, *_ = str(LanesView(board).render(70.0, Screen(width, 40))).splitlines()
    assert second.split()[:2] == ["gpu:1", "helps"]
    assert "end.mp4" in second
    assert cell_len(second[: second.index("1:00")]) == cell_len(first[: first.index("1:10")])
    assert max(map(cell_len, (first, second))) < width
    assert third.split() == ["gpu:2", "idle"]
    assert "… and 2 more lanes, 1 of them busy" in str(LanesView(board).render(70.0, Screen(width, 7)))


def test_no_log_of_a_helper_is_another_log_or_too_long_a_name(made_up: MadeUp, tmp_path: Path) -> None:
    run, lane = RunFolder(tmp_path), made_up.lanes(13)[12]
    assert run.log_name(made_up.video("s/a.mp4"), lane) == "logs/s/a.mp4.log.lane-12"
    names = ["a.mp4", "x" * 251 + ".mp4", "語" * 84 + ".mp4", "a.mp4.log.lane-12/a.mp4", "/".join(["d" * 200] * 19)]
    paths = [tmp_path / run.log_name(made_up.video(name), who) for name in names for who in (None, lane)]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("x").close()


# ---- room


def test_for_want_of_memory_help_gives_way_before_a_video_does(made_up: MadeUp) -> None:
    machine, lanes = Machine(44), made_up.lanes(3)
    headroom = machine.headroom()
    running = [
        _running(made_up, lanes[0], started_at=5.0), _running(made_up, lanes[1], helps="h", started_at=1.0),
        _running(made_up, lanes[2], started_at=9.0),
    ]  # fmt: skip
    machine.available_gib = 1
    assert headroom.look(running) is running[1]
    assert headroom.look(running) is None, "it has been told"
    machine.available_gib = 44
    headroom.ended("h", replace(made_up.attempt(lanes[1], kind="interrupted")), 2)
    assert headroom.bears(2)
    assert not headroom.bears(3)


def test_nobody_helps_where_a_video_wants_the_room(made_up: MadeUp) -> None:
    """Neither while it waits for it nor while it has it."""
    lanes = made_up.lanes(4)
    queue = Queue([], lanes, "longest")
    alone = _running(made_up, lanes[0], room="gpu")
    assert [queue.lets_help(lane, [alone]) for lane in lanes] == [False, True, True, True]
    assert not any(queue.lets_help(lane, [_running(made_up, lanes[0], room="host")]) for lane in lanes)
    queue.put_back(alone.case, lanes[0])
    assert not any(queue.lets_help(lane, []) for lane in lanes)


def test_help_is_in_the_way_of_room_and_wants_none_itself(made_up: MadeUp) -> None:
    """A video that wants a GPU for itself waits until help there is gone; and help keeps no room for its video."""
    lanes = made_up.lanes(2)
    queue = Queue([Case(made_up.task("next.mp4"))], lanes, "longest")
    helper = _running(made_up, lanes[1], helps="h", room="gpu")
    assert queue.take(lanes[1], [helper], lanes) is not None
    retry = Case(made_up.task("retry.mp4"), room="gpu")
    queue.put_first(retry)
    assert queue.take(lanes[1], [helper], lanes) is None
    assert queue.take(lanes[1], [], lanes) is retry


def test_a_lane_has_to_go_only_where_there_is_something_that_it_would_take(made_up: MadeUp) -> None:
    lanes = made_up.lanes(2)
    queue = Queue([], lanes, "longest")
    assert not queue.has_for(lanes[0], [], lanes)
    case = Case(made_up.task())
    queue.put_back(case, lanes[0])
    assert [queue.has_for(lane, [], lanes) for lane in lanes] == [False, True]
    assert queue.take(lanes[1], [], lanes) is case, "it was only asked"
