"""``--files-from``: what a list may name, and what is passed over in one that ``find`` made."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.workshop import ODD_NAMES, Workshop, leave_result, make_video
from vidfleet.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from vidfleet.data import Stage


def _listed(workshop: Workshop, tmp_path: Path, *names: str, separator: bytes = b"\n") -> list[str]:
    (tmp_path / "list").write_bytes(separator.join(map(os.fsencode, names)) + separator)
    return workshop.found(files_from=str(tmp_path / "list"))


def test_paths_from_the_root_absolute_ones_and_those_seen_from_here(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.mp4", "s/b.mp4", "c.mp4", "d.mp4"):
        workshop.add(name)
    monkeypatch.chdir(tmp_path)
    names = ("./s/b.mp4", str(workshop.root / "a.mp4"), "root/d.mp4", "s/../s/b.mp4")
    assert _listed(workshop, tmp_path, *names) == ["a.mp4", "d.mp4", "s/b.mp4"]


def test_every_odd_name_goes_through_a_list_separated_by_zero_bytes(workshop: Workshop, tmp_path: Path) -> None:
    for name in ODD_NAMES:
        workshop.add(name)
    assert _listed(workshop, tmp_path, *ODD_NAMES, separator=b"\0") == sorted(ODD_NAMES)


def test_a_list_comes_from_standard_input_too(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    workshop.add("a.mp4")
    workshop.add("b.mp4")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"b.mp4\n")))
    assert workshop.found(files_from="-") == ["b.mp4"]


def test_what_discovery_never_takes_is_passed_over(workshop: Workshop, tmp_path: Path) -> None:
    """Hidden names, what lies in outputs or was put beside a video, and a second name of one file."""

    def work(stage: Stage) -> None:
        leave_result(stage)
        make_video(stage.output / "pyavi/video_out.mp4")
        make_video(stage.folder / "a_out.mp4")

    workshop.make_done(workshop.add("s/a.mp4"), work)
    for name in ("._b.mp4", ".hidden/c.mp4", "old/pywork/x.mp4", "old/pyavi/y.mp4"):
        make_video(workshop.root / name)
    (workshop.root / "z-link.mp4").symlink_to("s/a.mp4")
    (workshop.root / "x.mp4").mkdir()
    names = [str(path.relative_to(workshop.root)) for path in sorted(workshop.root.rglob("*.mp4"))]
    assert len(names) > 6
    assert _listed(workshop, tmp_path, *names) == ["s/a.mp4"]


@pytest.mark.parametrize(
    ("name", "words"),
    [("gone.mp4", "no such file"), ("../list", "not below"), ("notes.txt", "by its ending"), ("", "no video")],
)
def test_what_cannot_be_meant_is_said(workshop: Workshop, tmp_path: Path, name: str, words: str) -> None:
    workshop.add("a.mp4")
    (workshop.root / "notes.txt").touch()
    with pytest.raises(UsageError, match=words):
        _listed(workshop, tmp_path, name)


def test_a_list_that_is_not_there_is_named(workshop: Workshop) -> None:
    with pytest.raises(UsageError, match="/no/such/list"):
        workshop.found(files_from="/no/such/list")
