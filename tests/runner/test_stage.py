"""A stage holds one video under a harmless name; an output becomes visible as a whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.workshop import ODD_NAMES, Workshop, leave_result, make_video
from vidfleet.errors import OccupiedError
from vidfleet.runner import publish as publishing
from vidfleet.runner import rename
from vidfleet.runner import stage as staging
from vidfleet.runner.finish import finish, publish_whole_stage
from vidfleet.runner.provenance import MadeBy
from vidfleet.runner.publish import complete_publishing, old_aside
from vidfleet.runner.rename import exchange, move_in, move_new
from vidfleet.runner.stage import alias_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vidfleet.data import Stage, Task

_HARMLESS = re.compile(r"[A-Za-z0-9._/-]+")


@pytest.fixture(autouse=True)
def _own_temporary_folder(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("tmp")))


@pytest.fixture(params=["exchange", "old aside, new in"])
def workshop(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """On a file system with ``renameat2``, and on one such as NFS, which refuses it."""
    if request.param != "exchange":
        monkeypatch.setattr(rename, "_renameat2", lambda *_: 22)
    (tmp_path / "root").mkdir()
    return Workshop(tmp_path / "root")


def _text(workshop: Workshop, name: str) -> str:
    return (workshop.root / name).read_text()


def _leave(stage: Stage, *names: str, text: str = "new") -> None:
    leave_result(stage, text)
    for name in names:
        (stage.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (stage.folder / name).write_text(text)


@pytest.mark.parametrize("folder", ["plain", "odd $(touch pwned); 'f' é"])
def test_every_odd_name_goes_through_stage_publish_record_and_discovery(tmp_path: Path, folder: str) -> None:
    """What the script sees is free of odd characters, and the output has the real name."""
    workshop = Workshop(tmp_path / folder)
    for name in ODD_NAMES:
        workshop.add(name)
    for name in ODD_NAMES:
        task = workshop.task(name)
        assert _HARMLESS.fullmatch(str(task.stage.entry)), name
        assert not task.stage.entry_name.startswith("-")
        workshop.prepare(task)
        assert os.listdir(task.stage.seen_as) == [task.stage.entry_name]
        assert task.stage.entry.read_bytes() == task.video.path.read_bytes()
        leave_result(task.stage, name.encode("utf-8", "backslashreplace").decode())
        assert workshop.finish(task) is None
    for name in ODD_NAMES:
        out = workshop.root / Path(name).stem
        assert (out / "result.txt").read_text() == name.encode("utf-8", "backslashreplace").decode()
        assert not workshop.judge(name).must_run
    assert sorted(workshop.found()) == sorted(ODD_NAMES)


def test_names_that_differ_only_in_odd_characters_never_share_a_stage(workshop: Workshop) -> None:
    names = ["a b.mp4", "a;b.mp4", "a_b.mp4", "a$b.mp4", "é.mp4", "ü.mp4", "-.mp4", "--.mp4", "a.mp4", "a.mkv",
             "n" * 200 + "1.mp4", "n" * 200 + "2.mp4"]  # fmt: skip
    stages = [workshop.add(name).stage for name in names]
    for part in ("folder", "claim", "error", "seen_as", "entry"):
        assert len({getattr(stage, part) for stage in stages}) == len(names), part


def test_a_stage_is_the_same_in_every_run_and_keep_names_shows_the_real_one(workshop: Workshop) -> None:
    task = workshop.add("a b.mp4")
    assert workshop.task("a b.mp4").stage == task.stage
    assert task.stage.folder.parent == workshop.root / ".vidfleet"
    workshop.settings = replace(workshop.settings, keep_names=True)
    assert workshop.task("a b.mp4").stage.entry_name == "a b.mp4"


@pytest.mark.parametrize("how", ["symlink", "hardlink", "copy"])
@pytest.mark.parametrize("is_link", [False, True])
def test_a_stage_holds_exactly_the_video_however_it_gets_in(workshop: Workshop, how: str, is_link: bool) -> None:
    workshop.settings = replace(workshop.settings, stage_by=how)  # type: ignore[arg-type]
    real = make_video(workshop.root / "deep" / "real.mp4")
    name = "deep/real.mp4"
    if is_link:
        name = "link.mp4"
        (workshop.root / name).symlink_to("deep/real.mp4")
    task = workshop.task(name)
    workshop.prepare(task)
    (task.stage.folder / "left over").mkdir()
    staging.prepare(task.stage, task.video, workshop.settings, makes_output_folder=True)
    assert os.listdir(task.stage.folder) == [task.stage.entry_name]
    assert task.stage.entry.read_bytes() == real.read_bytes()
    assert task.stage.entry.is_symlink() == (how == "symlink")
    assert (task.stage.entry.stat().st_ino == real.stat().st_ino) == (how != "copy")


def test_aliases_lie_in_a_folder_of_ones_own(workshop: Workshop) -> None:
    """A folder that others may write to could lead the script anywhere."""
    task = workshop.add("odd folder/a.mp4")
    workshop.prepare(task)
    assert alias_folder().stat().st_mode & 0o777 == 0o700
    alias_folder().chmod(0o777)
    with pytest.raises(OccupiedError, match="not a folder of yours alone"):
        staging.prepare(task.stage, task.video, workshop.settings, makes_output_folder=True)


def test_an_alias_that_led_elsewhere_is_led_back(workshop: Workshop, tmp_path: Path) -> None:
    task = workshop.add("odd folder/a.mp4")
    alias_folder().mkdir(mode=0o700)
    task.stage.seen_as.symlink_to(tmp_path)
    workshop.prepare(task)
    assert task.stage.seen_as.resolve() == task.stage.folder.resolve()


def test_a_new_output_replaces_our_old_one_as_a_whole(workshop: Workshop) -> None:
    task = workshop.add("a.mp4")
    workshop.make_done(task, lambda stage: _leave(stage, "a/old-only.txt", text="old"))
    workshop.make_done(task, _leave)
    assert _text(workshop, "a/result.txt") == "new"
    assert not (workshop.root / "a/old-only.txt").exists()
    assert sorted(os.listdir(workshop.root)) == [".vidfleet", "a", "a.mp4"]
    assert not os.path.lexists(old_aside(task.stage))


def test_an_output_that_appears_meanwhile_is_not_overwritten(workshop: Workshop) -> None:
    task = workshop.add("a.mp4")
    workshop.prepare(task)
    _leave(task.stage, "a_out.mp4")
    (workshop.root / "a").mkdir()
    (workshop.root / "a/theirs.txt").write_text("theirs")
    problem = workshop.finish(task)
    assert problem is not None
    assert "appeared meanwhile" in problem.reason
    assert os.listdir(workshop.root / "a") == ["theirs.txt"]
    assert not (workshop.root / "a_out.mp4").exists()


def test_other_entries_go_beside_the_video_or_into_extra(workshop: Workshop) -> None:
    """By whether their names begin with the stem; under the video's own stem, whatever the script saw."""
    task = workshop.add("a b.mp4")
    stem = task.stage.entry_stem
    workshop.make_done(task, lambda stage: _leave(stage, f"{stem}_out.mp4", f"{stem}_dir/x", "tmp.txt", "cache/y"))
    assert _text(workshop, "a b_out.mp4") == "new"
    assert _text(workshop, "a b_dir/x") == "new"
    assert _text(workshop, "a b/_extra/tmp.txt") == "new"
    assert _text(workshop, "a b/_extra/cache/y") == "new"
    record = json.loads(_text(workshop, "a b/vidfleet.json"))
    assert record["outputs"]["beside"] == ["a b_dir", "a b_out.mp4"]
    assert workshop.found() == ["a b.mp4"]


