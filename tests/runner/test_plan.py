"""What runs, what is done, and what must not be touched."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.support.workshop import Workshop, make_video
from vidfleet.data import Device, Lane, Probe, Stage, Task, Video
from vidfleet.errors import BadInputError
from vidfleet.runner.discover import discover
from vidfleet.runner.events import RunStarted
from vidfleet.runner.finish import remember_unreadable
from vidfleet.runner.order.forecast import Forecast
from vidfleet.runner.plan import Plan, in_order, make_plan
from vidfleet.runner.probe import probe
from vidfleet.runner.publish import old_aside

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@pytest.fixture(autouse=True)
def _probe_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same probe without its own process, which test_probe.py looks at: 50 plans are made here."""

    def here(paths: Sequence[Path]) -> dict[Path, Probe | BadInputError]:
        found: dict[Path, Probe | BadInputError] = {}
        for path in paths:
            try:
                found[path] = probe(path)
            except BadInputError as error:
                found[path] = error
        return found

    monkeypatch.setattr("vidfleet.runner.plan.probe_all", here)


def _plan(workshop: Workshop) -> Plan:
    return make_plan(discover(workshop.root, workshop.settings).videos, workshop.description, workshop.settings)


def _blocked(plan: Plan) -> dict[str, str]:
    return {o.video.relative: o.kind for o in plan.settled if o.state == "blocked"}


def _running(plan: Plan) -> list[str]:
    return sorted(task.video.relative for task in plan.tasks)


def test_what_is_done_is_up_to_date_and_only_the_new_runs(workshop: Workshop) -> None:
    workshop.make_done(workshop.add("b.mp4"))
    workshop.add("a.mp4")
    plan = _plan(workshop)
    assert _running(plan) == ["a.mp4"]
    assert [(o.video.relative, o.state) for o in plan.settled] == [("b.mp4", "up_to_date")]


def test_somebody_elses_folder_is_blocked_and_untouched(workshop: Workshop) -> None:
    workshop.add("a.mp4")
    workshop.add("b.mp4")
    workshop.add("c.mp4")
    (workshop.root / "a").mkdir()
    (workshop.root / "b").write_text("a file")
    (workshop.root / "c").symlink_to("nowhere")
    plan = _plan(workshop)
    assert _blocked(plan) == {"a.mp4": "foreign", "b.mp4": "foreign", "c.mp4": "foreign"}
    assert not plan.tasks
    assert sorted(os.listdir(workshop.root)) == ["a", "a.mp4", "b", "b.mp4", "c", "c.mp4"]


def test_another_workloads_output_is_blocked(workshop: Workshop) -> None:
    workshop.make_done(workshop.add("a.mp4"))
    workshop.description = replace(workshop.description, name="other.py")
    assert _blocked(_plan(workshop)) == {"a.mp4": "foreign"}


@pytest.mark.parametrize("text", [
    b"{", b"[]", b"null", b"\xff\xfe", b"{}", b'{"schema": "x"}', b'{"schema": 99}',
    b'{"schema": 1, "input": {}, "workload": {}, "outputs": {}}',
    b'{"schema": 1, "input": {"name": 1}, "workload": {"name": "infer.py"}, "outputs": {"files": []}}',
])  # fmt: skip
def test_a_damaged_or_newer_record_blocks_its_video_only(workshop: Workshop, text: bytes) -> None:
    for name in ("a.mp4", "b.mp4"):
        workshop.make_done(workshop.add(name))
    (workshop.root / "a" / "vidfleet.json").write_bytes(text)
    plan = _plan(workshop)
    assert _blocked(plan) == {"a.mp4": "foreign"}
    assert "vidfleet.json" in plan.settled[0].reason
    assert (workshop.root / "a" / "result.txt").is_file()


def test_a_record_that_is_a_folder_blocks_its_video_only(workshop: Workshop) -> None:
    workshop.add("a.mp4")
    (workshop.root / "a" / "vidfleet.json").mkdir(parents=True)
    assert _blocked(_plan(workshop)) == {"a.mp4": "foreign"}


@pytest.mark.parametrize("part", ["input", "workload", "outputs"])
def test_a_record_that_lost_any_of_its_parts_never_ends_the_run(workshop: Workshop, part: str) -> None:
    workshop.promise("result.txt")
    workshop.make_done(workshop.add("a.mp4"))
    path = workshop.root / "a" / "vidfleet.json"
    whole = json.loads(path.read_bytes())
    for name in whole[part]:
        for spoilt in ({}, {name: None}, {name: 7}):
            rest = {key: value for key, value in whole[part].items() if key != name}
            path.write_text(json.dumps({**whole, part: {**rest, **spoilt}}))
            _plan(workshop)


def test_two_videos_with_one_stem_are_both_blocked(workshop: Workshop) -> None:
    for name in ("a.mp4", "a.mkv", "s/a.mp4"):
        workshop.add(name)
    plan = _plan(workshop)
    assert _blocked(plan) == {"a.mp4": "collision", "a.mkv": "collision"}
    assert _running(plan) == ["s/a.mp4"]
    assert "a.mkv" in next(o.reason for o in plan.settled if o.video.relative == "a.mp4")


