"""Publishing over the border of a file system or a quota tree, where no rename leads, and down to the disk."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.workshop import Workshop, leave_result
from vidfleet.runner import rename
from vidfleet.runner.publish import complete_publishing, is_half_published
from vidfleet.runner.stage import prepare

if TYPE_CHECKING:
    from vidfleet.data import Stage


@pytest.fixture(params=["exchange", "old aside, new in"])
def bordered(request: pytest.FixtureRequest, workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """No rename leads into or out of ``.vidfleet``; elsewhere two names can be exchanged, or not."""
    real_two, real_rename = rename._renameat2, Path.rename

    def crosses(source: Path | str, target: Path) -> bool:
        return (".vidfleet" in Path(source).parts) != (".vidfleet" in target.parts)

    def renameat2(source: Path | str, target: Path, flags: int) -> int:
        if crosses(source, target):
            return errno.EXDEV
        return real_two(source, target, flags) if request.param == "exchange" else errno.EINVAL

    def one(self: Path, target: Path) -> Path:
        if crosses(self, target):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return real_rename(self, target)

    monkeypatch.setattr(rename, "_renameat2", renameat2)
    monkeypatch.setattr(Path, "rename", one)
    return workshop


def _leave(stage: Stage, text: str) -> None:
    leave_result(stage, text)
    (stage.output / "link").symlink_to("result.txt")
    (stage.folder / "a_out.txt").write_text(text)


def test_an_output_is_copied_over_the_border_and_renamed_there(bordered: Workshop) -> None:
    """Also in place of an older one; nothing stays but the output."""
    task = bordered.add("a.mp4")
    for text in ("first", "second"):
        bordered.make_done(task, lambda stage, text=text: _leave(stage, text))  # type: ignore[misc]
        assert (bordered.root / "a/result.txt").read_text() == text
        assert (bordered.root / "a/link").is_symlink()
        assert (bordered.root / "a_out.txt").read_text() == text
        assert sorted(os.listdir(bordered.root)) == [".vidfleet", "a", "a.mp4", "a_out.txt"]
    assert not bordered.judge("a.mp4").must_run


def test_a_kill_between_old_aside_and_new_in_is_completed_there_too(
    bordered: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = bordered.add("a.mp4")
    bordered.make_done(task, lambda stage: _leave(stage, "first"))
    bordered.prepare(task)
    _leave(task.stage, "second")
    with monkeypatch.context() as patch:
        patch.setattr("shutil.copytree", _killed)
        with pytest.raises(KeyboardInterrupt):
            bordered.finish(task)
    assert (bordered.root / "a/result.txt").read_text() == "first", "nothing is torn"
    bordered.claims.release(task.stage)
    complete_publishing(task.stage)
    assert not is_half_published(task.stage)
    assert (bordered.root / "a/result.txt").read_text() in ("first", "second")


def _killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_the_stage_lies_in_the_folder_that_its_output_goes_to(workshop: Workshop, tmp_path: Path) -> None:
    """So that with --output too, publishing is a rename within one folder's file system."""
    for settings in (workshop.settings, replace(workshop.settings, output=tmp_path / "out")):
        workshop.settings = settings
        stage = workshop.add("s/a.mp4").stage
        assert stage.folder.parent.parent == stage.target.parent


def test_durable_syncs_every_file_before_and_the_folder_after(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, bool]] = []
    real = os.fsync

    def fsync(file: int) -> None:
        synced.append((os.readlink(f"/proc/self/fd/{file}"), (workshop.root / "a").exists()))
        real(file)

    monkeypatch.setattr(os, "fsync", fsync)
    workshop.make_done(workshop.add("b.mp4"))
    assert not synced, "only where it was asked for"
    workshop.settings = replace(workshop.settings, durable=True)
    task = workshop.add("a.mp4")
    workshop.make_done(task, lambda stage: _leave(stage, "x"))
    before = {path for path, visible in synced if not visible}
    wanted = [task.stage.output / "result.txt", task.stage.output / "vidfleet.json", task.stage.output]
    assert before >= {str(path) for path in (*wanted, task.stage.folder / "a_out.txt", task.stage.folder)}
    assert [path for path, visible in synced if visible] == [str(workshop.root)]


def test_preparing_keeps_only_where_it_is_told_to(workshop: Workshop) -> None:
    task = workshop.add("a.mp4")
    for keep, left in ((True, ["a", "a.mp4"]), (False, ["a.mp4"])):
        prepare(task.stage, task.video, workshop.settings, makes_output_folder=True)
        leave_result(task.stage)
        prepare(task.stage, task.video, workshop.settings, makes_output_folder=True, keep=keep)
        assert sorted(os.listdir(task.stage.folder)) == left