def test_somebody_elses_file_beside_the_video_is_not_overwritten(workshop: Workshop) -> None:
    task = workshop.add("a.mp4")
    make_video(workshop.root / "a_out.mp4")
    theirs = (workshop.root / "a_out.mp4").read_bytes()
    workshop.make_done(task, lambda stage: _leave(stage, "a_out.mp4"))
    workshop.make_done(task, lambda stage: _leave(stage, "a_out.mp4"))
    assert (workshop.root / "a_out.mp4").read_bytes() == theirs
    assert _text(workshop, "a/_extra/a_out.mp4") == "new"
    assert workshop.found() == ["a.mp4", "a_out.mp4"]


def test_our_own_file_beside_the_video_is_replaced_also_by_one_of_another_kind(workshop: Workshop) -> None:
    task = workshop.add("a.mp4")
    workshop.make_done(task, lambda stage: _leave(stage, "a_1.txt", "a_2/x", text="old"))
    workshop.make_done(task, lambda stage: _leave(stage, "a_1.txt", "a_2"))
    assert (_text(workshop, "a_1.txt"), _text(workshop, "a_2")) == ("new", "new")
    workshop.make_done(task, lambda stage: _leave(stage, "a_1.txt/y"))
    assert _text(workshop, "a_1.txt/y") == "new"


