"""The loop of a run, where its executor fails."""

from __future__ import annotations

import io
import signal
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.support.fleet import write_video
from vidfleet.errors import SetupError
from vidfleet.executors.base import Told
from vidfleet.executors.local import LocalExecutor
from vidfleet.runner.ledger import all_runs
from vidfleet.runner.run import execute, prepare
from vidfleet.runner.show.report import print_summary
from vidfleet.runner.show.status import print_status
from vidfleet.runner.stopping import Stop
from vidfleet.settings import RunSettings
from vidfleet.workloads.command import Command

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vidfleet.data import Lane
    from vidfleet.executors.base import Ground, LaneEvent
    from vidfleet.runner.run import Prepared
    from vidfleet.worker.messages import Start


class FailsOnce(LocalExecutor):
    """Cannot start the first attempt."""

    has_failed = False

    def start(self, lane: Lane, start: Start) -> None:
        if not self.has_failed:
            self.has_failed = True
            raise OSError("no more processes")
        super().start(lane, start)


def test_a_lane_on_which_an_attempt_cannot_be_started_takes_the_next_video(tmp_path: Path) -> None:
    for name in "abc":
        write_video(tmp_path / "root" / f"{name}.mp4")
    command = Command(("cp", "{video}", "{out}/copy"))
    settings = RunSettings(devices="cpu:1", schedule="name")
    prepared = replace(prepare(tmp_path / "root", command, settings=settings), executor=FailsOnce())
    summary = execute(prepared)
    assert [(outcome.state, outcome.kind) for outcome in summary.outcomes] == [
        ("failed", "error"), ("done", ""), ("done", ""),
    ]  # fmt: skip
    assert "no more processes" in summary.outcomes[0].reason


class Empty(LocalExecutor):
    """Has no lane, and after a while says that none will come."""

    says_so = True

    def open(self, lanes: Sequence[Lane], mark: str, ground: Ground | None = None) -> tuple[Lane, ...]:
        super().open(lanes, mark, ground)
        return ()

    def wait(self, timeout_s: float | None) -> list[LaneEvent | Told]:  # type: ignore[override]
        events = super().wait(timeout_s)
        return [*events, Told("there is no machine", is_last=True)] if self.says_so else [*events]


def _empty_run(tmp_path: Path, executor: Empty) -> Prepared:
    write_video(tmp_path / "root" / "a.mp4")
    command = Command(("cp", "{video}", "{out}/copy"))
    prepared = prepare(tmp_path / "root", command, settings=RunSettings(devices="cpu:1"))
    return replace(prepared, executor=executor)


def test_a_run_for_which_no_lane_is_left_ends_as_others_do(tmp_path: Path) -> None:
    """With a summary, a report, and an exit status of its own."""
    summary = execute(_empty_run(tmp_path, Empty()))
    assert [outcome.state for outcome in summary.outcomes] == ["not_started"]
    assert (summary.stopped_by, summary.exit_status) == ("lack_of_lanes", 3)
    assert summary.notices[-1] == "nothing else is started: there is no machine"
    assert summary.run_folder
    assert (summary.run_folder / "report.json").is_file()
    out = io.StringIO()
    print_summary(summary, out)
    assert "Stopped early: no machine was left for the rest." in out.getvalue()
    said = io.StringIO()
    print_status(tmp_path / "root", said)
    assert "stopped by lack of lanes.\n1 video: 0 done, 1 not started\n" in said.getvalue()


def test_a_run_whose_lanes_cannot_be_opened_is_not_taken_for_the_last_one(tmp_path: Path) -> None:
    """What was before stays what `vidfleet status` tells of."""

    class Blind(LocalExecutor):
        def open(self, lanes: Sequence[Lane], mark: str, ground: Ground | None = None) -> tuple[Lane, ...]:
            raise SetupError("no node sees the videos")

    before = execute(_empty_run(tmp_path, Empty())).run_folder
    prepared = replace(_empty_run(tmp_path, Empty()), executor=Blind())
    with pytest.raises(SetupError, match="no node sees"):
        execute(prepared)
    assert [run.path for run in all_runs(tmp_path / "root")] == [before]
    assert not list((tmp_path / "root" / ".vidfleet").glob("*.claim"))


def test_a_run_that_is_stopped_before_its_first_lane_is_an_interrupted_one(tmp_path: Path) -> None:
    """And says so by its exit status."""
    stop, executor = Stop(), Empty()
    executor.says_so = False
    prepared = _empty_run(tmp_path, executor)
    stop.arm(lambda: None)
    stop.ask(signal.SIGINT)
    summary = execute(prepared, stop=stop)
    assert (summary.stopped_by, summary.exit_status) == ("interrupt", 130)
