"""What is not ours is never touched, and the way out is said once."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.support.fleet import write_video

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fleet import Fleet


def _snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
        if ".vidfleet" not in path.parts
    }


def test_somebodys_outputs_are_left_alone(fleet: Fleet) -> None:
    """Folders without a record: blocked, nothing touched, one explanation for all."""
    for video in fleet.videos(3)[:2]:
        video.with_suffix("").mkdir()
        (video.with_suffix("") / "precious.txt").write_text("work of weeks")
    before = _snapshot(fleet.root)
    result = fleet.run("--script", fleet.script("leave()"))
    assert result.returncode == 1
    assert fleet.outcomes()["v00.mp4"] == ("blocked", "foreign")
    assert fleet.outcomes()["v02.mp4"] == ("done", "")
    after = _snapshot(fleet.root)
    assert {name: after[name] for name in before if not name.endswith("root")} == before
    assert result.stdout.count("--output DIR") == 1, result.stdout


def test_another_script_over_a_finished_root_changes_nothing(fleet: Fleet) -> None:
    """The first one's outputs stay, and the message names it."""
    fleet.videos(2)
    assert fleet.run("--script", fleet.script("leave()", "first.py")).returncode == 0
    before = _snapshot(fleet.root)
    result = fleet.run("--script", fleet.script("leave('other.txt')", "second.py"))
    assert result.returncode == 1
    assert set(fleet.outcomes().values()) == {("blocked", "foreign")}
    assert _snapshot(fleet.root) == before
    assert "first.py" in result.stdout


def test_two_videos_with_one_stem_are_both_blocked(fleet: Fleet) -> None:
    """They would share a folder."""
    for name in ("a.mp4", "a.mkv", "b.mp4"):
        fleet.video(name)
    result = fleet.run("--script", fleet.script("leave()"))
    assert result.returncode == 1
    assert fleet.outcomes() == {
        "a.mkv": ("blocked", "collision"), "a.mp4": ("blocked", "collision"), "b.mp4": ("done", ""),
    }  # fmt: skip
    assert not (fleet.root / "a").exists()


def test_a_dry_run_touches_nothing_and_says_what_would_happen(fleet: Fleet) -> None:
    """Exit 0."""
    fleet.videos(2)
    (fleet.root / "v00").mkdir()
    (fleet.root / "broken.mp4").write_text("no video")
    before = _snapshot(fleet.root)
    result = fleet.run("--script", fleet.script("leave()"), "--dry-run")
    assert result.returncode == 0
    assert _snapshot(fleet.root) == before
    assert not (fleet.root / ".vidfleet").exists()
    for words in ("1 video would run", "v01.mp4", "foreign", "bad_input"):
        assert words in result.stdout, result.stdout


def test_unreadable_videos_are_named_and_the_rest_is_done(fleet: Fleet) -> None:
    """``bad_input`` without an attempt."""
    fleet.videos(2)
    (fleet.root / "empty.mp4").touch()
    (fleet.root / "text.mkv").write_text("hello")
    (fleet.root / "cut.mp4").write_bytes((fleet.root / "v00.mp4").read_bytes()[:200])
    result = fleet.run("--script", fleet.script("leave()"))
    assert result.returncode == 1
    states = fleet.outcomes()
    assert {name for name, state in states.items() if state == ("failed", "bad_input")} == {
        "empty.mp4", "text.mkv", "cut.mp4",
    }  # fmt: skip
    assert not [event for event in fleet.events("attempt_started") if not event["video"].startswith("v0")]


def test_two_runners_over_overlapping_roots_share_the_work(fleet: Fleet) -> None:
    """No video runs twice; who comes second leaves claimed ones alone and names the owner."""
    for index in range(3):
        fleet.video(f"S/v{index}.mp4")
    script = fleet.script("""
        with open(os.path.join(os.path.dirname(__file__), "ran"), "a") as file:
            file.write(stem + "\\n")
        while not os.path.exists(os.path.join(os.path.dirname(__file__), "go")):
            time.sleep(0.05)
        leave()
    """)
    first = fleet.start("--script", script, "--devices", "cpu:3")
    fleet.wait_for(lambda: (fleet.scripts / "ran").exists() and len((fleet.scripts / "ran").read_text().split()) == 3)
    whole, fleet.root = fleet.root, fleet.root / "S"
    second = fleet.run("--script", script)
    assert second.returncode == 4, second.stdout
    assert f"pid {first.pid}" in second.stdout
    (fleet.scripts / "go").touch()
    first.communicate(timeout=30)
    assert first.returncode == 0
    assert sorted((fleet.scripts / "ran").read_text().split()) == ["v0", "v1", "v2"]
    assert all((whole / "S" / f"v{i}" / "vidfleet.json").is_file() for i in range(3))


def test_a_folder_without_videos_says_what_it_saw(fleet: Fleet) -> None:
    """Exit 2 and the endings."""
    (fleet.root / "a.webm").touch()
    result = fleet.run("--script", fleet.script("leave()"))
    assert result.returncode == 2
    assert ".webm" in result.stdout
    assert "--ext" in result.stdout


def test_a_wrong_flag_is_never_ignored(fleet: Fleet) -> None:
    """Exit 2 before anything is touched."""
    fleet.videos(1)
    for flags in (["--num_gpu", "2"], ["--timeout", "soon"], ["--schedule", "random"], ["--devices", "gpu:1"]):
        result = fleet.run("--script", fleet.script("leave()"), *flags)
        assert result.returncode == 2, flags
    assert not (fleet.root / ".vidfleet").exists()


def test_two_roots_with_one_output_folder_do_not_replace_each_others_outputs(fleet: Fleet, tmp_path: Path) -> None:
    """A path that both have is blocked for the second; a root that was moved or copied finds all done."""
    first, second = fleet.root, tmp_path / "second"
    fleet.video("s/a.mp4")
    write_video(second / "s/a.mp4", frames=9)
    write_video(second / "s/b.mp4")
    words = ("--output", tmp_path / "made", "--devices", "cpu:1", "--script", fleet.script("leave()"))
    assert fleet.run(*words).returncode == 0
    before = _snapshot(tmp_path / "made/s/a")
    fleet.root = second
    result = fleet.run(*words)
    assert result.returncode == 1
    assert "give each root an --output of its own" in result.stdout
    assert str(first / "s/a.mp4") in result.stdout.replace("\n", "")
    assert "1 done" in result.stdout
    assert _snapshot(tmp_path / "made/s/a") == before
    shutil.copytree(first, tmp_path / "copied")
    for name in ("copied", "moved"):
        if name == "moved":
            first.rename(tmp_path / name)
        fleet.root = tmp_path / name
        assert "nothing to do" in fleet.run(*words).stdout
    shutil.rmtree(tmp_path / "copied")
    fleet.root = second
    assert "1 blocked" in fleet.run(*words).stdout, "the first root has moved, and its outputs are still its own"
    fleet.root = tmp_path / "moved"
    edited = fleet.run(*words[:-1], fleet.script("leave(text='new')"))
    assert edited.returncode == 0, "its own video, though there is an equal one elsewhere"