def test_what_an_earlier_output_left_beside_never_becomes_one_more_video(workshop: Workshop) -> None:
    task = workshop.add("a.mp4")
    workshop.make_done(task, lambda stage: _leave(stage, "a_out.mp4"))
    workshop.make_done(task, _leave)
    assert workshop.found() == ["a.mp4"]


def test_a_name_too_long_for_beside_goes_into_extra(workshop: Workshop) -> None:
    task = workshop.add("é" * 124 + ".mp4")
    stem = task.stage.entry_stem
    workshop.make_done(task, lambda stage: _leave(stage, f"{stem}_out.mp4"))
    assert _text(workshop, f"{'é' * 124}/_extra/{stem}_out.mp4") == "new"


def test_the_links_that_stay_are_relative_and_lead_there(tmp_path: Path) -> None:
    """Also where a link led into the root, and after the root has moved."""
    (tmp_path / "very" / "deep" / "place").mkdir(parents=True)
    (tmp_path / "link").symlink_to("very/deep/place")
    workshop = Workshop(tmp_path / "link" / "my root")
    task = workshop.add("a b.mp4")
    workshop.make_done(task)
    written_by_script = task.stage.seen_as / task.stage.entry_stem / "result.txt"
    assert written_by_script.read_text() == "whole"
    assert task.stage.entry.samefile(task.video.path)
    links = sorted(task.stage.folder.iterdir())
    assert [link.name for link in links] == sorted([task.stage.entry_stem, task.stage.entry_name])
    assert not any(os.path.isabs(os.readlink(link)) for link in links)
    (tmp_path / "very/deep/place/my root").rename(tmp_path / "moved")
    moved = tmp_path / "moved" / ".vidfleet" / task.stage.folder.name
    assert (moved / task.stage.entry_stem / "result.txt").read_text() == "whole"


def test_the_links_lead_there_also_from_an_output_folder_behind_a_link(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "other" / "disk").mkdir(parents=True)
    (tmp_path / "out").symlink_to("other/disk")
    workshop.settings = replace(workshop.settings, output=tmp_path / "out")
    task = workshop.add("a.mp4")
    workshop.make_done(task)
    assert task.stage.entry.samefile(task.video.path)
    assert (task.stage.output / "result.txt").read_text() == "whole"


# ---- kills


class _Killed(BaseException):
    pass


def _kill_at(monkeypatch: pytest.MonkeyPatch, step: int) -> list[str]:
    """Die before the ``step``-th change of the file system from here on; returns what was done."""
    done: list[str] = []

    def counted(name: str, real: object) -> object:
        def change(*args: object, **kwargs: object) -> object:
            if len(done) == step:
                raise _Killed
            done.append(name)
            return real(*args, **kwargs)  # type: ignore[operator]

        return change

    for name in ("rename", "replace", "unlink", "symlink"):
        monkeypatch.setattr(os, name, counted(name, getattr(os, name)))
    monkeypatch.setattr(publishing, "exchange", counted("exchange", exchange))
    monkeypatch.setattr(publishing, "move_in", counted("move_in", move_in))
    return done


