"""Why an output is not current: in words that name the argument, the file or the sidecar; and what may be kept."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from vidfleet.workloads.base import Traits

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.workshop import Workshop

_MIB = 1 << 20


@pytest.fixture
def done(workshop: Workshop) -> Workshop:
    workshop.description = replace(
        workshop.description,
        parts={
            "script": "1", "arguments": ["--minTrack", "5", "-v"], "files": {"a.yaml": "1", "b.yaml": "1"},
            "settings": {"crops": True, "grid": False},
        },
    )  # fmt: skip
    workshop.make_done(workshop.add("a.mp4"))
    return workshop


@pytest.mark.parametrize(("parts", "words"), [
    ({"script": "2"}, "the script's text has changed"),
    ({"arguments": ["--minTrack", "10", "-v"]}, "its arguments have changed: --minTrack 5 → --minTrack 10"),
    ({"arguments": ["--minTrack", "5"]}, "its arguments have changed: -v → nothing"),
    ({"files": {"a.yaml": "2", "c.yaml": "1"}}, "a.yaml has changed, b.yaml is gone, c.yaml is new"),
    ({"depends": {"net.py": "1"}}, "net.py is new"),
    ({"settings": {"crops": False, "grid": False}}, "settings.crops has changed: true → false"),
    ({"version": "x" * 99}, "version has changed"),
    ({"script": "2", "arguments": []},
     "its arguments have changed: --minTrack 5 -v → nothing; the script's text has changed"),
])  # fmt: skip
def test_a_plan_names_what_has_changed(done: Workshop, parts: dict[str, Any], words: str) -> None:
    done.description = replace(done.description, parts={**done.description.parts, **parts})
    assert done.judge("a.mp4").reason == words


def test_stale_outputs_may_be_kept_but_not_those_of_another_video_or_torn_ones(done: Workshop) -> None:
    done.settings = replace(done.settings, keep_stale=True)
    done.description = replace(done.description, parts={"script": "2"})
    verdict = done.judge("a.mp4")
    assert not verdict.must_run
    assert "the script's text has changed" in verdict.reason
    done.promise("missing.txt")
    assert done.judge("a.mp4").must_run
    done.promise()
    path = done.root / "a.mp4"
    path.write_bytes(path.read_bytes() + b"more")
    assert done.judge("a.mp4").must_run


def _change_the_middle(path: Path, *, keep_time: bool) -> None:
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(3 * _MIB // 2)
        file.write(b"another")
    if keep_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("keep_time", [False, True])
def test_only_the_hash_of_all_of_it_sees_a_change_in_the_middle(workshop: Workshop, keep_time: bool) -> None:
    for fingerprint, must_run in (("ends", False), ("content", True)):
        workshop.settings = replace(workshop.settings, fingerprint=fingerprint)  # type: ignore[arg-type]
        name = f"{fingerprint}.mp4"
        workshop.add(name)
        with (workshop.root / name).open("ab") as file:
            file.write(bytes(4 * _MIB))
        workshop.make_done(workshop.task(name))
        assert not workshop.judge(name).must_run
        _change_the_middle(workshop.root / name, keep_time=keep_time)
        assert workshop.judge(name).must_run == must_run


def test_a_copy_with_the_same_content_is_the_same_video_by_the_whole_hash_too(workshop: Workshop) -> None:
    workshop.settings = replace(workshop.settings, fingerprint="content")
    path = workshop.add("a.mp4").video.path
    workshop.make_done(workshop.task("a.mp4"))
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)
    assert not workshop.judge("a.mp4").must_run


def test_a_record_without_the_whole_hash_is_compared_by_what_it_has(workshop: Workshop) -> None:
    workshop.make_done(workshop.add("a.mp4"))
    workshop.settings = replace(workshop.settings, fingerprint="content")
    assert not workshop.judge("a.mp4").must_run


def test_sidecars_that_a_workload_reads_belong_to_the_video(workshop: Workshop) -> None:
    workshop.description = replace(workshop.description, traits=Traits(inputs=(".srt",)))
    workshop.make_done(workshop.add("a.mp4"))
    srt = workshop.root / "a.srt"
    assert not workshop.judge("a.mp4").must_run
    srt.write_text("one")
    assert workshop.judge("a.mp4").reason == "a.srt is new beside it"
    workshop.make_done(workshop.task("a.mp4"))
    os.utime(srt, ns=(1, 1))
    assert not workshop.judge("a.mp4").must_run
    srt.write_text("two")
    assert workshop.judge("a.mp4").reason == "a.srt beside it has changed"
    srt.unlink()
    assert workshop.judge("a.mp4").reason == "a.srt beside it is gone"


def test_a_record_of_the_first_schema_is_read(done: Workshop) -> None:
    """Nothing runs again because vidfleet has learnt more fields."""
    path = done.root / "a" / "vidfleet.json"
    plain = json.loads(path.read_bytes())
    plain["schema"] = 1
    for part, names in {
        "input": ("content_sha256", "ctime_ns", "inode", "sidecars"), "outputs": ("put_aside",),
        "workload": ("git_commit",), "environment": ("variables",),
    }.items():  # fmt: skip
        for name in names:
            del plain[part][name]
    path.write_text(json.dumps(plain))
    for settings in (done.settings, replace(done.settings, fingerprint="content", keep_stale=True)):
        done.settings = settings
        assert not done.judge("a.mp4").must_run
