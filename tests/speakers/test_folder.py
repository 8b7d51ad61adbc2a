"""The original's script contract: a folder in, one folder beside each of its videos."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.speakers.films import BLUE, FAST, scene, two_shots, write_video

TOP = Path(__file__).resolve().parents[2]


def call_script(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = TOP / "inference_folder" / "inference_folder.py"
    argv = [sys.executable, str(script), "--videoFolder", str(folder), *FAST, *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_the_script_does_a_folder_and_one_broken_video_harms_no_other(tmp_path: Path) -> None:
    write_video(tmp_path / "a b.mp4", two_shots())
    (tmp_path / "broken.mkv").write_bytes(b"nothing")
    write_video(tmp_path / "z.MP4", [scene(None, BLUE)] * 5)
    done = call_script(tmp_path, "--minTrack", "12", "--frames", "none")
    assert done.returncode == 1, done.stderr
    assert "broken.mkv" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["a b", "z"]
    assert (tmp_path / "a b" / "pywork" / "scores.pckl").is_file()
    assert (tmp_path / "z" / "pyavi" / "video_out.avi").is_file()


def test_the_script_leaves_folders_of_others_alone(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", [scene(None, BLUE)] * 5)
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "diary.txt").write_text("dear diary")
    done = call_script(tmp_path)
    assert done.returncode == 1
    assert [path.name for path in (tmp_path / "v").iterdir()] == ["diary.txt"]


def test_the_script_never_replaces_what_the_original_made(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", [scene(None, BLUE)] * 5)
    (tmp_path / "v" / "pywork").mkdir(parents=True)
    (tmp_path / "v" / "pywork" / "scores.pckl").write_text("work of weeks")
    done = call_script(tmp_path, "--frames", "none")
    assert done.returncode == 1
    assert (tmp_path / "v" / "pywork" / "scores.pckl").read_text() == "work of weeks"


def test_the_script_refuses_a_wrong_flag(tmp_path: Path) -> None:
    done = call_script(tmp_path, "--minTracks", "12")
    assert done.returncode == 2
    assert "--minTracks" in done.stderr
