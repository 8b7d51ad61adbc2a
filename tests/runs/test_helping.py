"""Lanes that have nothing else to do help a video that runs on another lane. The work is sleep, shared out by locks."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.support.fleet import Fleet

_SHARES = 24
_TOY = """
import fcntl, os, shutil, signal, sys, time
from pathlib import Path

HERE = Path(__file__).parent

def once(name):
    try:
        open(HERE / name, "x").close()
        return True
    except FileExistsError:
        return False

def wait_for(name):
    until = time.monotonic() + 20
    while not (HERE / name).exists() and time.monotonic() < until:
        time.sleep(0.02)

class Toy:
    how = ""

    @classmethod
    def from_arguments(cls, arguments):
        made = cls()
        made.how = arguments[0] if arguments else ""
        return made

    @classmethod
    def describe(cls, arguments):
        return {"name": "toy", "fingerprint": {}, "shares": "parts/open", "expected": ["result.txt"],
                "resumable": True}

    def setup(self, device):
        print("set up", flush=True)

    def process(self, video, out, report, original):
        stem, parts = Path(original).stem, Path(out, "parts")
        if stem.startswith("short"):
            Path(out, "result.txt").write_text("short")
            return
        if stem == "fails" and once("failed"):
            wait_for("helping")
            raise RuntimeError("not the first time")
        parts.mkdir(exist_ok=True)
        if (parts / "open").exists() or self.taken(parts):
            once("met-others")
        for n in range(SHARES):
            (parts / f"{n}.lock").touch()
        (parts / "open").touch()
        self.work(parts, fcntl.LOCK_NB, report)
        if self.how != "forgets":
            (parts / "open").unlink()
        self.work(parts, 0, report)
        text = " ".join((parts / f"{n}.done").read_text() for n in range(SHARES))
        shutil.rmtree(parts)
        Path(out, "result.txt").write_text(text)
        if self.how == "hangs":
            once("leader-is-done")

    def help(self, video, out, report):
        getattr(self, "helps_" + self.how.replace("-", "_"), self.helps)(Path(out, "parts"), report)

    def helps(self, parts, report):
        once("helping")
        try:
            self.work(parts, fcntl.LOCK_NB, report)
        except FileNotFoundError:
            pass

    def helps_raises(self, parts, report):
        raise ValueError("no help from here")

    def helps_cuda(self, parts, report):
        if os.environ["CUDA_VISIBLE_DEVICES"] == "1":
            raise RuntimeError("CUDA error: uncorrectable ECC error encountered")
        self.helps(parts, report)

    def helps_hangs(self, parts, report):
        self.helps(parts, report)
        time.sleep(300)

    def helps_stalls(self, parts, report):
        time.sleep(300)

    def helps_nothing(self, parts, report):
        pass

    def taken(self, parts):
        for lock in parts.glob("*.lock"):
            with open(lock, "r+") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return True
        return False

    def work(self, parts, how, report):
        me = os.environ["VIDFLEET_MARK"].partition(":")[2]
        for n in range(SHARES):
            with open(parts / f"{n}.lock", "r+") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | how)
                except BlockingIOError:
                    continue
                if (parts / f"{n}.done").exists():
                    continue
                report("parts", n / SHARES)
                (HERE / f"at-{n}-{me}-{os.getpid()}").touch()
                time.sleep(0.15)
                (parts / f"{n}.{me}").write_text(me)
                (parts / f"{n}.{me}").rename(parts / f"{n}.done")
                print("share", n, flush=True)
