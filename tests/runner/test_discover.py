"""Which files are videos of the user's, and which are not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.workshop import ODD_NAMES, Workshop, leave_result
from vidfleet.errors import UsageError
from vidfleet.runner.discover import discover
from vidfleet.settings import RunSettings

if TYPE_CHECKING:
    from pathlib import Path

    from vidfleet.data import Stage


def _touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode("utf-8", "surrogateescape"))


def test_the_four_endings_are_found_in_any_letter_case_and_at_any_depth(workshop: Workshop) -> None:
    _touch(workshop.root, "b/c/x.MKV", "a.mp4", "b.Avi", "c.mov", "d.txt", "e.mpg", "mp4", "f.mp4.part")
    assert workshop.found() == ["a.mp4", "b.Avi", "b/c/x.MKV", "c.mov"]


def test_positions_follow_the_relative_path(workshop: Workshop) -> None:
    _touch(workshop.root, "z.mp4", "a/z.mp4", "m.mp4")
    videos = discover(workshop.root, RunSettings()).videos
    assert [(v.relative, v.position) for v in videos] == [("a/z.mp4", 0), ("m.mp4", 1), ("z.mp4", 2)]


@pytest.mark.parametrize("words", [("mpg", "webm"), (".MPG", " webm")])
def test_ext_adds_endings(workshop: Workshop, words: tuple[str, ...]) -> None:
    _touch(workshop.root, "a.mp4", "b.mpg", "c.WEBM", "d.ogv")
    assert workshop.found(ext=words) == ["a.mp4", "b.mpg", "c.WEBM"]


def test_include_and_exclude_match_path_or_name_and_limit_comes_last(workshop: Workshop) -> None:
    _touch(workshop.root, "Frasier/a.mp4", "Frasier/b.mp4", "Cheers/a.mp4", "x.mp4")
    assert workshop.found(include=("Frasier/*",)) == ["Frasier/a.mp4", "Frasier/b.mp4"]
    assert workshop.found(include=("a.mp4",), exclude=("Cheers/*",)) == ["Frasier/a.mp4"]
    assert workshop.found(exclude=("Cheers/*",), limit=2) == ["Frasier/a.mp4", "Frasier/b.mp4"]
    with pytest.raises(UsageError, match=r"passes --include and --exclude \(4 were there\)"):
        workshop.found(include=("nothing*",))


def test_every_odd_name_is_found_once(workshop: Workshop) -> None:
    _touch(workshop.root, *ODD_NAMES)
    assert sorted(workshop.found()) == sorted(ODD_NAMES)


def test_hidden_files_and_folders_and_apple_doubles_are_skipped(workshop: Workshop) -> None:
    _touch(workshop.root, "a.mp4", "._a.mp4", ".b.mp4", ".hidden/c.mp4", ".vidfleet/a-12345678/a.mp4")
    assert workshop.found() == ["a.mp4"]


def test_a_folder_called_like_a_video_is_entered_and_one_without_any_is_named(workshop: Workshop) -> None:
    _touch(workshop.root, "x.mp4/inner.mp4", "deep/y.mkv/z.txt", "a.b/c.mp4/d/e.mp4")
    (workshop.root / "empty.mov").mkdir()
    found = discover(workshop.root, RunSettings())
    assert [video.relative for video in found.videos] == ["a.b/c.mp4/d/e.mp4", "x.mp4/inner.mp4"]
    assert found.notices == ("called like videos, but folders without any video in them: deep/y.mkv, empty.mov",)


def test_outputs_are_never_entered(workshop: Workshop) -> None:
    """Neither those with our record nor the original's; a folder with one of the two only is the user's own."""
    _touch(workshop.root, "a.mp4", "Frasier/b.mp4", "Frasier.mp4", "only/pyavi/c.mp4")
    _touch(workshop.root, "a/vidfleet.json", "a/x.mp4", "old/pywork/t.pckl", "old/pyavi/video_out.avi", "old/y.mp4")
    assert workshop.found() == ["Frasier.mp4", "Frasier/b.mp4", "a.mp4", "only/pyavi/c.mp4"]


def test_what_was_published_beside_a_video_is_no_video(workshop: Workshop) -> None:
    """A file, and a folder with videos in it."""

    def work(stage: Stage) -> None:
        leave_result(stage)
        _touch(stage.folder, "a_out.mp4", "a_parts/0.mp4", "a_parts/deep/1.mp4")

    workshop.make_done(workshop.add("s/a.mp4"), work)
    assert (workshop.root / "s/a_parts/deep/1.mp4").exists()
    assert workshop.found() == ["s/a.mp4"]


def test_links_to_videos_elsewhere_are_followed_once_a_file(workshop: Workshop, tmp_path: Path) -> None:
    _touch(tmp_path, "store/one.bin", "store/folder/two.mp4")
    _touch(workshop.root, "deep/own.mp4")
    links = {
        "b.mp4": "store/one.bin", "a.mp4": "store/one.bin", "own-again.mp4": "root/deep/own.mp4",
        "linked": "store/folder", "linked-again": "store/folder", "deep-again": "root/deep",
    }  # fmt: skip
    for name, there in links.items():
        (workshop.root / name).symlink_to(tmp_path / there)
    assert workshop.found() == ["a.mp4", "deep/own.mp4", "linked/two.mp4"]
    video = discover(workshop.root, RunSettings()).videos[0]
    assert video.path == workshop.root / "a.mp4"
    assert video.size_bytes == len("store/one.bin")


def test_what_is_no_file_is_found_with_the_reason_and_folders_that_loop_do_no_harm(workshop: Workshop) -> None:
    """By a walk and by a list alike; of names without a video's ending nobody wants to know."""
    _touch(workshop.root, "a.mp4", "deep/b.mp4")
    links = {"broken.mp4": "nowhere.mp4", "self.mp4": "self.mp4", "deep/up": "..", "broken.txt": "nowhere"}
    for name, there in links.items():
        (workshop.root / name).symlink_to(there)
    os.mkfifo(workshop.root / "pipe.mp4")
    os.mkfifo(workshop.root / "pipe.txt")
    whole = {video.relative: video.no_file for video in discover(workshop.root, RunSettings()).videos}
    assert whole == {
        "a.mp4": "",
        "broken.mp4": "it is a link to nowhere.mp4, which is not there",
        "deep/b.mp4": "",
        "pipe.mp4": "it is a named pipe, not a file",
        "self.mp4": "it is a link that leads back to itself",
    }
    (workshop.root / "list").write_text("\n".join(whole))
    listed = discover(workshop.root, RunSettings(files_from=str(workshop.root / "list"))).videos
    assert {video.relative: video.no_file for video in listed} == whole


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_folders_that_cannot_be_read_are_named(workshop: Workshop) -> None:
    _touch(workshop.root, "a.mp4", "closed/b.mp4", "closed.mp4/c.mp4")
    for name in ("closed", "closed.mp4"):
        (workshop.root / name).chmod(0)
    found = discover(workshop.root, RunSettings())
    for name in ("closed", "closed.mp4"):
        (workshop.root / name).chmod(0o700)
    assert [(video.relative, bool(video.no_file)) for video in found.videos] == [("a.mp4", False), ("closed.mp4", True)]
    assert found.notices == ("not looked into, as they cannot be read (Permission denied): closed",)


def test_finding_nothing_names_the_endings_that_were_seen(workshop: Workshop) -> None:
    with pytest.raises(UsageError, match="no files at all"):
        workshop.found()
    _touch(workshop.root, "a.webm", "b.webm", "c.txt", "README")
    with pytest.raises(UsageError, match=r"(?s)2 x \.webm.*--ext"):
        workshop.found()
    with pytest.raises(UsageError, match="is not a folder"):
        discover(workshop.root / "a.webm", RunSettings())
