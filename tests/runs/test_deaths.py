"""Every way in which an attempt can die is seen for what it is, and harms no other video."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.fleet import Fleet

_DEATHS = [
    ("raise RuntimeError('no such layer')", "error", "RuntimeError: no such layer"),
    ("print('third'); sys.exit(3)", "error", "exit status 3: third"),
    ("os._exit(3)", "error", "exit status 3"),
    ("os.kill(os.getpid(), signal.SIGSEGV)", "crash", "segmentation fault"),
    ("os.abort()", "crash", "abort"),
    ("os.kill(os.getpid(), signal.SIGKILL)", "crash", "killed from outside"),
    ("pass", "missing_output", "left no v01/"),
    ("leave(); os.chdir('/'); import shutil; shutil.rmtree(folder)", "missing_output", "left no v01/"),
    ("time.sleep(300)", "timeout", "time limit"),
    ("signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)", "timeout", "time limit"),
]


@pytest.mark.parametrize("contract", ["script", "template", "class"])
@pytest.mark.parametrize(("death", "kind", "words"), _DEATHS, ids=[f"{i}-{d[1]}" for i, d in enumerate(_DEATHS)])
def test_a_death_is_named_and_harms_no_other(fleet: Fleet, contract: str, death: str, kind: str, words: str) -> None:
    """The kind, a sentence with the script's own words, the other videos done, exit status 1."""
    fleet.videos(3)
    script = fleet.script(f"""
        if stem == "v01":
            {death}
        else:
            leave()
    """)
    flags = ["--timeout", "1.5", "--grace", "0.2", "--retries", "0", "--devices", "cpu:2"]
    result = fleet.run(*flags, *fleet.way(contract, script))
    assert result.returncode == 1, result.stdout
    assert fleet.outcomes() == {"v00.mp4": ("done", ""), "v01.mp4": ("failed", kind), "v02.mp4": ("done", "")}
    reason = next(v["reason"] for v in fleet.report()["videos"] if v["video"] == "v01.mp4")
    assert words in reason or (contract == "class" and "SystemExit: 3" in reason), reason
    assert not fleet.processes()
    assert not fleet.torn()


def test_a_retry_goes_to_another_lane_and_may_succeed(fleet: Fleet) -> None:
    """An error is tried again (--retries, default 1) on another lane; then the video is done."""
    fleet.videos(2)
    script = fleet.script("""
        seen = os.path.join(os.path.dirname(__file__), "tried-" + stem)
        if stem == "v00" and not os.path.exists(seen):
            open(seen, "w").close()
            sys.exit(1)
        leave()
    """)
    assert fleet.run("--script", script, "--num_gpus", "2").returncode == 0
    attempts = [e for e in fleet.events("attempt_ended") if e["video"] == "v00.mp4"]
    assert [attempt["kind"] for attempt in attempts] == ["error", "done"]
    assert attempts[0]["lane"] != attempts[1]["lane"]


def test_children_left_behind_are_ended_and_the_lane_is_free_at_once(fleet: Fleet) -> None:
    """A grandchild in a session of its own that holds the log open delays nothing."""
    fleet.videos(1)
    script = fleet.script("""
        leave()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                print("still here", flush=True)
                time.sleep(300)
            os._exit(0)
    """)
    result = fleet.run("--script", script)
    assert result.returncode == 0, result.stdout
    assert fleet.events("attempt_ended")[0]["evidence"]["ended_leftovers"] >= 1
    assert not fleet.processes()


def test_a_flood_of_output_fills_no_disk(fleet: Fleet) -> None:
    """The log keeps head and tail."""
    fleet.videos(1)
    script = fleet.script("""
        print("the beginning")
        for _ in range(64):
            os.write(1, b"x" * (1 << 20))
        print("the end")
        sys.exit(1)
    """)
    assert fleet.run("--script", script, "--retries", "0").returncode == 1
    log = next((fleet.root / ".vidfleet").rglob("*.log"))
    assert log.stat().st_size < 6 << 20
    text = log.read_bytes()
    assert text.startswith(b"the beginning")
    assert text.rstrip().endswith(b"the end")
    assert b"bytes left out" in text


def test_garbled_and_closed_output_does_no_harm(fleet: Fleet) -> None:
    """Bytes that are no text, and closed streams."""
    fleet.videos(2)
    script = fleet.script(r"""
        os.write(1, b"\xff\xfe\x00\x1b[31m\n" * 10)
        if stem == "v01":
            os.close(1); os.close(2)
        leave()
    """)
    result = fleet.run("--script", script)
    assert result.returncode == 0, result.stdout


def test_a_program_that_does_not_exist_is_told_before_anything_is_touched(fleet: Fleet) -> None:
    """Exit 3 and nothing on disk."""
    fleet.videos(1)
    result = fleet.run("--", "no-such-program", "{video}")
    assert result.returncode == 3
    assert "no-such-program" in result.stdout
    assert not (fleet.root / ".vidfleet").exists()


