"""What people said of who is who shows in all results, without the video being looked at again."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from tests.speakers.films import noise, process, two_shots, write_video
from vidfleet.cli import main as vidfleet
from vidfleet.errors import RecordError
from vidfleet.speakers.telling import retell

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


STEPS = "pywork/.steps"
DAMAGE = {
    "deep words": (f"{STEPS}/words.json", b"[" * 200_000),
    "words of other fields": (f"{STEPS}/words.json", b"{}"),
    "words of other types": (
        f"{STEPS}/words.json",
        b'{"sentences": [{"text": 1, "start_s": "0", "end_s": null, "words": [], "language": ""}]}',
    ),
    "speech without ends": (f"{STEPS}/speech.json", b"[[1]]"),
    "groups of absent tracks": (f"{STEPS}/groups.json", b"[[0, 99]]"),
    "groups of words": (f"{STEPS}/groups.json", b'{"a": 1}'),
    "facts of other types": (f"{STEPS}/facts.json", b"[]"),
    "an evil pickle": ("pywork/tracks.pckl", b"cos\nsystem\n(S'exit'\ntR."),
    "no pickle": ("pywork/tracks.pckl", b"\xff"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_folder_is_refused_and_keeps_no_other_from_its_turn(folder: Path, what: str) -> None:
    name, data = DAMAGE[what]
    name_somebody(folder, "Daphne")
    (folder / name).unlink()
    (folder / name).write_bytes(data)
    with pytest.raises(RecordError, match=r"run (its|the) video again"):
        retell(folder, say=lambda _text: None)
    assert b"Daphne" not in (folder / "transcript.json").read_bytes()


def test_arrays_of_another_film_are_refused(folder: Path) -> None:
    name_somebody(folder, "Daphne")
    path = folder / STEPS / "seen.npz"
    with np.load(path) as file:
        arrays = dict(file)
    for changed in (
        {"boxes": arrays["boxes"] * np.nan},
        {"boxes": np.zeros((len(arrays["boxes"]), 7))},
        {"starts": arrays["starts"] + 1000},
        {"scores": arrays["scores"][:-1]},
        {"source_times_s": np.zeros(3)},
    ):
        path.unlink()
        np.savez(path, **{**arrays, **changed})
        with pytest.raises(RecordError, match="run the video again"):
            retell(folder, say=lambda _text: None)


@pytest.mark.parametrize("name", ["seen.npz", "words.json", "facts.json", "told", "portraits.zip"])
def test_a_pipe_is_not_waited_for(folder: Path, name: str) -> None:
    name_somebody(folder, "Daphne")
    (folder / STEPS / name).unlink()
    os.mkfifo(folder / STEPS / name)
    if name == "portraits.zip":
        assert retell(folder, say=pytest.fail)
    else:
        with pytest.raises(RecordError, match=r"(no plain file|cannot be read); run the video again"):
            retell(folder, say=lambda _text: None)


def test_a_pipe_for_names_is_told_of(folder: Path) -> None:
    (folder / "people.json").unlink()
    os.mkfifo(folder / "people.json")
    said: list[str] = []
    assert retell(folder, say=said.append)
    assert "no plain file" in said[0]


def test_what_cuts_a_call_short_is_made_up_for_though_the_names_are_taken_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files have the new names then, also where the last word that they do could not be written."""
    before = (folder / "people.json").read_bytes()
    transcript = (folder / "transcript.json").read_bytes()
    name_somebody(folder, "Daphne")
    real = Path.replace

    def full_disk(path: Path, target: Path) -> Path:
        if path.name == "told":
            raise OSError(errno.ENOSPC, "no space left")
        return real(path, target)

    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(OSError, match="no space"):
        retell(folder, say=pytest.fail)
    monkeypatch.undo()
    assert b"Daphne" in (folder / "transcript.json").read_bytes()
    (folder / "people.json").write_bytes(before)
    assert retell(folder, say=pytest.fail)
    assert (folder / "transcript.json").read_bytes() == transcript


def test_films_that_still_show_other_names_are_named(folder: Path) -> None:
    """They are drawn from pictures, which are not looked at again."""
    for name in ("video_with_panel.mp4", "video_out_with_audio_subs.mp4"):
        (folder / "pyavi" / name).touch()
    name_somebody(folder, "Daphne")
    said: list[str] = []
    assert retell(folder, say=said.append)
    assert all(text in said[0] for text in ("video_with_panel.mp4", "video_out_with_audio_subs.mp4", "--only all"))


def test_the_command_brings_films_up_to_date(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name_somebody(folder, "Daphne")
    assert vidfleet(["people", str(folder.parent)]) == 0
    assert "brought up to date" in capsys.readouterr().out
    assert b"Daphne" in (folder / "transcript.json").read_bytes()
    assert vidfleet(["people", str(folder.parent / "nowhere")]) == 2
