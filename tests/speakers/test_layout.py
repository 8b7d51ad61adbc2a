"""Names that old tools read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vidfleet.speakers.layout import FOLDERS, Layout, crop_name, promised
from vidfleet.speakers.settings import SpeakersSettings

if TYPE_CHECKING:
    from pathlib import Path


def test_names_are_those_of_the_original(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert layout.frame(0) == tmp_path / "pyframes" / "000001.jpg"
    assert layout.crop_picture(12) == tmp_path / "pycrop" / "00012.avi"
    assert layout.crop_sound(12) == tmp_path / "pycrop" / "00012.wav"
    assert crop_name(0) == "pycrop/00000"
    assert layout.work("scores.pckl") == tmp_path / "pywork" / "scores.pckl"
    assert layout.sound == tmp_path / "pyavi" / "audio.wav"


def test_all_four_folders_are_made(tmp_path: Path) -> None:
    Layout(tmp_path / "a" / "b").make()
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == sorted(FOLDERS)


def test_only_what_is_asked_for_is_promised() -> None:
    assert "pyavi/video_out.avi" in promised(SpeakersSettings())
    assert "pyavi/video_out.avi" not in promised(SpeakersSettings(annotated=False))
    assert "pyavi/video.avi" in promised(SpeakersSettings(annotated=False, grid_video=True))
    assert {"index.html", "pyavi/video_with_panel.mp4"} < {*promised(SpeakersSettings(panel=True))}
    assert "index.html" not in promised(SpeakersSettings(page=False))
