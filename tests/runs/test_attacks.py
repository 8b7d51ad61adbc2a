"""What somebody else may have put there, or a script may do: nothing outside is touched, the others are done."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import pytest

import vidfleet

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fleet import Fleet


def _stage(fleet: Fleet, stem: str) -> Path:
    """The stage of a video that has run."""
    return next(path for path in (fleet.root / ".vidfleet").iterdir() if path.is_dir() and path.name.startswith(stem))


def test_a_stage_that_is_a_link_is_not_followed(fleet: Fleet) -> None:
    """What it leads to stays as it is, before an attempt and during one."""
    fleet.videos(2)
    script = fleet.script("leave()")
    assert fleet.run("--script", script).returncode == 0
    home = fleet.scripts / "home"
    home.mkdir()
    (home / "precious").write_text("mine")
    stage = _stage(fleet, "v00-")
    for entry in stage.iterdir():
        entry.unlink()
    stage.rmdir()
    stage.symlink_to(home)
    fleet.script(f"""
        leave()
        if stem == "v01":
            import shutil
            shutil.rmtree(folder)
            os.symlink({str(home)!r}, folder)
            sys.exit(1)
    """)
    assert fleet.run("--script", script, "--retries", "0").returncode == 1
    assert (home / "precious").read_text() == "mine"
    assert fleet.outcomes()["v00.mp4"] == ("done", "")


def test_an_output_that_is_a_link_is_no_output(fleet: Fleet) -> None:
    """No record is written where it leads."""
    fleet.videos(1)
    elsewhere = fleet.scripts / "elsewhere"
    elsewhere.mkdir(mode=0o500)
    script = fleet.script(f"os.symlink({str(elsewhere)!r}, out)")
    assert fleet.run("--script", script).returncode == 1
    assert fleet.outcomes() == {"v00.mp4": ("failed", "missing_output")}
    assert not list(elsewhere.iterdir())
    assert elsewhere.stat().st_mode & 0o777 == 0o500


def test_a_journal_cannot_name_the_video_itself(fleet: Fleet) -> None:
    """Nor anything that does not belong beside it."""
    video = fleet.videos(1)[0]
    before = video.read_bytes()
    script = fleet.script("leave()")
    assert fleet.run("--script", script).returncode == 0
    stage = _stage(fleet, "v00-")
    import hashlib

    record = hashlib.sha256((fleet.root / "v00" / "vidfleet.json").read_bytes()).hexdigest()
    names = ["v00.mp4", "../v00x", "/etc/passwd"]
    journal = {"record": record, "beside": names, "ours": names}
    stage.with_name(stage.name + ".publishing").write_text(json.dumps(journal))
    (stage / "v00.mp4").unlink()
    (stage / "v00.mp4").write_text("hostile")
    fleet.run("--script", script)
    assert video.read_bytes() == before


_GARBAGE = {
    "deep": "[" * 100_000,
    "no json": "\x00\xff",
    "wrong types": '{"owner": {"host": 1, "boot": [], "pid": "x", "start": ""}, "token": 7, "since": "soon"}',
    "huge numbers": '{"owner": {"host": "h", "boot": "b", "pid": 1e999, "start": "s"}, "token": "t", "since": 1e999}',
    "list": "[]",
}


@pytest.mark.parametrize("what", [*_GARBAGE, "pipe", "folder", "link to itself", "endless"])
def test_garbage_in_place_of_our_small_files_does_no_harm(fleet: Fleet, what: str) -> None:
    """Claims, journals, errors, records, owners of runs: the run ends, the others are done, nothing is waited for."""
    fleet.videos(3)
    script = fleet.script("leave()")
    assert fleet.run("--script", script).returncode == 0
    stage = _stage(fleet, "v00-")
    run = next((fleet.root / ".vidfleet" / "runs").iterdir())
    places = [stage.with_name(stage.name + ending) for ending in (".claim", ".publishing", ".error.json")]
    for place in (*places, run / "owner.json", fleet.root / "v01" / "vidfleet.json"):
        place.unlink(missing_ok=True)
        if what == "pipe":
            os.mkfifo(place)
        elif what == "folder":
            place.mkdir()
        elif what == "link to itself":
            place.symlink_to(place)
        elif what == "endless":
            place.symlink_to("/dev/zero")
        else:
            place.write_bytes(_GARBAGE[what].encode("latin-1"))
    fleet.script("leave('result.txt', 'again')")
    result = fleet.run("--script", script)
    assert "Traceback" not in result.stdout, result.stdout
    states = fleet.outcomes()
    assert states["v02.mp4"] == ("done", ""), result.stdout
    assert states["v01.mp4"][0] in ("blocked", "done")


def test_a_very_deep_tree_is_removed(fleet: Fleet) -> None:
    """Deeper than Python recurses, and longer than a path may be."""
    fleet.videos(2)
    script = fleet.script("""
        os.makedirs(out); os.chdir(out)
        if stem == "v00":
            for _ in range(3000):
                os.mkdir("d"); os.chdir("d")
            sys.exit(1)
        leave()
    """)
    assert fleet.run("--script", script, "--retries", "0").returncode == 1
    assert fleet.outcomes() == {"v00.mp4": ("failed", "error"), "v01.mp4": ("done", "")}
    fleet.script("leave()")
    assert fleet.run("--script", script).returncode == 0
    assert not fleet.torn()


def test_a_video_that_goes_away_before_its_turn_is_not_done(fleet: Fleet) -> None:
    """Deleted, or emptied, after the run has begun."""
    fleet.videos(4)
    script = fleet.script("""
        if stem == "v00":
            root = os.path.dirname(os.path.realpath(video))
            os.remove(os.path.join(root, "v02.mp4"))
            open(os.path.join(root, "v03.mp4"), "w").close()
        leave()
    """)
    assert fleet.run("--script", script, "--devices", "cpu:1", "--schedule", "name").returncode == 1
    assert fleet.outcomes() == {
        "v00.mp4": ("done", ""), "v01.mp4": ("done", ""),
        "v02.mp4": ("failed", "bad_input"), "v03.mp4": ("failed", "bad_input"),
    }  # fmt: skip


def test_an_attempt_is_recorded_with_the_script_that_it_ran(fleet: Fleet) -> None:
    """Not with what the script was edited into meanwhile: that one runs again."""
    fleet.videos(3)
    body = """
        me = os.path.dirname(__file__)
        if stem == "v00":
            open(os.path.join(me, "begun"), "w").close()
            while not os.path.exists(os.path.join(me, "go")):
                time.sleep(0.05)
        leave()
    """
    script = fleet.script(body)
    runner = fleet.start("--script", script, "--devices", "cpu:2", "--schedule", "name")
    fleet.wait_for(lambda: (fleet.scripts / "begun").exists())
    fleet.wait_for(lambda: fleet.whole(fleet.root / "v02.mp4"))
    fleet.script(body + "    # edited\n")
    fleet.video("v03.mp4")
    (fleet.scripts / "go").touch()
    runner.communicate(timeout=30)
    fleet.run("--script", script)
    assert {event["video"] for event in fleet.events("attempt_started")} == {f"v0{i}.mp4" for i in range(4)}


def test_a_persons_file_beside_the_video_is_never_replaced(fleet: Fleet) -> None:
    """Also where an earlier output of ours had put one of that name there."""
    fleet.videos(1)
    body = 'leave(); open(os.path.join(folder, stem + "_out.txt"), "w").write("theirs")'
    script = fleet.script(body)
    assert fleet.run("--script", script).returncode == 0
    time.sleep(0.02)
    (fleet.root / "v00_out.txt").write_text("mine, edited by hand")
    fleet.script(body + "  # edited")
    assert fleet.run("--script", script).returncode == 0
    assert (fleet.root / "v00_out.txt").read_text() == "mine, edited by hand"
    assert (fleet.root / "v00" / "_extra" / "v00_out.txt").read_text() == "theirs"


@pytest.mark.parametrize("promise", ["/etc/passwd", "../v00.mp4"])
def test_a_promise_lies_in_the_output_folder(fleet: Fleet, promise: str) -> None:
    """Anything else would be there without the script."""
    fleet.videos(1)
    assert fleet.run("--script", fleet.script("leave()"), "--expect", promise).returncode == 2


def test_a_script_that_only_mentions_our_module_is_its_own(fleet: Fleet) -> None:
    """Never swapped for the built-in pipeline."""
    fleet.videos(1)
    script = fleet.script("leave('mine.txt')")
    script.write_text("# not from vidfleet.speakers.folder import main\n" + script.read_text())
    assert fleet.run("--script", script).returncode == 0
    assert (fleet.root / "v00" / "mine.txt").exists()


def test_an_empty_name_is_not_the_working_directory(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a shell variable was not set."""
    fleet.videos(1)
    monkeypatch.chdir(fleet.root)
    whole, fleet.root = fleet.root, ""  # type: ignore[assignment]
    assert fleet.run("--script", "x.py").returncode == 2
    fleet.root = whole
    assert fleet.run("--script", fleet.script("leave()"), "--output", "").returncode == 2
    assert not (whole / "v00").exists()


