"""What people said of who is who shows in all results, without the video being looked at again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.speakers.films import noise, process, two_shots, write_video
from vidfleet.cli import main as vidfleet
from vidfleet.errors import RecordError
from vidfleet.speakers.telling import retell

if TYPE_CHECKING:
    from pathlib import Path

SAID = {"segments": [{"start": 0.2, "end": 1.0, "text": "hello there"}]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A processed film with words beside it; its video is gone."""
    video = write_video(tmp_path / "a.mp4", two_shots(), sound=noise(2.4))
    (tmp_path / "a.json").write_text(json.dumps(SAID))
    run = process(video, tmp_path / "a", "--no-annotated", "--frames", "none")
    (run.out / "vidfleet.json").write_text("{}")
    video.unlink()
    return run.out


def name_somebody(folder: Path, name: str) -> None:
    """Say whose the face is that is seen at half a second."""
    plain = json.loads((folder / "people.json").read_text())
    plain["persons"].append({"name": name, "tracks": ["0:00:00.48 at 100,140"]})
    (folder / "people.json").write_text(json.dumps(plain))


def test_nothing_is_done_where_nothing_was_edited(folder: Path) -> None:
    assert not retell(folder, say=pytest.fail)


def test_a_given_name_shows_in_every_file(folder: Path) -> None:
    (folder / "transcript.json").touch()
    untouched = (folder / "pywork/tracks.pckl").stat().st_mtime_ns
    name_somebody(folder, "Daphne")
    assert retell(folder, say=pytest.fail)
    for name in ("transcript.json", "pywork/tracks.csv", "index.html", "pywork/tracks_identity.pckl"):
        assert b"Daphne" in (folder / name).read_bytes(), name
    assert b"hello" in (folder / "transcript.json").read_bytes()
    assert (folder / "pywork/tracks.pckl").stat().st_mtime_ns == untouched
    assert not retell(folder, say=pytest.fail)
    assert not [path for path in folder.rglob("*") if path.is_symlink() or "retold" in path.name]


def test_a_file_with_a_slip_is_told_of_and_kept(folder: Path) -> None:
    (folder / "people.json").write_text('{"schema": 1, "persons": [')
    said: list[str] = []
    assert retell(folder, say=said.append)
    assert "people.json" in said[0]
    assert (folder / "people.json").read_text() == '{"schema": 1, "persons": ['


@pytest.mark.parametrize("missing", ["seen.npz", "words.json", "facts.json", "groups.json"])
def test_a_folder_without_what_the_steps_left_is_refused(folder: Path, missing: str) -> None:
    name_somebody(folder, "Daphne")
    (folder / "pywork/.steps" / missing).unlink()
    with pytest.raises(RecordError, match=r"run (its|the) video again"):
        retell(folder, say=lambda _text: None)
    assert b"Daphne" not in (folder / "transcript.json").read_bytes()


def test_the_command_brings_films_up_to_date(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name_somebody(folder, "Daphne")
    assert vidfleet(["people", str(folder.parent)]) == 0
    assert "brought up to date" in capsys.readouterr().out
    assert b"Daphne" in (folder / "transcript.json").read_bytes()
    assert vidfleet(["people", str(folder.parent / "nowhere")]) == 2