@pytest.mark.parametrize(
    ("death", "kind"),
    [
        ("raise ValueError('torn weights')", "error"),
        ("os._exit(7)", "error"),
        ("os.kill(os.getpid(), 11)", "crash"),
        ("time.sleep(300)", "timeout"),
        ("open(os.path.join(out, '..', 'nothing'), 'w').close(); shutil.rmtree(out)", "missing_output"),
        ("raise Unreadable('no picture in it')", "bad_input"),
        ("sys.exit(5)", "error"),
    ],
)
def test_a_class_that_dies_costs_one_video(
    fleet: Fleet, death: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same deaths, in a class that stays loaded; the lane loads it again where it must."""
    fleet.videos(4)
    module = fleet.scripts / "deadly.py"
    module.write_text(f"""
import os, shutil, sys, time

class Unreadable(Exception):
    failure_kind = "bad_input"

class Deadly:
    def setup(self, device):
        with open({str(fleet.scripts)!r} + "/loads", "a") as file:
            file.write("x")
    def process(self, video, out):
        if "v01" in video:
            {death}
        else:
            with open(os.path.join(out, "result.txt"), "w") as file:
                file.write(video)
""")
    monkeypatch.chdir(fleet.scripts)
    result = fleet.run(
        "--worker", "deadly:Deadly", "--devices", "cpu:1", "--timeout", "2", "--retries", "0", "--schedule", "name"
    )
    assert result.returncode == 1, result.stdout
    states = fleet.outcomes()
    assert states.pop("v01.mp4") == ("failed", kind), result.stdout
    assert set(states.values()) == {("done", "")}
    loads = (fleet.scripts / "loads").read_text()
    dies = kind in ("crash", "timeout") or "_exit" in death
    assert len(loads) == (2 if kind == "error" and dies else 3 if dies else 1)
    assert not fleet.processes()


def test_the_last_failure_is_kept_beside_the_stage(fleet: Fleet) -> None:
    """For --no-retry-failed, and gone after a success."""
    fleet.videos(1)
    failing = fleet.script("sys.exit(9)")
    assert fleet.run("--script", failing).returncode == 1
    kept = list((fleet.root / ".vidfleet").glob("*.error.json"))
    assert len(kept) == 1
    assert '"exit_status": 9' in kept[0].read_text()
    assert fleet.run("--script", failing, "--no-retry-failed").returncode == 1
    assert not fleet.events("attempt_started")
    fleet.script("leave()")
    assert fleet.run("--script", failing).returncode == 0
    assert not list((fleet.root / ".vidfleet").glob("*.error.json"))
    assert Path(fleet.root / "v00" / "result.txt").read_text() == "whole"


def test_a_script_that_disappears_in_mid_run_stops_it_in_order(fleet: Fleet) -> None:
    """Exit 3; what ran is done, the rest not started."""
    fleet.videos(4)
    script = fleet.script("leave(); os.remove(__file__) if stem == 'v00' else None")
    result = fleet.run("--script", script, "--devices", "cpu:1", "--schedule", "name")
    assert result.returncode == 3, result.stdout
    assert [state for state, _ in fleet.outcomes().values()].count("done") == 1
    assert ("failed", "setup") in fleet.outcomes().values()


def test_a_very_long_time_limit_is_a_time_limit(fleet: Fleet) -> None:
    """A year is more than a selector can wait for at once."""
    fleet.videos(1)
    assert fleet.run("--script", fleet.script("time.sleep(0.3); leave()"), "--timeout", "31536000").returncode == 0


def test_what_a_call_of_a_class_leaves_is_ended_and_what_setup_started_stays(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also a fork of it that comes back is not taken for the class."""
    fleet.videos(3)
    (fleet.scripts / "leaving.py").write_text("""
import os, subprocess, time

class Leaving:
    def setup(self, device):
        self.helper = subprocess.Popen(["sleep", "300"])
    def process(self, video, out, report):
        subprocess.Popen(["sleep", "301"], start_new_session=True)
        assert self.helper.poll() is None, "the helper was ended"
        report("x", 10 ** 400)
        if os.fork() == 0:
            return
        time.sleep(0.3)
        with open(os.path.join(out, "result.txt"), "w") as file:
            file.write("whole")
""")
    monkeypatch.chdir(fleet.scripts)
    result = fleet.run("--worker", "leaving:Leaving", "--devices", "cpu:1")
    assert result.returncode == 0, result.stdout
    assert all((fleet.root / f"v0{i}" / "result.txt").exists() for i in range(3))
    assert all(event["evidence"]["ended_leftovers"] >= 1 for event in fleet.events("attempt_ended"))
    assert not fleet.processes()
