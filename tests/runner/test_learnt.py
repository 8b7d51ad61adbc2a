"""How long a workload's videos took is known in the next run, and nothing that stands in its place does harm."""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from vidfleet.data import Device, Lane, Took
from vidfleet.runner.events import RunStarted
from vidfleet.runner.order.forecast import Forecast
from vidfleet.runner.order.learnt import read_learnt, remember
from vidfleet.runner.record import RECORD_NAME
from vidfleet.runner.run import prepare
from vidfleet.runner.show.show_plan import plan_to_plain, print_plan
from vidfleet.settings import RunSettings
from vidfleet.workloads import Command

if TYPE_CHECKING:
    from pathlib import Path

    from tests.runner.conftest import MadeUp
    from tests.support.workshop import Workshop
    from vidfleet.data import Outcome

_LANES = (Lane(0, Device("cpu", ""), 1), Lane(1, Device("cpu", ""), 1))
_GPU = Lane(0, Device("gpu", "0", "NVIDIA H200"), 1)


def _done(made_up: MadeUp, lane: Lane, *, cost: int, seconds: float, kind: str = "done") -> Outcome:
    outcome = made_up.outcome("a.mp4", "done")
    attempt = made_up.attempt(lane, seconds=seconds, kind=kind)
    return replace(outcome, attempts=(attempt,), probe=made_up.task(cost=cost).probe)


def _expected_s(base: Path, made_up: MadeUp, cost: int, lane: Lane = _LANES[0], workload: str = "w") -> float | None:
    """How long a next run takes a video to be."""
    forecast, task = Forecast(), made_up.task(cost=cost)
    forecast.apply(RunStarted("", "", (lane,), (task,), (), read_learnt(base, workload)), 0.0)
    seconds = forecast.expected_s(task)
    return None if seconds is None else seconds * forecast.slowness(lane)


def test_what_done_videos_took_is_known_by_workload_and_device(tmp_path: Path, made_up: MadeUp) -> None:
    (tmp_path / ".vidfleet").mkdir()
    told = [
        *(_done(made_up, _LANES[n % 2], cost=100 * n, seconds=10 * n) for n in range(1, 9)),
        *(_done(made_up, _GPU, cost=100 * n, seconds=2 * n) for n in range(1, 9)),
        _done(made_up, _LANES[0], cost=9999, seconds=1, kind="error"),
    ]
    remember(tmp_path, "w", told)
    assert _expected_s(tmp_path, made_up, 1000) == pytest.approx(100, rel=0.05)
    assert _expected_s(tmp_path, made_up, 1000, _GPU) == pytest.approx(20, rel=0.05)
    assert _expected_s(tmp_path, made_up, 1000, workload="other") is None
    for _ in range(10):
        remember(tmp_path, "w", [_done(made_up, _LANES[0], cost=100 * n, seconds=5 * n) for n in range(1, 9)])
    assert _expected_s(tmp_path, made_up, 1000) == pytest.approx(50, rel=0.05), "the newest runs count most"
    assert len((tmp_path / ".vidfleet/learnt.json").read_text()) < 4000


def test_a_start_that_each_video_takes_is_told_from_what_its_length_takes(tmp_path: Path, made_up: MadeUp) -> None:
    """Models take 30 s to load: a film of ten times the cost does not take ten times as long."""
    (tmp_path / ".vidfleet").mkdir()
    remember(tmp_path, "w", [_done(made_up, _LANES[0], cost=cost, seconds=30 + cost / 10) for cost in (50, 100, 800)])
    assert _expected_s(tmp_path, made_up, 3000) == pytest.approx(330, rel=0.05)
    assert _expected_s(tmp_path, made_up, 10) == pytest.approx(31, rel=0.1)


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", '{"workloads": 3}', '{"workloads": {"w": {"cpu": {"cost": "x"}}}}',
        '{"schema": 2, "workloads": {"w": {"cpu": [[1, 2]]}}}', '{"workloads": {"w": {"cpu": [[0, 5, 5]]}}}',
        '{"workloads": {"w": {"cpu": [[1, 5, 0]]}}}', '{"workloads": {"w": {"cpu": 7}}}',
        '{"workloads": {"w": []}}', '{"workloads": {"w": {"cpu": [[[], [], []]]}}}',
        *(
            f'{{"workloads": {{"w": {{"cpu": {entry.format(number, 1)}}}}}}}'
            for number in ("NaN", "Infinity", "-1", "1e300", "1" + "0" * 400)
            for entry in ('{{"cost": {0}, "seconds": {1}}}', '{{"cost": {1}, "seconds": {0}}}', "[[{1}, {0}, {1}]]",
                          "[[{0}, {1}, {1}]]", "[[{1}, {1}, {0}]]")
        ),
    ],
)  # fmt: skip
def test_a_file_that_is_none_of_ours_is_not_known(tmp_path: Path, made_up: MadeUp, text: str) -> None:
    (tmp_path / ".vidfleet").mkdir()
    (tmp_path / ".vidfleet/learnt.json").write_text(text)
    assert _expected_s(tmp_path, made_up, 10) is None
    remember(tmp_path, "w", [_done(made_up, _LANES[0], cost=10, seconds=10)])
    assert _expected_s(tmp_path, made_up, 10) == pytest.approx(10)


