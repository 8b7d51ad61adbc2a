"""What an element works on: its own share, then what nobody has of the others'."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.fleet import write_video
from vidfleet.runner.claims import Claims
from vidfleet.runner.run import Prepared, prepare
from vidfleet.runner.slurm.feed import Feed
from vidfleet.runner.slurm.orders import Orders, write_orders, write_share
from vidfleet.runner.slurm.place import Place
from vidfleet.runner.writing import write_whole
from vidfleet.settings import RunSettings
from vidfleet.workloads import Command

if TYPE_CHECKING:
    from pathlib import Path

    from vidfleet.data import Task

COMMAND = Command(("true", "{video}"))


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    """Eight videos."""
    for index in range(8):
        write_video(tmp_path / "root" / f"v{index}.mp4")
    return prepare(tmp_path / "root", COMMAND, settings=RunSettings(executor="slurm", schedule="name"))


@pytest.fixture
def feed(prepared: Prepared, tmp_path: Path) -> Feed:
    """Of the element whose share are the first four."""
    place = Place(tmp_path / "run" / "slurm")
    place.path.parent.mkdir()
    place.make()
    orders = Orders(
        "word", prepared.root, prepared.base, COMMAND, prepared.settings, prepared.description.name,
        prepared.description.fingerprint,
    )  # fmt: skip
    write_orders(place, orders)
    write_share(place, 0, prepared.plan.tasks[:4])
    write_share(place, 1, prepared.plan.tasks[4:])
    (tmp_path / "mine").mkdir()
    claims = Claims(tmp_path / "mine")
    return Feed(place, orders, 0, claims=claims, description=prepared.description, batch=2)


def names(tasks: list[Task]) -> list[str]:
    return [task.video.stem for task in tasks]


def others(tmp_path: Path) -> Claims:
    (tmp_path / "others").mkdir()
    return Claims(tmp_path / "others")


def test_first_comes_its_own_share(feed: Feed) -> None:
    assert names(feed.own()[0]) == ["v0", "v1", "v2", "v3"]


def test_then_come_a_few_of_the_others_from_their_end(feed: Feed, prepared: Prepared, tmp_path: Path) -> None:
    """But for those that somebody has."""
    theirs = others(tmp_path)
    for task in feed.own()[0]:
        theirs.take(task.stage)
    theirs.take(prepared.plan.tasks[7].stage)
    assert names(feed.more(is_pressing=True)) == ["v6", "v5"]


def test_what_a_living_runner_gives_back_is_taken(feed: Feed, prepared: Prepared, tmp_path: Path) -> None:
    theirs = others(tmp_path)
    feed.own()
    for task in prepared.plan.tasks:
        theirs.take(task.stage)
    assert feed.more(is_pressing=True) == []
    theirs.release(prepared.plan.tasks[5].stage)
    assert feed.more(is_pressing=False) == []  # it has just looked
    assert names(feed.more(is_pressing=True)) == ["v5"]


def test_what_has_failed_in_this_run_is_left_alone(feed: Feed, prepared: Prepared) -> None:
    """What failed in an earlier one is not."""
    tasks = prepared.plan.tasks
    for task, age_s in ((tasks[1], -1.0), (tasks[2], 1000.0)):
        task.stage.error.parent.mkdir(exist_ok=True)
        write_whole(task.stage.error, "{}")
        at = time.time() - age_s
        os.utime(task.stage.error, (at, at))
    left, outcomes = feed.own()
    assert names(left) == ["v0", "v2", "v3"]
    assert [(outcome.video.stem, outcome.state) for outcome in outcomes] == [("v1", "failed")]


def test_what_others_have_done_meanwhile_is_told(feed: Feed, prepared: Prepared) -> None:
    """Else the driver would wait for it for ever."""
    (prepared.root / "v3").mkdir()  # somebody else's
    tasks, outcomes = feed.own()
    assert names(tasks) == ["v0", "v1", "v2"]
    assert [(outcome.video.stem, outcome.state, outcome.kind) for outcome in outcomes] == [("v3", "blocked", "foreign")]


def test_nothing_comes_once_the_run_is_being_ended(feed: Feed, tmp_path: Path) -> None:
    (tmp_path / "run" / "slurm" / "stop").touch()
    assert feed.more(is_pressing=True) == []


def test_no_video_is_begun_again_and_again(feed: Feed) -> None:
    """Where not even its failure can be remembered, as on a full disk."""
    feed.own()
    given = 0
    while tasks := feed.more(is_pressing=True):
        given += len(tasks)
        assert given < 100
    assert given > 0
