"""Run again with other settings: what was asked for is there, and the folder that stands is not harmed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from tests.speakers.films import FAST, noise, process, two_shots, write_video
from vidfleet.speakers.identity.vectors_file import VECTORS_NAME, read_vectors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NETWORKS = ("--models", "full", "--no-annotated", "--no-page", "--frames", "none", "--no-crops", "--words", "none")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1.6 s with one face, and a cut between."""
    return write_video(tmp_path_factory.mktemp("film") / "a.mp4", two_shots(seconds=1.6), sound=noise(1.6))


def test_vectors_that_are_asked_for_later_are_kept(film: Path, tmp_path: Path, weights: Path) -> None:
    """They went when the first run was done; groups alone would spare the second one a look at the faces."""
    networks = (*NETWORKS, "--weights", str(weights))
    first = process(film, tmp_path / "out", *networks)
    assert not (first.out / VECTORS_NAME).exists()
    second = process(film, tmp_path / "out", *networks, "--keep-embeddings")
    assert len(read_vectors(second.out / VECTORS_NAME).lines) == len(second.load("tracks.pckl")) > 0
    third = process(film, tmp_path / "out", *networks, "--keep-embeddings")
    assert "faces" not in {row["stage"] for row in third.log()}


def test_kept_vectors_are_joined_where_the_last_run_says(film: Path, tmp_path: Path, weights: Path) -> None:
    networks = (*NETWORKS, "--weights", str(weights), "--keep-embeddings")
    first = read_vectors(process(film, tmp_path / "out", *networks).out / VECTORS_NAME)
    again = process(film, tmp_path / "out", *networks, "--same-person", "0.9")
    second = read_vectors(again.out / VECTORS_NAME)
    assert "faces" not in {row["stage"] for row in again.log()}
    assert second.joins_at == 0.9 != first.joins_at
    assert (second.vectors == first.vectors).all()
    assert second.lines == first.lines


def carried(old: Path, new: Path) -> Path:
    """The next attempt's folder as a run makes it ready: files are shared with the one that stands."""
    shutil.copytree(old, new, copy_function=os.link)
    for path in new.iterdir():
        if path.is_file():
            path.unlink()
    shutil.copy2(old / "people.json", new / "people.json")
    return new


def contents(folder: Path) -> Mapping[str, tuple[int, bytes]]:
    """Each file's inode and bytes."""
    return {str(path): (path.stat().st_ino, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


_ALL = ("--panel", "--soft-subtitles", "--grid-video", "--words", "sidecar")
_CHANGES = (
    ("--min-track", "12", *_ALL),
    ("--no-annotated", "--frames", "none", "--no-crops", "--words", "none", "--no-page"),
    ("--panel-theme", "light", *_ALL),
    ("--same-person", "0.9", *_ALL),
)
_KILLED = """
import os, signal, sys
from vidfleet.speakers.pipeline import Speakers
speakers = Speakers.from_arguments(sys.argv[4:])
speakers.setup("cpu")
def report(stage, share):
    if stage == sys.argv[3]:
        os.kill(os.getpid(), signal.SIGKILL)
speakers.process(sys.argv[1], sys.argv[2], report)
"""


@pytest.fixture(scope="module")
def told(film: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything in it, of a film with words."""
    words = {"segments": [{"start": 0.2, "end": 1.0, "text": "hello there"}]}
    film.with_suffix(".json").write_text(json.dumps(words))
    return process(film, tmp_path_factory.mktemp("told") / "a", *_ALL).out


@pytest.mark.parametrize("changed", _CHANGES, ids=lambda words: words[0])
def test_the_folder_that_stands_stays_as_it_is_while_another_is_made(
    film: Path, told: Path, tmp_path: Path, changed: tuple[str, ...]
) -> None:
    """Files that both have are never written into."""
    before = contents(told)
    process(film, carried(told, tmp_path / "a"), *changed)
    assert contents(told) == before


@pytest.mark.parametrize("at", ["words", "faces and scores", "drawing", "done"])
def test_the_folder_that_stands_stays_as_it_is_when_the_other_is_killed(
    film: Path, told: Path, tmp_path: Path, at: str
) -> None:
    before = contents(told)
    new, changed = carried(told, tmp_path / "a"), (*_CHANGES[0], "--words", "none")
    arguments = [str(film), str(new), at, *FAST, *changed]
    child = subprocess.run([sys.executable, "-c", _KILLED, *arguments], check=False)
    assert child.returncode == -signal.SIGKILL
    assert contents(told) == before
    whole = process(film, new, *changed)
    anew = process(film, tmp_path / "anew", *changed)
    assert (whole.out / "pywork/tracks.csv").read_bytes() == (anew.out / "pywork/tracks.csv").read_bytes()


def test_no_portrait_stays_where_nothing_shows_it(film: Path, tmp_path: Path) -> None:
    """They are pictures of faces: without a page and a panel nobody has asked for them."""
    bare = ("--no-annotated", "--frames", "none", "--no-crops", "--words", "none")
    portraits = tmp_path / "a/pywork/.steps/portraits.zip"
    process(film, tmp_path / "a", *bare, "--no-page")
    assert not portraits.exists()
    assert "faces" not in {row["stage"] for row in process(film, tmp_path / "a", *bare, "--no-page").log()}
    process(film, tmp_path / "a", *bare)
    with zipfile.ZipFile(portraits) as file:
        assert file.namelist()
    process(film, tmp_path / "a", *bare, "--no-page")
    assert not portraits.exists()


def test_the_panel_is_drawn_again_for_another_name_and_for_nothing_else(film: Path, told: Path, tmp_path: Path) -> None:
    """The first run has no people.json before it, the second has the one that the first wrote."""
    new = carried(told, tmp_path / "a")
    assert "panel" not in {row["stage"] for row in process(film, new, *_ALL).log()}
    plain = json.loads((new / "people.json").read_text())
    plain["persons"].append({"name": "Daphne", "tracks": ["0:00:00.48 at 100,140"]})
    (new / "people.json").write_text(json.dumps(plain))
    stages = {row["stage"] for row in process(film, new, *_ALL).log()}
    assert ("panel" in stages, "annotated" in stages) == (True, False)
    assert "panel" not in {row["stage"] for row in process(film, new, *_ALL).log()}


@pytest.mark.parametrize(
    "name",
    [
        *(f"pywork/.steps/{name}" for name in ("speech.json", "words.json", "groups.json", "seen.npz")),
        "pyavi/audio.wav",
        "pywork/tracks.pckl",
    ],
)
def test_what_is_marked_as_done_and_is_damaged_is_made_anew(film: Path, told: Path, tmp_path: Path, name: str) -> None:
    """Of the right size and time, as a bad disk leaves it; what people edited stays."""
    new = carried(told, tmp_path / "a")
    broken = new / name
    status = broken.stat()
    broken.unlink()
    broken.write_bytes(b"[" * status.st_size)
    os.utime(broken, ns=(status.st_atime_ns, status.st_mtime_ns))
    process(film, new, *_ALL)
    for other in ("pywork/tracks.csv", "transcript.json", "people.json"):
        assert (new / other).read_bytes() == (told / other).read_bytes()