def _next_start(workshop: Workshop, task: Task) -> None:
    """What a run does with a video that may be half published (runner/execute.py)."""
    if workshop.judge("a.mp4").must_run:
        complete_publishing(task.stage)
        if workshop.judge("a.mp4").must_run:
            assert publish_whole_stage(task, workshop.description, workshop.settings)
    assert not workshop.judge("a.mp4").must_run


@pytest.mark.parametrize("has_old", [False, True])
@pytest.mark.parametrize("refuses", [False, True])
def test_a_kill_at_any_step_of_publishing_is_completed_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_old: bool, refuses: bool
) -> None:
    """Nothing is redone, nothing is torn, nothing that goes beside the video is lost."""
    for step in range(40):
        workshop = Workshop(tmp_path / str(step))
        task = workshop.add("a.mp4")
        if has_old:
            workshop.make_done(task, lambda stage: _leave(stage, "a_out.mp4", text="old"))
            workshop.description = replace(workshop.description, parts={"script": "2"})
        workshop.prepare(task)
        _leave(task.stage, "a_out.mp4", "a_more.txt")
        with monkeypatch.context() as patch:
            if refuses:
                patch.setattr(rename, "_renameat2", lambda *_: 22)
            done = _kill_at(patch, step)
            try:
                finish(
                    task, workshop.description, (workshop.attempt(),), workshop.claims,
                    made_by=MadeBy({}), settings=workshop.settings,
                )  # fmt: skip
            except _Killed:
                pass
            else:
                assert step > 4
                return
        if (workshop.root / "a").exists():
            whole = (_text(workshop, "a/result.txt"), (workshop.root / "a/vidfleet.json").is_file())
            assert whole in [("old", True), ("new", True)], done
        if not done:
            continue  # the record was not written yet: it runs again
        _next_start(workshop, task)
        assert [_text(workshop, name) for name in ("a/result.txt", "a_out.mp4", "a_more.txt")] == ["new"] * 3, done
        assert sorted(os.listdir(workshop.root)) == [".vidfleet", "a", "a.mp4", "a_more.txt", "a_out.mp4"], done
        assert workshop.found(ext=("txt",)) == ["a.mp4"], done
    raise AssertionError("publishing never ends")


def test_a_kill_before_the_new_was_whole_brings_the_old_back(workshop: Workshop) -> None:
    task = workshop.add("a.mp4")
    workshop.make_done(task)
    task.stage.target.rename(old_aside(task.stage))
    assert workshop.judge("a.mp4").must_run
    complete_publishing(task.stage)
    assert not workshop.judge("a.mp4").must_run
    assert _text(workshop, "a/result.txt") == "whole"


def test_a_file_that_appeared_while_publishing_was_half_done_is_kept(workshop: Workshop) -> None:
    task = workshop.add("a.mp4")
    workshop.prepare(task)
    _leave(task.stage, "a_out.mp4")
    real = publishing._publish_beside

    def late(stage: Stage, name: str, ours: frozenset[str]) -> bool:
        (workshop.root / "a_out.mp4").write_text("theirs")
        return real(stage, name, ours)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publishing, "_publish_beside", late)
        assert workshop.finish(task) is None
    assert _text(workshop, "a_out.mp4") == "theirs"
    assert _text(workshop, "a/_extra/a_out.mp4") == "new"
    assert workshop.found() == ["a.mp4", "a_out.mp4"]


