"""Any name that a file system takes is processed, and nothing in a name is ever executed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fleet import Fleet

NAMES = [
    "plain.mp4", "with space.mp4", "quote'single.mp4", 'quote"double.mp4', "$(touch pwned).mp4", "`touch pwned`.mp4",
    "semi;touch pwned;.mp4", "[brack]et*s?.mp4", "-leading-dash.mp4", "new\nline.mp4", "映画 第一話.mp4", "🎬🍿.mp4",
    "a" * 196 + ".mp4", "é" * 125 + ".mp4", "[red]markup[red].mp4", "\x1b[31mescape.mp4", "per%cent%s.mp4",
    "back\\slash.mp4", "tab\there.mp4", "& background.mp4", "{video}.mp4", "UPPER.MP4", "dot.ted.name.mp4", "~home.mp4",
]  # fmt: skip

_SHELLING = """
    os.system("ls %s/*.* | wc -l > %s/../count-%s" % (folder, folder, stem))
    os.system("mkdir -p %s/pywork && cp %s %s/pywork/copy.mp4" % (out, video, out))
    os.system("mv %s/../count-%s %s/count.txt" % (folder, stem, out))
    print(video)
"""


def _make(fleet: Fleet, folder: str) -> list[Path]:
    videos = [fleet.video(f"{folder}/plain0.mp4")]
    for name in NAMES:
        path = fleet.root / folder / name
        path.write_bytes(videos[0].read_bytes())
        videos.append(path)
    raw = os.fsencode(fleet.root / folder) + b"/not-utf8-\xff\xfe.mp4"
    with open(raw, "wb") as file:
        file.write(videos[0].read_bytes())
    return [*videos, type(videos[0])(os.fsdecode(raw))]


def test_every_name_is_processed_by_a_script_that_builds_shell_strings(fleet: Fleet) -> None:
    """Also below a folder with odd characters; outputs have the real names; nothing was executed."""
    videos = _make(fleet, "se;ries $(touch pwned) 'x'")
    script = fleet.script(_SHELLING)
    result = fleet.run("--script", script, "--expect", "pywork/copy.mp4", "--expect", "count.txt")
    assert result.returncode == 0, result.stdout
    for video in videos:
        out = video.with_suffix("")
        assert (out / "pywork" / "copy.mp4").read_bytes() == video.read_bytes(), video
        assert (out / "count.txt").read_text().strip() == "1", video
    assert not list(fleet.root.parent.rglob("pwned*"))
    assert not list(fleet.scripts.rglob("pwned*"))
    assert "\x1b[31mescape" not in result.stdout
    again = fleet.run("--script", script, "--expect", "pywork/copy.mp4", "--expect", "count.txt")
    assert again.returncode == 0
    assert "nothing to do" in again.stdout


def test_every_name_is_processed_by_a_program_that_is_told_real_names(fleet: Fleet) -> None:
    """``--keep-names``: one argument stays one argument."""
    videos = _make(fleet, "s")
    result = fleet.run("--keep-names", "--", "cp", "--", "{video}", "{out}/copy.mp4")
    assert result.returncode == 0, result.stdout
    assert all((video.with_suffix("") / "copy.mp4").is_file() for video in videos)