def test_the_extremes_of_what_the_file_may_hold_still_make_a_number(tmp_path: Path, made_up: MadeUp) -> None:
    (tmp_path / ".vidfleet").mkdir()
    samples = [[1, 9e20, 9e20], [9e20, 0, 1], [0.02, 1, 9e20], [1, 9e20, 1e-9]]
    text = json.dumps({"schema": 2, "workloads": {"w": {"cpu": samples, "gpu": samples[:1], "x": []}}})
    (tmp_path / ".vidfleet/learnt.json").write_text(text)
    expected_s = _expected_s(tmp_path, made_up, 10**12)
    assert expected_s is not None
    assert 0 <= expected_s < float("inf")


def test_what_the_first_version_has_learnt_counts_as_one_video(tmp_path: Path, made_up: MadeUp) -> None:
    (tmp_path / ".vidfleet").mkdir()
    text = '{"schema": 1, "workloads": {"w": {"cpu": {"cost": 400, "seconds": 20}}}}'
    (tmp_path / ".vidfleet/learnt.json").write_text(text)
    assert _expected_s(tmp_path, made_up, 100) == pytest.approx(5)


def test_the_plan_says_how_long_each_lane_will_work(workshop: Workshop, made_up: MadeUp) -> None:
    workshop.add("a.mp4", seconds=2)
    workload, settings = Command(("true", "{video}"), name="w"), RunSettings(devices="cpu:2")
    before = prepare(workshop.root, workload, settings=settings)
    assert plan_to_plain(before)["expected_s"] is None
    (workshop.root / ".vidfleet").mkdir(exist_ok=True)
    cost = round(before.plan.tasks[0].cost)
    remember(workshop.root, "w", [_done(made_up, _LANES[0], cost=cost, seconds=120)])
    plan = prepare(workshop.root, workload, settings=settings)
    assert plan_to_plain(plan)["expected_s"] == [120.0, 0.0]
    shown = io.StringIO()
    print_plan(plan, shown)
    assert "expected time, by earlier runs: about 2 min in all; cpu:0 about 2 min" in shown.getvalue()
    forecast = Forecast()
    forecast.apply(RunStarted("", "w", _LANES, plan.plan.tasks, (), plan.known), 0.0)
    assert forecast.remaining_s(0.0) == pytest.approx(120), "known before anything has run"


def test_the_plan_says_where_one_video_outlasts_all_others(workshop: Workshop, made_up: MadeUp) -> None:
    for name, seconds in (("short1.mp4", 1.0), ("long.mp4", 8.0), ("short2.mp4", 1.0), ("short3.mp4", 1.0)):
        workshop.add(name, seconds=seconds)
    workload = Command(("true", "{video}"), name="w")

    def say(lanes: int) -> tuple[str, str | None]:
        plan, shown = prepare(workshop.root, workload, settings=RunSettings(devices=f"cpu:{lanes}")), io.StringIO()
        print_plan(plan, shown)
        return shown.getvalue(), plan_to_plain(plan)["outlasting"]

    before, outlasting = say(2)
    assert "long.mp4 alone takes longer than all others on the other lanes: the run ends with it" in before
    assert outlasting == "long.mp4"
    assert say(1)[1] is None
    assert "ends with it" not in say(4)[0], "each has a lane of its own: that is no news"
    (workshop.root / ".vidfleet").mkdir(exist_ok=True)
    cost = max(task.cost for task in prepare(workshop.root, workload).plan.tasks)
    remember(workshop.root, "w", [_done(made_up, _LANES[0], cost=round(cost), seconds=8 * 3600)])
    after, _ = say(2)
    assert "long.mp4 alone takes about 8 h 0 min, all others on the other lanes about 3 h 0 min: the run ends" in after


def test_a_video_that_was_done_before_is_expected_to_take_as_long_again(workshop: Workshop) -> None:
    """However short it is: the order goes by it. The script has changed since, the video has not."""
    short, long = workshop.add("short.mp4", seconds=1), workshop.add("long.mp4", seconds=3)
    for task, took_s in ((short, 500.0), (long, 20.0)):
        workshop.make_done(task)
        path = task.stage.target / RECORD_NAME
        record = json.loads(path.read_text())
        record["attempts"][-1] |= {"started_at": 1000.0, "ended_at": 1000.0 + took_s}
        path.write_text(json.dumps(record))
    workload = Command(("true", "{video}"), name=workshop.description.name)
    plan = prepare(workshop.root, workload).plan
    assert [(task.video.relative, task.took) for task in plan.tasks] == [
        ("short.mp4", Took(500.0, "cpu")), ("long.mp4", Took(20.0, "cpu")),
    ]  # fmt: skip
    os.utime(short.video.path, (1, 1))
    short.video.path.write_bytes(short.video.path.read_bytes() + b"\0")
    plan = prepare(workshop.root, workload).plan
    assert next(task for task in plan.tasks if task.video.stem == "short").took is None, "it is another video now"


def test_a_clock_that_was_set_back_teaches_nothing(tmp_path: Path, made_up: MadeUp) -> None:
    (tmp_path / ".vidfleet").mkdir()
    remember(tmp_path, "w", [_done(made_up, _LANES[0], cost=10, seconds=-3600)])
    assert _expected_s(tmp_path, made_up, 10) is None
