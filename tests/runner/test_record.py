"""Done comes from records alone: each row of the resume table that a record decides."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.workshop import Workshop, leave_result, make_video, video_bytes
from vidfleet.errors import RecordError
from vidfleet.runner.identity import hash_ends
from vidfleet.runner.record import RECORD_NAME, SCHEMA, missing_promises, read_record, write_record
from vidfleet.workloads.base import Promise

if TYPE_CHECKING:
    from pathlib import Path

    from vidfleet.data import Stage


@pytest.fixture
def done(workshop: Workshop) -> Workshop:
    """A workshop with ``a.mp4`` done: three frames, one crop, scores."""
    workshop.promise("pywork/scores.pckl")

    def work(stage: Stage) -> None:
        for name in ("pyframes/1.jpg", "pyframes/2.jpg", "pyframes/3.jpg", "pycrop/0.avi", "pywork/scores.pckl"):
            path = stage.output / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x")

    workshop.make_done(workshop.add("a.mp4"), work)
    return workshop


def _record(workshop: Workshop) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads((workshop.root / "a" / RECORD_NAME).read_bytes())
    return plain


def test_nothing_changed_nothing_runs(done: Workshop) -> None:
    assert not done.judge("a.mp4").must_run


def test_a_new_time_with_the_same_content_is_the_same_video(done: Workshop) -> None:
    os.utime(done.root / "a.mp4", ns=(1, 1))
    assert not done.judge("a.mp4").must_run


def test_new_content_of_the_same_size_runs(done: Workshop) -> None:
    path = done.root / "a.mp4"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    os.utime(path, ns=(1, 1))
    assert done.judge("a.mp4").reason == "the video has another content"


def test_new_content_of_another_size_runs(done: Workshop) -> None:
    make_video(done.root / "a.mp4", seconds=1.0)
    assert done.judge("a.mp4").reason == "the video has another size"


def test_content_that_changed_while_it_was_worked_on_is_never_taken_for_done(workshop: Workshop) -> None:
    """The record must not marry the old content's output to the new content's hash."""
    task = workshop.add("a.mp4")

    def work(stage: Stage) -> None:
        leave_result(stage)
        task.video.path.write_bytes(video_bytes(0.2)[:-1] + b"!")
        os.utime(task.video.path, ns=(1, 1))

    workshop.make_done(task, work)
    assert workshop.judge("a.mp4").must_run


@pytest.mark.parametrize("parts", [
    {"script": "2", "arguments": []}, {"script": "1", "arguments": ["--minTrack", "5"]},
    {"script": "1", "arguments": [], "files": {"conf.yaml": "0"}}, {"script": "1"},
])  # fmt: skip
def test_an_edited_script_or_argument_runs_all(done: Workshop, parts: dict[str, Any]) -> None:
    done.description = replace(done.description, parts=parts)
    verdict = done.judge("a.mp4")
    assert verdict.must_run
    assert verdict.reason


@pytest.mark.parametrize("gone", ["pywork/scores.pckl", "pyframes/2.jpg", "pycrop/0.avi", "pywork", "pyframes"])
def test_a_promised_file_or_a_frame_that_is_gone_runs_it(done: Workshop, gone: str) -> None:
    path = done.root / "a" / gone
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    assert done.judge("a.mp4").must_run


def test_a_promised_file_that_is_empty_now_runs_it(done: Workshop) -> None:
    (done.root / "a/pywork/scores.pckl").write_bytes(b"")
    assert done.judge("a.mp4").reason == "pywork/scores.pckl is gone or empty"


def test_a_file_expected_from_now_on_runs_what_lacks_it(done: Workshop) -> None:
    done.promise("pywork/scores.pckl", "pywork/new.pckl")
    assert done.judge("a.mp4").reason == "pywork/new.pckl is gone or empty"


def test_a_deleted_folder_runs(done: Workshop) -> None:
    shutil.rmtree(done.root / "a")
    assert done.judge("a.mp4").must_run


def test_a_moved_or_copied_root_runs_nothing(done: Workshop, tmp_path: Path) -> None:
    """A copy has new times everywhere, and may have lost the hidden state."""
    moved = tmp_path / "elsewhere"
    shutil.copytree(done.root, moved, copy_function=shutil.copyfile, ignore=shutil.ignore_patterns(".vidfleet"))
    for path in moved.rglob("*"):
        os.utime(path, ns=(5, 5))
    done.root = moved
    done.description = replace(done.description, root=moved)
    assert not done.judge("a.mp4").must_run


def test_a_whole_record_has_every_field_of_its_description(done: Workshop) -> None:
    plain = _record(done)
    assert list(plain) == [
        "schema", "input", "workload", "method", "attempts", "environment", "outputs", "vidfleet",
    ]  # fmt: skip
    assert plain["schema"] == SCHEMA
    assert plain["input"]["name"] == "a.mp4"
    assert plain["input"]["ends_sha256"] == hash_ends(done.root / "a.mp4")
    assert (plain["input"]["frames"], plain["input"]["width"], plain["input"]["codec"]) == (5, 16, "mpeg4")
    assert plain["workload"]["fingerprint"] == done.description.fingerprint
    assert plain["outputs"]["files"] == {"pywork/scores.pckl": 1}
    assert {name: there["files"] for name, there in plain["outputs"]["counts"].items()} == {"pyframes": 3, "pycrop": 1}
    assert plain["attempts"][0]["kind"] == "done"


def test_there_is_a_whole_record_or_none(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None
    assert read_record(tmp_path / "nowhere") is None
    (tmp_path / f".{RECORD_NAME}.123").write_text("{")
    assert read_record(tmp_path) is None
    write_record(tmp_path, {"a": 1})
    write_record(tmp_path, {"a": 2})
    assert json.loads((tmp_path / RECORD_NAME).read_bytes()) == {"a": 2}
    assert sorted(os.listdir(tmp_path)) == [f".{RECORD_NAME}.123", RECORD_NAME]


def test_a_newer_schema_is_refused_with_a_sentence(done: Workshop) -> None:
    plain = _record(done) | {"schema": SCHEMA + 1}
    (done.root / "a" / RECORD_NAME).write_text(json.dumps(plain))
    with pytest.raises(RecordError, match=r"newer vidfleet \(schema 3, known is 2\)"):
        read_record(done.root / "a")


def test_names_that_are_not_utf8_come_back_from_a_record(workshop: Workshop) -> None:
    name = os.fsdecode(b"odd-\xff.mp4")
    workshop.make_done(workshop.add(name))
    assert not workshop.judge(name).must_run


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1, 2 << 20, (2 << 20) + 1, 5 << 20])
def test_the_hash_of_the_ends_sees_the_first_and_the_last_mib(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(size))
    before = hash_ends(path)
    for at in {0, min((1 << 20) - 1, size - 1), max(size - (1 << 20), 0), size - 1} if size else ():
        with path.open("r+b") as file:
            file.seek(at)
            file.write(b"x")
        assert hash_ends(path) != before, at
        with path.open("r+b") as file:
            file.seek(at)
            file.write(b"\0")
    assert hash_ends(path) == before


def test_missing_promises_are_named_and_an_empty_folder_is_no_output(tmp_path: Path) -> None:
    out = tmp_path / "a"
    assert missing_promises(out, Promise()) == ["a/"]
    out.mkdir()
    assert missing_promises(out, Promise()) == ["a/"]
    (out / "x").write_text("x")
    (out / "empty").write_text("")
    assert missing_promises(out, Promise()) == []
    assert missing_promises(out, Promise(("x", "empty", "deep/y"))) == ["empty", "deep/y"]