def test_a_new_one_that_cannot_be_put_in_leaves_the_old_in_place(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = workshop.add("a.mp4")
    workshop.make_done(task, lambda stage: _leave(stage, text="old"))
    workshop.prepare(task)
    _leave(task.stage)
    monkeypatch.setattr(publishing, "exchange", lambda *_: False)

    def no_room(source: Path, target: Path) -> None:
        if source == task.stage.output and not target.exists():
            raise OSError(28, "no space left")
        move_in(source, target)

    monkeypatch.setattr(publishing, "move_in", no_room)
    problem = workshop.finish(task)
    assert problem is not None
    assert problem.kind == "disk_full"
    assert _text(workshop, "a/result.txt") == "old"


# ---- emptying


@contextlib.contextmanager
def _held_by_permissions() -> Iterator[Path]:
    """A folder, as a user whom permissions hold back (they do not hold root)."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name, "x")
        folder.mkdir()
        as_root = os.geteuid() == 0
        if as_root:
            Path(name).chmod(0o755)
            os.chown(folder, 65534, 65534)
            os.seteuid(65534)
        try:
            yield folder
        finally:
            if as_root:
                os.seteuid(0)


def test_read_only_folders_that_a_script_left_are_emptied_and_links_are_not_followed() -> None:
    with _held_by_permissions() as top:
        stage, keep = top / "stage", top / "keep"
        for folder in (stage, keep):
            folder.mkdir()
        (keep / "x").write_text("x")
        keep.chmod(0o555)
        for name, mode in (("ro/deep/x", 0o555), ("none/deep/x", 0), ("noexec/deep/x", 0o666)):
            (stage / name).parent.mkdir(parents=True)
            (stage / name).write_text("x")
            (stage / name).parent.chmod(mode)
            (stage / name).parent.parent.chmod(mode)
        (stage / "link").symlink_to(keep)
        (stage / "ro2").mkdir()
        (stage / "ro2" / "link").symlink_to(keep)
        (stage / "ro2").chmod(0o555)
        stage.chmod(0o555)
        staging.empty(stage)
        assert os.listdir(stage) == []
        assert (keep / "x").read_text() == "x"
        assert keep.stat().st_mode & 0o777 == 0o555
        keep.chmod(0o755)


def test_a_read_only_output_is_published_and_replaced() -> None:
    with _held_by_permissions() as top:
        workshop = Workshop(top)
        task = workshop.add("a.mp4")

        def work(stage: Stage) -> None:
            leave_result(stage)
            stage.output.chmod(0o555)

        workshop.make_done(task, work)
        workshop.make_done(task, work)
        assert _text(workshop, "a/result.txt") == "whole"


# ---- the two renames


def test_move_new_never_overwrites(workshop: Workshop) -> None:
    one, other = workshop.root / "one", workshop.root / "other"
    one.mkdir()
    makers: tuple[Callable[[], None], ...] = (other.mkdir, other.touch, lambda: other.symlink_to("nowhere"))
    for make in makers:
        make()
        with pytest.raises(FileExistsError):
            move_new(one, other)
        other.rmdir() if other.is_dir() else other.unlink()
    move_new(one, other)
    assert other.is_dir()
    with pytest.raises(FileNotFoundError):
        move_new(one, workshop.root / "third")


def test_exchange_swaps_or_says_that_it_cannot(workshop: Workshop) -> None:
    for name in ("one", "other"):
        (workshop.root / name).mkdir()
        (workshop.root / name / name).touch()
    if exchange(workshop.root / "one", workshop.root / "other"):
        assert os.listdir(workshop.root / "one") == ["other"]
        with pytest.raises(FileNotFoundError):
            exchange(workshop.root / "one", workshop.root / "nowhere")
    else:
        assert os.listdir(workshop.root / "one") == ["one"]


def test_a_run_that_lost_its_claim_touches_nothing(workshop: Workshop) -> None:
    """The stage is the other runner's then."""
    task = workshop.add("a.mp4")
    workshop.prepare(task)
    _leave(task.stage, "tmp.txt")
    task.stage.claim.unlink()
    Workshop(workshop.root).claims.take(task.stage)
    problem = workshop.finish(task)
    assert problem is not None
    assert "took the video over" in problem.reason
    assert sorted(os.listdir(task.stage.folder)) == sorted(["a", "a.mp4", "tmp.txt"])
    assert not (workshop.root / "a").exists()


def test_a_claim_that_is_gone_is_not_called_another_runners(workshop: Workshop) -> None:
    """Somebody removed .vidfleet, or the script did."""
    task = workshop.add("a.mp4")
    workshop.prepare(task)
    _leave(task.stage)
    task.stage.claim.unlink()
    problem = workshop.finish(task)
    assert problem is not None
    assert "removed or altered" in problem.reason
