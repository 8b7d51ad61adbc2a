"""Frames, crops and films on the grid: made in the first pass or later, they are the same; ``--lean`` makes none."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING

import pytest

from tests.speakers.films import FAST, Run, noise, process, two_shots, write_video
from vidfleet.errors import UsageError
from vidfleet.speakers.pipeline import Speakers
from vidfleet.speakers.settings import SpeakersSettings, read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DRAWN = ("pyavi/video_only.avi", "pyavi/video_out.avi", "pyavi/preview.mp4", "pyavi/video.avi")
LOOKED = {"faces", "tracks", "scores"}
"""Stages that only the first pass has."""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2.4 s with one face and a cut, of a kind that browsers do not play."""
    return write_video(tmp_path_factory.mktemp("film") / "a.mkv", two_shots(), sound=noise(2.4))


@pytest.fixture(scope="module")
def full(film: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return process(film, tmp_path_factory.mktemp("full") / "out", "--grid-video")


def stages(run: Run) -> set[str]:
    return {row["stage"] for row in run.log()}


def pictures(run: Run) -> Mapping[str, bytes]:
    """All that is copied out of the pictures, byte by byte."""
    paths = [path for name in ("pyframes", "pycrop") for path in (run.out / name).iterdir()]
    return {str(path.relative_to(run.out)): path.read_bytes() for path in [*paths, run.out / "pyavi/video.avi"]}


def test_lean_writes_no_picture_and_keeps_every_promise(film: Path, full: Run, tmp_path: Path) -> None:
    said = Speakers.describe([*FAST, "--lean"])
    lean = process(film, tmp_path / "out", "--lean")
    for name in said["expected"]:
        assert (lean.out / name).stat().st_size > 0, name
    assert "index.html" in said["expected"]
    assert not {*DRAWN} & {*said["expected"]}
    for name in said["counted"]:
        assert (lean.out / name).is_dir()
        assert lean.names(name) == []
    assert not any((lean.out / name).exists() for name in DRAWN)
    assert "drawn_pictures" not in stages(lean)
    for name in ("tracks.csv", "shots.csv", "scores.pckl", "tracks.pckl"):
        assert (lean.out / "pywork" / name).read_bytes() == (full.out / "pywork" / name).read_bytes()


def test_a_lean_page_shows_the_film_itself_and_the_faces(film: Path, tmp_path: Path) -> None:
    """There is no small copy; a browser that cannot play the film says so."""
    out = film.with_suffix("")
    run = process(film, out, "--lean")
    page = (run.out / "index.html").read_text("utf-8")
    assert 'src="../a.mkv"' in page
    assert 'id="trouble"' in page
    with zipfile.ZipFile(run.out / "pywork/.steps/portraits.zip") as file:
        assert file.namelist()


def test_what_lean_left_out_is_made_later_without_looking_for_faces_again(
    film: Path, full: Run, tmp_path: Path
) -> None:
    process(film, tmp_path / "out", "--lean")
    later = process(film, tmp_path / "out", "--grid-video")
    assert not stages(later) & LOOKED
    assert pictures(later) == pictures(full)
    for name in DRAWN:
        assert (later.out / name).stat().st_size > 0


@pytest.mark.parametrize("kept", ["shot", "all"])
def test_frames_are_the_same_in_either_pass(film: Path, tmp_path: Path, kept: str) -> None:
    first = process(film, tmp_path / "first", "--frames", kept, "--no-annotated", "--no-page")
    process(film, tmp_path / "later", "--lean", "--no-page")
    later = process(film, tmp_path / "later", "--frames", kept, "--no-annotated", "--no-page")
    assert not stages(later) & LOOKED
    assert first.names("pyframes") == later.names("pyframes") != []
    for name in first.names("pyframes"):
        assert (first.out / "pyframes" / name).read_bytes() == (later.out / "pyframes" / name).read_bytes()


def test_lean_after_all_leaves_what_was_asked_for_last(film: Path, tmp_path: Path) -> None:
    before = process(film, tmp_path / "out", "--grid-video")
    table = (before.out / "pywork/tracks.csv").read_bytes()
    lean = process(film, tmp_path / "out", "--lean")
    assert not stages(lean) & LOOKED
    assert (lean.out / "pywork/tracks.csv").read_bytes() == table
    assert lean.names("pyframes") == lean.names("pycrop") == []
    assert not any((lean.out / name).exists() for name in DRAWN)


def test_frames_stay_when_only_what_is_seen_in_them_changes(film: Path, tmp_path: Path) -> None:
    run = process(film, tmp_path / "out", "--no-annotated", "--no-page")
    first = run.out / "pyframes/000001.jpg"
    before = first.stat().st_ino, first.stat().st_mtime_ns
    again = process(film, tmp_path / "out", "--no-annotated", "--no-page", "--min-track", "12")
    assert stages(again) >= LOOKED
    assert "frames" not in stages(again)
    assert (first.stat().st_ino, first.stat().st_mtime_ns) == before
    assert again.names("pycrop")


def test_lean_is_the_single_options_together() -> None:
    single = ("--frames", "none", "--no-crops", "--no-annotated", "--no-preview")
    assert read_settings(["--lean"]) == read_settings(["--lean", *single])
    one, other = (Speakers.describe([*FAST, *words])["fingerprint"] for words in (("--lean",), single))
    assert json.dumps(one) == json.dumps(other)
    assert json.dumps(one) != json.dumps(Speakers.describe(FAST)["fingerprint"])
    assert Speakers(SpeakersSettings(lean=True)).settings == read_settings(["--lean"])


@pytest.mark.parametrize("film_option", ["--panel", "--grid-video"])
def test_lean_and_a_film_contradict_each_other(film_option: str) -> None:
    with pytest.raises(UsageError, match=f"--lean .* {film_option}"):
        read_settings(["--lean", film_option])
