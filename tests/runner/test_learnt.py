"""How fast a workload was is known in the next run, and nothing that stands in its place does harm."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from vidfleet.data import Device, Lane
from vidfleet.runner.events import RunStarted
from vidfleet.runner.learnt import expected_rate, remember_rates
from vidfleet.runner.run import prepare
from vidfleet.runner.show.board import Board
from vidfleet.runner.show.show_plan import plan_to_plain, print_plan
from vidfleet.settings import RunSettings
from vidfleet.workloads import Command

if TYPE_CHECKING:
    from pathlib import Path

    from tests.runner.conftest import MadeUp
    from tests.support.workshop import Workshop
    from vidfleet.data import Outcome

_LANES = (Lane(0, Device("cpu", ""), 1), Lane(1, Device("cpu", ""), 1))


def _done(made_up: MadeUp, lane: Lane, *, cost: int, seconds: float, kind: str = "done") -> Outcome:
    outcome = made_up.outcome("a.mp4", "done")
    attempt = made_up.attempt(lane, seconds=seconds, kind=kind)
    return replace(outcome, attempts=(attempt,), probe=made_up.task(cost=cost).probe)


def test_what_done_videos_took_is_known_by_workload_and_device(tmp_path: Path, made_up: MadeUp) -> None:
    (tmp_path / ".vidfleet").mkdir()
    gpu = Lane(0, Device("gpu", "0", "NVIDIA H200"), 1)
    told = [
        _done(made_up, _LANES[0], cost=100, seconds=10),
        _done(made_up, _LANES[1], cost=300, seconds=10),
        _done(made_up, gpu, cost=5000, seconds=10),
        _done(made_up, _LANES[0], cost=9999, seconds=1, kind="error"),
    ]
    remember_rates(tmp_path, "w", told)
    assert expected_rate(tmp_path, "w", _LANES) == 20
    assert expected_rate(tmp_path, "w", (gpu,)) == 500
    assert expected_rate(tmp_path, "other", _LANES) == 0
    for _ in range(20):
        remember_rates(tmp_path, "w", [_done(made_up, _LANES[0], cost=400, seconds=10)])
    assert expected_rate(tmp_path, "w", _LANES) == pytest.approx(40, rel=0.01), "the newest runs count most"
    assert expected_rate(tmp_path, "w", (gpu,)) == 500


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", '{"workloads": 3}', '{"workloads": {"w": {"cpu": {"cost": "x"}}}}',
        *(
            f'{{"workloads": {{"w": {{"cpu": {{"cost": {cost}, "seconds": {seconds}}}}}}}}}'
            for number in ("NaN", "Infinity", "-1", "1e300", "1" + "0" * 400)
            for cost, seconds in ((number, 1), (1, number))
        ),
    ],
)  # fmt: skip
def test_a_file_that_is_none_of_ours_is_not_known(tmp_path: Path, made_up: MadeUp, text: str) -> None:
    (tmp_path / ".vidfleet").mkdir()
    (tmp_path / ".vidfleet/learnt.json").write_text(text)
    assert expected_rate(tmp_path, "w", _LANES) == 0
    remember_rates(tmp_path, "w", [_done(made_up, _LANES[0], cost=10, seconds=10)])
    assert expected_rate(tmp_path, "w", _LANES) == 1


def test_the_plan_says_how_long_each_lane_will_work(workshop: Workshop, made_up: MadeUp) -> None:
    task = workshop.add("a.mp4", seconds=2)
    workload, settings = Command(("true", "{video}"), name="w"), RunSettings(devices="cpu:2")
    before = prepare(workshop.root, workload, settings=settings)
    assert plan_to_plain(before)["expected_s"] is None
    (workshop.root / ".vidfleet").mkdir(exist_ok=True)
    cost = round(before.plan.tasks[0].cost)
    remember_rates(workshop.root, "w", [_done(made_up, _LANES[0], cost=cost, seconds=120)])
    plan = prepare(workshop.root, workload, settings=settings)
    assert plan_to_plain(plan)["expected_s"] == [120.0, 0.0]
    shown = io.StringIO()
    print_plan(plan, shown)
    assert "expected time, by earlier runs: cpu:0 about 2 min" in shown.getvalue()
    board = Board()
    board.apply(RunStarted("", "w", _LANES, plan.plan.tasks, (), plan.expected_rate), 0.0)
    assert board.remaining_s(0.0) == pytest.approx(120), "known before anything has run"
    assert task.video.relative == "a.mp4"


def test_a_clock_that_was_set_back_teaches_nothing(tmp_path: Path, made_up: MadeUp) -> None:
    (tmp_path / ".vidfleet").mkdir()
    remember_rates(tmp_path, "w", [_done(made_up, _LANES[0], cost=10, seconds=-3600)])
    assert expected_rate(tmp_path, "w", _LANES) == 0
