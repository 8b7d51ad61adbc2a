"""The loop of a run, where its executor fails."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.support.fleet import write_video
from vidfleet.executors.local import LocalExecutor
from vidfleet.runner.run import execute, prepare
from vidfleet.settings import RunSettings
from vidfleet.workloads.command import Command

if TYPE_CHECKING:
    from pathlib import Path

    from vidfleet.data import Lane
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