"""


@pytest.fixture
def toy(fleet: Fleet) -> Fleet:
    """One long video and two short ones, and a class that shares its work."""
    (fleet.scripts / "toy.py").write_text(_TOY.replace("SHARES", str(_SHARES)))
    fleet.video("long.mp4", frames=300)
    fleet.video("short0.mp4")
    fleet.video("short1.mp4")
    return fleet


def _words(*how: str, lanes: int = 3) -> list[str]:
    return ["--worker", "toy:Toy", "--devices", f"cpu:{lanes}", "--grace", "1", *(["--", *how] if how else [])]


def _who(fleet: Fleet, name: str = "long") -> list[str]:
    """The lanes that did the shares of a published video, in the order of the shares."""
    return (fleet.root / name / "result.txt").read_text().split()


def _helpers(fleet: Fleet, name: str = "long.mp4") -> list[dict[str, Any]]:
    """All that helped a video, as its report tells."""
    video = next(video for video in fleet.report()["videos"] if video["video"] == name)
    return [helper for attempt in video["attempts"] for helper in attempt.get("helpers", ())]


def _started(fleet: Fleet, process: subprocess.Popen[str], count: int = 1) -> None:
    """Wait until so many lanes have begun a share of the long video as helpers."""

    def helping() -> bool:
        assert process.poll() is None, process.communicate()[0]
        return len({path.name.split("-")[2] for path in fleet.scripts.glob("at-*")}) > count  # fmt: skip

    fleet.wait_for(helping)


def _holders(fleet: Fleet) -> dict[int, int]:
    """Lane → the process in it that has worked on shares last."""
    found = sorted(fleet.scripts.glob("at-*"), key=lambda path: path.stat().st_mtime_ns)
    return {int(lane): int(pid) for _, _, lane, pid in (path.name.split("-") for path in found)}


def test_idle_lanes_share_the_work_on_one_long_video(toy: Fleet) -> None:
    """Each share is done once, the leader does less than two thirds of them, and all of it is on record."""
    result = toy.run(*_words())
    assert result.returncode == 0, result.stdout
    who = Counter(_who(toy))
    assert sum(who.values()) == _SHARES
    assert len(who) == 3
    assert max(who.values()) < _SHARES * 2 / 3
    record = json.loads((toy.root / "long" / "vidfleet.json").read_text())
    (attempt,) = record["attempts"]
    assert [helper["kind"] for helper in attempt["helpers"]] == ["helped"] * len(attempt["helpers"])
    assert {helper["lane"] for helper in attempt["helpers"]} == {"cpu:0", "cpu:1", "cpu:2"} - {attempt["lane"]}
    assert attempt["cpu_s"] >= sum(helper["cpu_s"] for helper in attempt["helpers"]) > 0
    assert len(toy.events("attempt_started")) == 3
    assert not toy.processes()


def test_one_video_alone_gets_all_lanes(toy: Fleet) -> None:
    """Where there are fewer videos than lanes, the others help from the start."""
    for name in ("short0.mp4", "short1.mp4"):
        (toy.root / name).unlink()
    assert toy.run(*_words()).returncode == 0
    assert len(set(_who(toy))) == 3


def test_what_a_lane_writes_that_helps_has_a_log_of_its_own(toy: Fleet) -> None:
    """``vidfleet logs`` shows it below the video's."""
    assert toy.run(*_words()).returncode == 0
    logs = max((toy.root / ".vidfleet" / "runs").iterdir()) / "logs"
    lane = _helpers(toy)[0]["lane"]
    theirs = (logs / f"long.mp4.log.lane-{lane}").read_text()
    assert theirs.count("share") == _who(toy).count(str(lane))
    shown = toy.run("long", command="logs").stdout
    assert f"lane {lane}" in shown
    assert theirs in shown


def test_what_is_learnt_is_what_a_video_takes_alone(toy: Fleet) -> None:
    """Seconds of all lanes that were at it, not of the clock."""
    assert toy.run(*_words()).returncode == 0
    kept = json.loads((toy.root / ".vidfleet" / "learnt.json").read_text())["workloads"]["toy"]["cpu"]
    longest_s = max(seconds for _, cost, seconds in kept)
    (ended,) = [event for event in toy.events("attempt_ended") if event["video"] == "long.mp4"]
    assert longest_s > 1.5 * (ended["ended_at"] - ended["started_at"])
    assert longest_s > _SHARES * 0.15


def test_lanes_spread_over_the_videos_that_share(toy: Fleet) -> None:
    """Two long videos and four lanes: one helper each."""
    toy.video("long2.mp4", frames=300)
    assert toy.run(*_words(lanes=4)).returncode == 0
    first = {event["video"]: event["lane"] for event in reversed(toy.events("help_started"))}
    assert set(first) == {"long.mp4", "long2.mp4"}
    assert len(set(first.values())) == 2


def test_a_helper_that_is_killed_costs_its_share_and_no_more(toy: Fleet) -> None:
    """The share is taken again, the video has one attempt, the user hears of it once, and that lane stays away."""
    process = toy.start(*_words(lanes=2))
    _started(toy, process)
    (lead,) = [event["lane"] for event in toy.events("attempt_started") if event["video"] == "long.mp4"]
    os.kill(_holders(toy)[1 - lead], signal.SIGKILL)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert len(_who(toy)) == _SHARES
    (attempt,) = [event for event in toy.events("attempt_ended") if event["video"] == "long.mp4"]
    assert [helper["kind"] for helper in attempt["helpers"]] == ["crash"]
    assert sum("could not help long.mp4" in notice["text"] for notice in toy.events("notice")) == 1
    assert len(toy.events("help_started")) == 1