def test_a_folder_of_videos_beside_a_video_of_its_name_blocks_that_one_only(workshop: Workshop) -> None:
    for name in ("Frasier.mp4", "Frasier/ep.mp4"):
        workshop.add(name)
    plan = _plan(workshop)
    assert _blocked(plan) == {"Frasier.mp4": "foreign"}
    assert _running(plan) == ["Frasier/ep.mp4"]


def test_under_output_no_output_ever_holds_anothers(workshop: Workshop, tmp_path: Path) -> None:
    """Replacing out/Frasier would take out/Frasier/s1/ep with it."""
    for name in ("Frasier.mp4", "Frasier/s1/ep.mp4", "other.mp4"):
        workshop.add(name)
    workshop.settings = replace(workshop.settings, output=tmp_path / "out")
    plan = _plan(workshop)
    assert _blocked(plan) == {"Frasier.mp4": "collision"}
    assert _running(plan) == ["Frasier/s1/ep.mp4", "other.mp4"]


def test_output_mirrors_the_tree_and_leaves_the_root_alone(workshop: Workshop, tmp_path: Path) -> None:
    workshop.settings = replace(workshop.settings, output=tmp_path / "out")
    workshop.make_done(workshop.add("s/a.mp4"))
    assert (tmp_path / "out/s/a/result.txt").is_file()
    assert [str(p.relative_to(workshop.root)) for p in sorted(workshop.root.rglob("*"))] == ["s", "s/a.mp4"]
    assert not _plan(workshop).tasks


def test_an_unreadable_video_fails_as_bad_input_without_an_attempt(workshop: Workshop) -> None:
    workshop.add("a.mp4")
    (workshop.root / "b.mp4").write_bytes(b"nothing")
    plan = _plan(workshop)
    assert _running(plan) == ["a.mp4"]
    assert [(o.video.relative, o.state, o.kind) for o in plan.settled] == [("b.mp4", "failed", "bad_input")]


def test_skipped_failures_count_as_failed(workshop: Workshop) -> None:
    remember_unreadable(workshop.add("a.mp4").stage, "torn")
    workshop.settings = replace(workshop.settings, retry_failed=False)
    plan = _plan(workshop)
    assert not plan.tasks
    assert [(o.state, o.kind) for o in plan.settled] == [("failed", "bad_input")]


def test_half_published_outputs_are_completed_and_not_called_up_to_date(workshop: Workshop) -> None:
    """Their folder is not there, or the old one still takes room: the next run has to see to it."""
    task = workshop.add("a.mp4")
    workshop.make_done(task)
    task.stage.target.rename(old_aside(task.stage))
    assert _running(_plan(workshop)) == ["a.mp4"]


def test_planning_touches_nothing(workshop: Workshop) -> None:
    workshop.add("a.mp4")
    _plan(workshop)
    assert os.listdir(workshop.root) == ["a.mp4"]


def _task(position: int, cost: int, root: Path) -> Task:
    video = Video(root / f"{position}.mp4", f"{position}.mp4", 1, 1, position)
    return Task(video, Stage(root, root, "", root), Probe(1.0, cost, 1, 1, ""))


@pytest.mark.parametrize(
    ("schedule", "order"),
    [("longest", [1, 3, 0, 2]), ("shortest", [2, 0, 3, 1]), ("name", [0, 1, 2, 3]), ("round-robin", [0, 1, 2, 3])],
)
def test_each_schedule_has_its_order(tmp_path: Path, schedule: str, order: list[int]) -> None:
    tasks = [_task(i, cost, tmp_path) for i, cost in enumerate([5, 9, 1, 7])]
    assert [task.video.position for task in in_order(tasks, schedule)] == order


def test_round_robin_loads_go_by_position_and_others_to_the_emptiest_lane(tmp_path: Path) -> None:
    tasks = [_task(0, 9, tmp_path), _task(2, 5, tmp_path), _task(3, 4, tmp_path)]
    lanes = tuple(Lane(index, Device("cpu", ""), 1) for index in range(2))
    for schedule, loads in (("round-robin", {0: 14.0, 1: 4.0}), ("longest", {0: 9.0, 1: 9.0})):
        forecast = Forecast()
        forecast.apply(RunStarted("", "", lanes, tuple(tasks), (), (), schedule), 0.0)
        assert forecast.ends_s(0.0) == loads


def test_positions_in_a_resumed_run_are_those_of_all_videos(workshop: Workshop) -> None:
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        workshop.add(name)
    workshop.make_done(workshop.task("a.mp4"))
    assert sorted((t.video.relative, t.video.position) for t in _plan(workshop).tasks) == [("b.mp4", 1), ("c.mp4", 2)]


def test_a_video_renamed_with_its_folder_runs_again_alone(workshop: Workshop) -> None:
    for name in ("a.mp4", "b.mp4"):
        workshop.make_done(workshop.add(name))
    (workshop.root / "a.mp4").rename(workshop.root / "z.mp4")
    (workshop.root / "a").rename(workshop.root / "z")
    assert set(_running(_plan(workshop))) <= {"z.mp4"}
    assert not _blocked(_plan(workshop))


def test_an_added_video_in_front_changes_nothing_for_the_others(workshop: Workshop) -> None:
    workshop.make_done(workshop.add("m.mp4"))
    make_video(workshop.root / "a.mp4")
    assert _running(_plan(workshop)) == ["a.mp4"]
