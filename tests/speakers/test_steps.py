"""What an attempt left is used where it is whole and nothing of what it depends on has changed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.speakers.films import FAST, noise, process, scene, two_shots, write_video
from vidfleet.speakers.layout import STEPS
from vidfleet.speakers.steps import Step, Steps, key_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def steps(out: Path, *, sound: str = "1", film: str = "1") -> Steps:
    return Steps(
        out,
        [Step("sound", sound, ("pyavi/audio.wav",)), Step("film", film, ("frames", "scores", "rarely"))],
        kept=("people.json",),
    )


def do_all(out: Path) -> Steps:
    doing = steps(out)
    with doing.doing("sound"):
        (out / "pyavi").mkdir(exist_ok=True)
        (out / "pyavi/audio.wav").write_text("sound")
    with doing.doing("film"):
        (out / "frames").mkdir()
        (out / "frames/1.jpg").write_text("one")
        (out / "scores").write_text("scores")
    return doing


def names(out: Path) -> set[str]:
    return {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}


def test_what_is_done_with_the_same_key_is_not_done_again(tmp_path: Path) -> None:
    do_all(tmp_path)
    again = steps(tmp_path)
    assert (again.is_done("sound"), again.is_done("film")) == (True, True)
    assert {"pyavi/audio.wav", "frames/1.jpg", "scores"} < names(tmp_path)


def test_what_depends_on_something_that_changed_is_done_again_and_nothing_else(tmp_path: Path) -> None:
    do_all(tmp_path)
    again = steps(tmp_path, film="2")
    assert (again.is_done("sound"), again.is_done("film")) == (True, False)
    assert names(tmp_path) == {"pyavi/audio.wav", f"{STEPS}/sound.done"}


@pytest.mark.parametrize(
    "harm", ["shorten", "remove", "appear", "one more", "rewrite", "link", "garble", "deep", "pipe"]
)
def test_a_result_that_is_not_as_it_was_is_made_again(tmp_path: Path, harm: str) -> None:
    do_all(tmp_path)
    marker = tmp_path / STEPS / "film.done"
    match harm:
        case "shorten":
            (tmp_path / "scores").write_text("sco")
        case "remove":
            (tmp_path / "frames/1.jpg").unlink()
        case "appear":
            (tmp_path / "rarely").write_text("")
        case "one more":
            (tmp_path / "frames/2.jpg").write_text("two")
        case "rewrite":
            os.utime(tmp_path / "scores", ns=(1, 1))
        case "link":
            (tmp_path / "scores").rename(tmp_path / "pyavi/audio.wav")
            (tmp_path / "scores").symlink_to(tmp_path / "pyavi/audio.wav")
        case "garble":
            marker.write_bytes(b"\xff{")
        case "deep":
            marker.write_text("[" * 200_000)
        case "pipe":
            marker.unlink()
            os.mkfifo(marker)
    again = steps(tmp_path)
    assert not again.is_done("film")
    assert not (tmp_path / "frames").exists()
    assert not (tmp_path / "scores").is_symlink()


def test_a_step_that_fails_is_not_done(tmp_path: Path) -> None:
    doing = do_all(tmp_path)

    def fail() -> None:
        with doing.doing("film"):
            (tmp_path / "scores").mkdir()
            (tmp_path / "scores").write_text("half")

    with pytest.raises(IsADirectoryError):
        fail()
    assert not steps(tmp_path).is_done("film")
    assert not (tmp_path / "scores").exists()


def test_what_no_step_made_goes_but_for_what_a_person_edits(tmp_path: Path) -> None:
    do_all(tmp_path)
    (tmp_path / "people.json").write_text("{}")
    (tmp_path / "pyavi/old.avi").write_text("of an earlier version")
    (tmp_path / "vidfleet.json").write_text("{}")
    steps(tmp_path)
    assert "people.json" in names(tmp_path)
    assert not names(tmp_path) & {"pyavi/old.avi", "vidfleet.json"}


def test_a_finished_folder_is_not_written_into_through_hard_links(tmp_path: Path) -> None:
    """The next attempt's folder shares its files with the published one."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    do_all(old)
    for name in names(old):
        (new / name).parent.mkdir(parents=True, exist_ok=True)
        os.link(old / name, new / name)
    again = steps(new, sound="2", film="2")
    with again.doing("film"):
        (new / "frames").mkdir()
        (new / "frames/1.jpg").write_text("new")
        (new / "scores").write_text("new")
    assert ((old / "frames/1.jpg").read_text(), (old / "scores").read_text()) == ("one", "scores")


def test_a_key_is_of_everything(tmp_path: Path) -> None:
    assert key_of(a=1, b=[2]) == key_of(b=[2], a=1) != key_of(a=1, b=[3])


def contents(out: Path) -> Mapping[str, bytes]:
    """All files but those that tell times."""
    told = {"pywork/time_log.jsonl"}
    return {name: (out / name).read_bytes() for name in names(out) if name not in told and not name.startswith(STEPS)}


def test_a_changed_setting_does_again_what_depends_on_it(tmp_path: Path) -> None:
    """Without the annotated film the pictures are not looked at again; with another track rule they are."""
    video = write_video(tmp_path / "a.mp4", two_shots(), sound=noise(2.4))
    run = process(video, tmp_path / "out", "--no-annotated")
    looked_at = (run.out / "pyframes/000001.jpg").stat().st_ino
    annotated = process(video, tmp_path / "out")
    assert {"pyavi/video_only.avi", "pyavi/video_out.avi"} < names(run.out)
    assert not {row["stage"] for row in annotated.log()} & {"sound", "speech", "pictures", "faces", "scores"}
    assert (run.out / "pyframes/000001.jpg").stat().st_ino == looked_at
    other = process(video, tmp_path / "out", "--min-track", "12", "--no-annotated")
    assert {"faces", "tracks"} < {row["stage"] for row in other.log()}
    assert "pyavi/video_only.avi" not in names(run.out)
    anew = process(video, tmp_path / "anew", "--min-track", "12", "--no-annotated")
    assert contents(other.out) == contents(anew.out)


_CHILD = """
import sys
from vidfleet.speakers.pipeline import Speakers
speakers = Speakers.from_arguments(sys.argv[3:])
speakers.setup("cpu")
print("ready", flush=True)
speakers.process(sys.argv[1], sys.argv[2], lambda stage, share: None)
"""


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_what_the_next_attempt_can_trust(tmp_path: Path) -> None:
    """Killed again and again, a little later each time, until it ends: the result is that of an undisturbed run."""
    video = write_video(tmp_path / "a.mp4", [scene(80, (160, 60, 60))] * 40, sound=noise(1.6))
    whole = process(video, tmp_path / "whole")
    out, kills = tmp_path / "out", 0
    for wait_s in (0.02, 0.1, 0.25, 0.45, 0.7, 1.0, 30.0):
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(video), str(out), *FAST], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        try:
            child.wait(wait_s)
            break
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            child.wait()
            kills += 1
        finally:
            child.stdout.close()
    assert child.returncode == 0
    assert kills
    assert contents(out) == contents(whole.out)