def test_a_helper_that_raises_is_told_once_and_does_not_fail_the_video(toy: Fleet) -> None:
    """Its words and its log stand in the notice; each lane tries once."""
    result = toy.run(*_words("raises"))
    assert result.returncode == 0, result.stdout
    assert set(_who(toy)) == {str(event["lane"]) for event in toy.events("attempt_started") if "long" in event["video"]}
    (notice,) = [event["text"] for event in toy.events("notice") if "could not help" in event["text"]]
    assert "ValueError: no help from here" in notice
    assert "long.mp4.log.lane-" in notice
    assert Counter(event["lane"] for event in toy.events("help_started")).most_common(1)[0][1] == 1


def test_a_leader_that_is_killed_is_tried_again_when_its_helpers_are_gone(toy: Fleet) -> None:
    """Nobody else is in the stage when the second attempt begins, and it goes on from what was done."""
    process = toy.start(*_words())
    _started(toy, process, 2)
    (lead,) = [event["lane"] for event in toy.events("attempt_started") if event["video"] == "long.mp4"]
    os.kill(_holders(toy)[lead], signal.SIGKILL)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    first, second = [event for event in toy.events("attempt_ended") if event["video"] == "long.mp4"]
    assert (first["kind"], second["kind"]) == ("crash", "done")
    assert {helper["kind"] for helper in first["helpers"]} <= {"interrupted", "helped"}
    assert max(helper["ended_at"] for helper in first["helpers"]) <= second["started_at"]
    assert not (toy.scripts / "met-others").exists()
    assert len(_who(toy)) == _SHARES
    assert not [event for event in toy.events("notice") if "could not help" in event["text"]]


def test_a_helper_that_hangs_when_its_video_is_done_is_ended_and_then_the_video_is_published(toy: Fleet) -> None:
    """The leader's time is its own, and the lane is free again."""
    result = toy.run(*_words("hangs"))
    assert result.returncode == 0, result.stdout
    (attempt,) = [event for event in toy.events("attempt_ended") if event["video"] == "long.mp4"]
    assert {helper["kind"] for helper in attempt["helpers"]} == {"interrupted"}
    assert min(helper["ended_at"] for helper in attempt["helpers"]) > attempt["ended_at"] + 1
    assert toy.whole(toy.root / "long.mp4")
    assert not toy.processes()


def test_a_run_that_is_stopped_ends_helpers_too_and_goes_on_later(toy: Fleet) -> None:
    process = toy.start(*_words())
    _started(toy, process, 2)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert toy.outcomes()["long.mp4"][0] == "interrupted"
    assert {helper["kind"] for helper in _helpers(toy)} == {"interrupted"}
    assert not toy.processes()
    before = len(list(toy.root.glob(".vidfleet/long*/long/parts/*.done")))
    assert before
    assert toy.run(*_words()).returncode == 0
    assert len(_who(toy)) == _SHARES
    assert not (toy.scripts / "met-others").exists()


def test_a_runner_that_is_killed_takes_its_helpers_along(toy: Fleet) -> None:
    """The next run is not misled by what they have left, and the killed one's story tells of them."""
    process = toy.start(*_words())
    _started(toy, process, 2)
    process.kill()
    toy.wait_for(lambda: not toy.processes())
    shown = json.loads(toy.run("--json", command="report").stdout)
    (attempt,) = next(video for video in shown["videos"] if video["video"] == "long.mp4")["attempts"]
    assert [helper["kind"] for helper in attempt["helpers"]] == ["interrupted", "interrupted"]
    result = toy.run(*_words())
    assert result.returncode == 0, result.stdout
    assert len(_who(toy)) == _SHARES
    assert not (toy.scripts / "met-others").exists()


def test_a_video_that_comes_back_takes_a_lane_from_a_helper(toy: Fleet) -> None:
    """It failed on one lane and shall be tried on another, which helps: that one makes way."""
    toy.video("fails.mp4", frames=150)
    result = toy.run(*_words())
    assert result.returncode == 0, result.stdout
    failed, done = [event for event in toy.events("attempt_ended") if event["video"] == "fails.mp4"]
    assert (failed["kind"], done["kind"]) == ("error", "done")
    made_way = [event for event in toy.events("help_ended") if event["reason"] == "there was a video for its lane"]
    assert [event["lane"] for event in made_way] == [done["lane"]]
    (long,) = [event for event in toy.events("attempt_ended") if event["video"] == "long.mp4"]
    assert done["started_at"] < long["ended_at"]


