"""Shares of about equal cost."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from vidfleet.data import Probe, Task, Video
from vidfleet.runner.order.forecast import Forecast
from vidfleet.runner.places import stage_of
from vidfleet.runner.slurm.shares import cut, how_many
from vidfleet.settings import RunSettings


def make_task(index: int, seconds: float) -> Task:
    video = Video(Path(f"/videos/v{index}.mp4"), f"v{index}.mp4", 1, 1, index)
    return Task(
        video, stage_of(video, Path("/videos"), RunSettings()), Probe(seconds, int(seconds * 25), 100, 100, "h264")
    )


def test_no_share_is_over_the_mean_by_more_than_a_video() -> None:
    """Whatever their lengths; each video is in one share, and in a share they keep their order."""
    chance = random.Random(7)
    tasks = [make_task(index, chance.paretovariate(1.2)) for index in range(500)]
    shares = cut(tasks, 7, lambda task: task.cost)
    assert sorted(task.video.position for share in shares for task in share) == list(range(500))
    assert all(share == sorted(share, key=lambda task: task.video.position) for share in shares)
    mean = sum(task.cost for task in tasks) / 7
    for share in shares:
        assert sum(task.cost for task in share) <= mean + max(task.cost for task in share)


@pytest.mark.parametrize(
    ("settings", "most", "count"),
    [
        (RunSettings(), 1000, 10),  # 100 minutes of film, ten for each element
        (RunSettings(chunk_minutes=50.0), 1000, 2),
        (RunSettings(chunk_minutes=1000.0), 1000, 1),
        (RunSettings(chunk_minutes=0.0), 1000, 16),
        (RunSettings(chunk_minutes=0.0, max_jobs=500), 1000, 100),
        (RunSettings(chunk_minutes=0.0, max_jobs=500), 64, 64),  # MaxArraySize
    ],
)
def test_there_are_as_many_as_the_work_is_worth_and_the_site_allows(
    settings: RunSettings, most: int, count: int
) -> None:
    tasks = [make_task(index, 60.0) for index in range(100)]
    assert how_many(tasks, Forecast(), settings, most) == count