def test_flags_that_exclude_each_other_are_refused(fleet: Fleet) -> None:
    """None is silently ignored."""
    fleet.videos(1)
    script = fleet.script("leave()")
    for flags in (["--num-gpus", "2", "--devices", "cpu:1"], ["--num-gpus", "9999999"], ["--devices", "cpu:99999"]):
        assert fleet.run("--script", script, *flags).returncode == 2, flags


def test_a_mistake_in_a_call_from_python_is_a_usage_error(fleet: Fleet) -> None:
    """Before anything is touched."""
    fleet.videos(1)
    script = vidfleet.Script(fleet.script("leave()"))
    for wrong in ({"timeout": "soon"}, {"num_gpus": 0}, {"schedule": "random"}, {"keep_failed": "no"}):
        with pytest.raises(vidfleet.VidfleetError, match=next(iter(wrong))):
            vidfleet.run(fleet.root, script, settings=vidfleet.RunSettings(**wrong))
    assert not (fleet.root / ".vidfleet").exists()
    right = vidfleet.RunSettings(timeout=60, output=str(fleet.scripts / "out"), ext="mpg")  # type: ignore[arg-type]
    assert vidfleet.run(fleet.root, script, settings=right).exit_status == 0


def test_what_stands_beside_a_video_is_known_while_its_output_is_aside(fleet: Fleet) -> None:
    """A kill between "old aside" and "new in" makes no video of ``<stem>_out.mp4``."""
    fleet.videos(1)
    body = "leave(); import shutil; shutil.copy(video, os.path.join(folder, stem + '_out.mp4'))"
    script = fleet.script(body)
    assert fleet.run("--script", script).returncode == 0
    (fleet.root / "v00").rename(_stage(fleet, "v00-").with_suffix(".old"))
    assert fleet.run("--script", script).returncode == 0
    assert set(fleet.outcomes()) == {"v00.mp4"}
    assert not (fleet.root / "v00_out").exists()