def test_helpers_stand_still_while_the_run_does(toy: Fleet) -> None:
    """Ctrl-Z, and on again."""
    process = toy.start(*_words())
    _started(toy, process, 2)
    process.send_signal(signal.SIGTSTP)
    time.sleep(0.7)
    before = set(toy.scripts.glob("at-*"))
    time.sleep(1.0)
    assert set(toy.scripts.glob("at-*")) == before
    process.send_signal(signal.SIGCONT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert len(before) < len(_who(toy)) == _SHARES


def test_who_finds_nothing_to_do_is_not_asked_again_and_again(toy: Fleet) -> None:
    """The file stays there and help comes back at once: after 1, 2, 4, ... seconds it is asked once more."""
    assert toy.run(*_words("nothing", lanes=2)).returncode == 0
    assert 1 <= len(toy.events("help_started")) <= 4


def test_a_helper_that_stalls_is_ended(toy: Fleet) -> None:
    """By ``--stall``, as an attempt is; the video goes on."""
    result = toy.run("--stall", "1", *_words("stalls"))
    assert result.returncode == 0, result.stdout
    assert "timeout" in {helper["kind"] for helper in _helpers(toy)}
    assert len(set(_who(toy))) == 1


def test_a_time_limit_ends_a_video_with_its_helpers(toy: Fleet) -> None:
    """The limit is the video's, as ever."""
    result = toy.run("--timeout", "1.2", "--retries", "0", *_words())
    kinds = [event["kind"] for event in toy.events("attempt_ended") if event["video"] == "long.mp4"]
    assert kinds[0] == "timeout", result.stdout
    assert {helper["kind"] for helper in _helpers(toy)} <= {"interrupted", "helped"}
    assert not toy.processes()


def test_a_gpu_on_which_help_fails_is_trusted_no_more(
    toy: Fleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two long videos, two helpers that meet a broken GPU: it is out, and no video has failed for it."""
    (tmp_path / "gpus.json").write_text(json.dumps([{"total_bytes": 7 << 30}] * 3))
    monkeypatch.setenv("VIDFLEET_SIMULATED_GPUS", str(tmp_path / "gpus.json"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    toy.video("long2.mp4", frames=300)
    for name in ("short0.mp4", "short1.mp4"):
        (toy.root / name).unlink()
    words = ["--worker", "toy:Toy", "--gpus", "0,2,1", "--quarantine", "2", "--grace", "1", "--", "cuda"]
    toy.video("short2.mp4", frames=5)
    result = toy.run(*words)
    assert result.returncode == 0, result.stdout
    assert [event["kind"] for event in toy.events("attempt_ended")] == ["done"] * 3
    assert [event["lane"] for event in toy.events("help_ended") if event["kind"] == "device"] == [2, 2]
    assert [event["lane"] for event in toy.events("lane_out")] == [2]


def test_without_shares_nobody_helps(toy: Fleet) -> None:
    """And no more lanes are opened than there are videos."""
    text = (toy.scripts / "toy.py").read_text().replace('"shares": "parts/open", ', "")
    (toy.scripts / "toy.py").write_text(text)
    for name in ("short0.mp4", "short1.mp4"):
        (toy.root / name).unlink()
    result = toy.run(*_words())
    assert result.returncode == 0, result.stdout
    assert not toy.events("help_started")
    assert len(toy.events("run_started")[0]["lanes"]) == 1


@pytest.mark.parametrize("path", ["../open", "/tmp/open", "parts/../../open", "."])
def test_a_path_out_of_the_output_folder_is_refused(toy: Fleet, path: str) -> None:
    """In a sentence, before anything is touched."""
    text = (toy.scripts / "toy.py").read_text().replace('"shares": "parts/open"', f'"shares": {path!r}')
    (toy.scripts / "toy.py").write_text(text)
    result = toy.run(*_words())
    assert result.returncode == 2, result.stdout
    assert f"shares: '{path}' is no file in the output folder" in result.stdout
    assert not (toy.root / ".vidfleet").exists()


def test_a_class_that_shares_and_has_no_help_is_refused(toy: Fleet) -> None:
    text = (toy.scripts / "toy.py").read_text().replace("def help(", "def assist(")
    (toy.scripts / "toy.py").write_text(text)
    result = toy.run(*_words())
    assert result.returncode == 3, result.stdout
    assert "has no method help(video, out)" in result.stdout
