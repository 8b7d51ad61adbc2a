"""A run is read back from its report, or from its ledger where its runner was killed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from vidfleet.data import Evidence, Summary
from vidfleet.runner.events import AttemptEnded, AttemptStarted, LaneLost, Notice, RunEnded, RunStarted, VideoEnded
from vidfleet.runner.ledger import Ledger, RunFolder
from vidfleet.runner.owner import Owner
from vidfleet.runner.show.report import write_report, write_story
from vidfleet.runner.show.story import read_story, with_now

if TYPE_CHECKING:
    from pathlib import Path

    from tests.runner.conftest import MadeUp


def begin(root: Path, made_up: MadeUp) -> RunFolder:
    """One video is done, one has failed once and runs again, one waits, one was up to date."""
    run, lanes = RunFolder.create(root), made_up.lanes(2)
    tasks = tuple(made_up.task(f"{name}.mp4") for name in ("done", "runs", "waits"))
    with Ledger(run.ledger) as ledger:
        ledger.write(Notice("no driver"))
        ledger.write(RunStarted(str(root), "a script", lanes, tasks, (made_up.outcome("old.mp4", "up_to_date"),)))
        ledger.write(AttemptStarted(tasks[0], lanes[0], 1))
        ledger.write(AttemptEnded(tasks[0], made_up.attempt(lanes[0]), will_retry=False))
        ledger.write(VideoEnded(tasks[0], made_up.outcome("done.mp4", "done", log="logs/done.mp4.log")))
        ledger.write(AttemptStarted(tasks[1], lanes[1], 1))
        ledger.write(AttemptEnded(tasks[1], made_up.attempt(lanes[1], kind="crash"), will_retry=True))
        ledger.write(AttemptStarted(tasks[1], lanes[0], 2))
    return run


def kill(run: RunFolder) -> None:
    (run.path / "owner.json").write_text(replace(Owner.me(), start="1").write())


def test_what_a_killed_runner_left_is_told_by_its_ledger(made_up: MadeUp, tmp_path: Path) -> None:
    run = begin(tmp_path, made_up)
    kill(run)
    story = read_story(run)
    assert (story.standing, story.unnamed, story.workload) == ("killed", 1, "a script")
    assert [(o.video.relative, o.state) for o in story.summary.outcomes] == [
        ("done.mp4", "done"), ("runs.mp4", "interrupted"), ("waits.mp4", "not_started"),
    ]  # fmt: skip
    runs = story.summary.outcomes[1]
    assert [attempt.kind for attempt in runs.attempts] == ["crash", "interrupted"]
    assert runs.reason == "its runner was killed"
    assert runs.log == "logs/runs.mp4.log"
    assert story.summary.notices == ("no driver",)


def test_a_run_that_goes_on_is_told_as_such(made_up: MadeUp, tmp_path: Path) -> None:
    run = begin(tmp_path, made_up)
    story = with_now(read_story(run), 5e9)
    assert story.standing == "running"
    runs = story.summary.outcomes[1]
    assert (runs.kind, runs.attempts[-1].kind, runs.attempts[-1].ended_at) == ("running", "running", 5e9)
    assert story.summary.ended_at == 5e9


def test_a_lost_lane_runs_nothing(made_up: MadeUp, tmp_path: Path) -> None:
    run = begin(tmp_path, made_up)
    kill(run)
    with Ledger(run.ledger) as ledger:
        ledger.write(LaneLost(made_up.lanes(1)[0], "killed"))
    assert read_story(run).summary.outcomes[1].state == "not_started"


def test_a_report_comes_back_as_it_was_written(made_up: MadeUp, tmp_path: Path) -> None:
    run = begin(tmp_path, made_up)
    failed = made_up.outcome("b\udcff.mp4", "failed", "crash", "signal 11", log="logs/b.log")
    attempt = replace(failed.attempts[0], evidence=Evidence(signal=11, log_tail="x"))
    outcomes = (replace(failed, attempts=(attempt,)), made_up.outcome("c.mp4", "up_to_date"))
    written = Summary(outcomes, run.path, 1000.0, 1100.0, made_up.lanes(1), "interrupt", 15, ("hello",))
    write_report(written, run.path, root="/data/video", workload="w")
    story = read_story(run)
    assert (story.root, story.workload, story.standing) == ("/data/video", "w", "ended")
    read = story.summary
    assert (read.exit_status, read.notices, read.lanes) == (143, ("hello",), written.lanes)
    assert [(o.video.relative, o.state, o.kind, o.reason, o.log, o.attempts) for o in read.outcomes] == [
        (o.video.relative, o.state, o.kind, o.reason, o.log, o.attempts) for o in outcomes
    ]


def test_a_story_told_by_a_ledger_can_be_written_and_read(made_up: MadeUp, tmp_path: Path) -> None:
    run = begin(tmp_path, made_up)
    kill(run)
    story = read_story(run)
    write_story(story, run.path)
    again = read_story(run)
    assert (again.standing, again.unnamed) == ("killed", 1)
    assert [o.state for o in again.summary.outcomes] == [o.state for o in story.summary.outcomes]
    assert "Its runner was killed" in (run.path / "report.html").read_text("utf-8")


def test_a_garbled_report_falls_back_to_the_ledger(made_up: MadeUp, tmp_path: Path) -> None:
    run = begin(tmp_path, made_up)
    with Ledger(run.ledger) as ledger:
        ledger.write(RunEnded(5.0, "disk_full"))
    (run.path / "report.json").write_text('{"lanes": [')
    story = read_story(run)
    assert (story.standing, story.summary.stopped_by) == ("ended", "disk_full")


def test_a_folder_that_tells_nothing_is_an_error(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path)
    with pytest.raises(OSError, match="events"):
        read_story(run)
    run.ledger.write_text("")
    with pytest.raises(OSError, match="does not tell"):
        read_story(run)
