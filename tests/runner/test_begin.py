"""What an attempt finds: an empty stage, what the last attempt left, or a copy of what somebody else made."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.support.workshop import Workshop, leave_result, make_video
from vidfleet.runner.begin import begun_with
from vidfleet.runner.finish import publish_whole_stage
from vidfleet.workloads.base import Traits

if TYPE_CHECKING:
    from collections.abc import Callable

    from vidfleet.data import Stage


@pytest.fixture
def resuming(workshop: Workshop) -> Workshop:
    workshop.description = replace(workshop.description, traits=Traits(resumable=True))
    return workshop


def test_a_resumable_stage_is_continued_in(resuming: Workshop) -> None:
    task = resuming.add("a.mp4")
    resuming.prepare(task)
    leave_result(task.stage, "half")
    (task.stage.folder / "cache").write_text("cache")
    resuming.claims.release(task.stage)
    resuming.prepare(task)
    assert sorted(os.listdir(task.stage.folder)) == ["a", "a.mp4", "cache"]
    assert (task.stage.output / "result.txt").read_text() == "half"
    assert task.stage.entry.read_bytes() == task.video.path.read_bytes()


def _edit_script(workshop: Workshop) -> None:
    workshop.description = replace(workshop.description, parts={"script": "2"})


def _replace_video(workshop: Workshop) -> None:
    make_video(workshop.root / "a.mp4", seconds=1.0)


def _other_script(workshop: Workshop) -> None:
    workshop.description = replace(workshop.description, name="other.py")


def _no_longer_resumable(workshop: Workshop) -> None:
    workshop.description = replace(workshop.description, traits=Traits())


@pytest.mark.parametrize("change", [_edit_script, _replace_video, _other_script, _no_longer_resumable])
def test_a_stage_of_another_video_or_workload_is_begun_anew(
    resuming: Workshop, change: Callable[[Workshop], None]
) -> None:
    task = resuming.add("a.mp4")
    resuming.prepare(task)
    leave_result(task.stage, "half")
    resuming.claims.release(task.stage)
    change(resuming)
    task = resuming.task("a.mp4")
    resuming.prepare(task)
    assert os.listdir(task.stage.folder) == ["a.mp4"]


@pytest.mark.parametrize("how", ["symlink", "hardlink", "copy"])
def test_the_entry_is_made_anew_whatever_the_attempt_did_to_it(resuming: Workshop, how: str) -> None:
    resuming.settings = replace(resuming.settings, stage_by=how)  # type: ignore[arg-type]
    task = resuming.add("a.mp4")
    resuming.prepare(task)
    (task.stage.folder / "a.mp4").unlink()
    (task.stage.folder / "a.mp4").mkdir()
    resuming.claims.release(task.stage)
    resuming.prepare(task)
    assert task.stage.entry.read_bytes() == task.video.path.read_bytes()


def test_continuing_never_writes_into_what_is_published_nor_passes_for_whole(resuming: Workshop) -> None:
    """The link that publishing leaves in the stage leads to the published folder."""
    task = resuming.add("a.mp4")
    resuming.make_done(task)
    assert not begun_with(task.stage).exists()
    assert task.stage.output.is_symlink()
    resuming.prepare(task)
    assert not task.stage.output.exists()
    leave_result(task.stage)
    (task.stage.output / "vidfleet.json").write_bytes((resuming.root / "a/vidfleet.json").read_bytes())
    resuming.claims.release(task.stage)
    resuming.prepare(task)
    assert not publish_whole_stage(task, resuming.description, resuming.settings)


def test_files_are_carried_over_from_the_folder_that_is_replaced(workshop: Workshop) -> None:
    """The attempt finds them; what it writes itself, and what a person edits meanwhile, counts."""
    workshop.description = replace(
        workshop.description, traits=Traits(carry=("people.json", "deep/notes", "mine", "../a.mp4", "none"))
    )
    task = workshop.add("a.mp4")

    def first(stage: Stage) -> None:
        leave_result(stage)
        for name in ("people.json", "deep/notes", "mine"):
            (stage.output / name).parent.mkdir(exist_ok=True)
            (stage.output / name).write_text("first")

    workshop.make_done(task, first)
    (workshop.root / "a/people.json").write_text("named by hand")

    def second(stage: Stage) -> None:
        assert (stage.output / "people.json").read_text() == "named by hand"
        leave_result(stage, "second")
        (stage.output / "mine").write_text("second")
        (workshop.root / "a/deep/notes").write_text("edited while it ran")

    workshop.make_done(task, second)
    found = {name: (workshop.root / "a" / name).read_text() for name in ("people.json", "deep/notes", "mine")}
    assert found == {"people.json": "named by hand", "deep/notes": "edited while it ran", "mine": "second"}
    assert (workshop.root / "a/result.txt").read_text() == "second"


def test_folders_are_carried_over_without_being_copied(workshop: Workshop) -> None:
    """The pictures of a film cost a hard link each; one that the attempt replaces stays as it was in the old folder."""
    workshop.description = replace(workshop.description, traits=Traits(carry=("frames/", "../frames/", "none/")))
    task = workshop.add("a.mp4")

    def first(stage: Stage) -> None:
        leave_result(stage)
        (stage.output / "frames/deep").mkdir(parents=True)
        for name in ("1.jpg", "deep/2.jpg"):
            (stage.output / "frames" / name).write_text(name)

    workshop.make_done(task, first)
    old = workshop.root / "a/frames/deep/2.jpg"

    def second(stage: Stage) -> None:
        assert (stage.output / "frames/deep/2.jpg").samefile(old)
        (stage.output / "frames/1.jpg").unlink()
        (stage.output / "frames/1.jpg").write_text("new")
        assert (workshop.root / "a/frames/1.jpg").read_text() == "1.jpg"
        leave_result(stage, "second")

    workshop.make_done(task, second)
    found = {name: (workshop.root / "a/frames" / name).read_text() for name in ("1.jpg", "deep/2.jpg")}
    assert found == {"1.jpg": "new", "deep/2.jpg": "deep/2.jpg"}


def _theirs(workshop: Workshop) -> None:
    (workshop.root / "a/deep").mkdir(parents=True)
    (workshop.root / "a/deep/theirs.txt").write_text("theirs")


def test_a_seeded_attempt_works_on_a_real_copy_without_the_record(workshop: Workshop) -> None:
    workshop.settings = replace(workshop.settings, existing="seed")
    _theirs(workshop)
    (workshop.root / "a/vidfleet.json").write_text(json.dumps({"schema": 99}))
    task = workshop.add("a.mp4")
    assert workshop.judge("a.mp4").kind == "foreign", "newer records are refused"
    (workshop.root / "a/vidfleet.json").unlink()

    def work(stage: Stage) -> None:
        path = stage.output / "deep/theirs.txt"
        assert path.read_text() == "theirs"
        assert not os.path.samefile(path, workshop.root / "a/deep/theirs.txt")
        path.write_text("edited in place")

    workshop.make_done(task, work)
    assert (workshop.root / "a/deep/theirs.txt").read_text() == "edited in place"
    assert (workshop.root / "a.old/deep/theirs.txt").read_text() == "theirs"
    assert not workshop.judge("a.mp4").must_run


def test_what_is_replaced_is_put_aside_under_a_free_name_and_stays_known(workshop: Workshop) -> None:
    workshop.settings = replace(workshop.settings, existing="replace")
    _theirs(workshop)
    make_video(workshop.root / "a/inside.mp4")
    (workshop.root / "a.old").mkdir()
    task = workshop.add("a.mp4")
    for script in ("1", "2"):
        workshop.description = replace(workshop.description, parts={"script": script})
        workshop.make_done(task)
        record = json.loads((workshop.root / "a/vidfleet.json").read_bytes())
        assert record["outputs"]["put_aside"] == ["a.old2"]
    assert (workshop.root / "a.old2/deep/theirs.txt").read_text() == "theirs"
    assert workshop.found() == ["a.mp4"], "no video is found in what was put aside"
