"""``--on-collision suffix``: each video has a folder of its own, and keeps it when others come and go."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.support.workshop import leave_result
from vidfleet.data import Task
from vidfleet.runner.discover import discover
from vidfleet.runner.places import stages_of

if TYPE_CHECKING:
    from tests.support.workshop import Workshop


@pytest.fixture
def suffixing(workshop: Workshop) -> Workshop:
    workshop.settings = replace(workshop.settings, on_collision="suffix")
    return workshop


def _names(workshop: Workshop) -> dict[str, str]:
    videos = discover(workshop.root, workshop.settings).videos
    stages = stages_of(videos, workshop.root, workshop.settings)
    return {video.relative: str(stages[video].target.relative_to(workshop.root)) for video in videos}


def _make_done(workshop: Workshop) -> None:
    videos = discover(workshop.root, workshop.settings).videos
    for video, stage in stages_of(videos, workshop.root, workshop.settings).items():
        workshop.make_done(Task(video, stage, workshop.task(video.relative).probe), leave_result)


def test_videos_of_one_stem_get_their_ending_and_others_keep_their_name(suffixing: Workshop) -> None:
    for name in ("a.mp4", "a.mkv", "b.mp4", "s/a.mp4"):
        suffixing.add(name)
    assert _names(suffixing) == {"a.mkv": "a_mkv", "a.mp4": "a_mp4", "b.mp4": "b", "s/a.mp4": "s/a"}


def test_a_suffixed_name_never_meets_another_videos(suffixing: Workshop) -> None:
    for name in ("a.mp4", "a.mkv", "a_mp4.mov", "a_mp4.avi", "a.MP4", "n" * 251 + ".mp4", "n" * 251 + ".mkv"):
        suffixing.add(name)
    names = _names(suffixing)
    assert len(set(names.values())) == len(names)
    assert all(len(name) <= 255 for name in names.values())
    _make_done(suffixing)
    assert _names(suffixing) == names


def test_a_folder_stays_its_videos_when_another_of_its_stem_comes_and_goes(suffixing: Workshop) -> None:
    suffixing.add("a.mp4")
    _make_done(suffixing)
    assert _names(suffixing) == {"a.mp4": "a"}
    suffixing.add("a.mkv")
    assert _names(suffixing) == {"a.mp4": "a", "a.mkv": "a_mkv"}
    _make_done(suffixing)
    (suffixing.root / "a.mp4").unlink()
    assert _names(suffixing) == {"a.mkv": "a_mkv"}


def test_what_is_published_beside_carries_the_suffix_too(suffixing: Workshop) -> None:
    for name in ("a.mp4", "a.mkv"):
        suffixing.add(name)
    videos = discover(suffixing.root, suffixing.settings).videos
    for video, stage in stages_of(videos, suffixing.root, suffixing.settings).items():
        task = Task(video, stage, suffixing.task(video.relative).probe)
        suffixing.prepare(task)
        leave_result(stage)
        (stage.folder / "a_out.mp4").write_text(video.relative)
        assert suffixing.finish(task) is None
    assert (suffixing.root / "a_mp4_out.mp4").read_text() == "a.mp4"
    assert (suffixing.root / "a_mkv_out.mp4").read_text() == "a.mkv"
    assert suffixing.found() == ["a.mkv", "a.mp4"]
