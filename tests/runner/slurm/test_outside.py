"""What those see of a run on Slurm who are not its driver; what Slurm says is made up."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from vidfleet.data import Outcome
from vidfleet.runner.events import Event, RunEnded, RunStarted, VideoEnded
from vidfleet.runner.ledger import OWNER_NAME, Ledger, RunFolder
from vidfleet.runner.owner import Owner
from vidfleet.runner.slurm import outside, site
from vidfleet.runner.slurm.place import Place
from vidfleet.runner.slurm.site import JobState

from .test_shares import make_task

if TYPE_CHECKING:
    from pathlib import Path

TASKS = (make_task(0, 60.0), make_task(1, 60.0))


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """One whose driver is gone, of which one video is done."""
    made = RunFolder.create(tmp_path)
    (made.path / OWNER_NAME).write_text(Owner(Owner.me().host, "an earlier start", 1, "0").write())
    Place.of(made.path).make()
    tell(made, RunStarted("/videos", "x", (), TASKS, ()), VideoEnded(TASKS[0], Outcome(TASKS[0].video, "done")))
    return made


def tell(run: RunFolder, *events: Event) -> None:
    with Ledger(run.ledger) as ledger:
        for event in events:
            ledger.write(event)


def ended(run: RunFolder) -> list[str]:
    return [event.stopped_by for _, event in outside.told(run) if isinstance(event, RunEnded)]


def test_a_run_that_nobody_follows_has_ended_when_all_its_videos_have(run: RunFolder) -> None:
    assert ended(run) == []
    tell(run, VideoEnded(TASKS[1], Outcome(TASKS[1].video, "failed")))
    assert ended(run) == [""]


def test_a_run_that_was_stopped_has_ended_when_its_last_element_has(run: RunFolder) -> None:
    place = Place.of(run.path)
    place.ask_to_stop(drain=False)
    assert ended(run) == []
    place.touch(place.over)
    assert ended(run) == ["interrupt"]


def test_a_run_whose_driver_is_alive_ends_when_that_says_so(run: RunFolder) -> None:
    (run.path / OWNER_NAME).write_text(Owner.me().write())
    tell(run, VideoEnded(TASKS[1], Outcome(TASKS[1].video, "done")))
    assert ended(run) == []


def test_why_elements_wait_is_told_in_slurms_words(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = [
        JobState(7, index, state, 0, "", reason, f"{Place.of(run.path).jobs_prefix}0")
        for index, (state, reason) in enumerate([("RUNNING", "None"), ("PENDING", "Priority"), ("PENDING", "Priority")])
    ]
    monkeypatch.setattr(site, "look", lambda _: shown)
    monkeypatch.setattr(shutil, "which", lambda name: name)
    assert outside.look(run) == "Slurm job 7: 1 element running, 2 waiting (Priority)"
