"""The next video is made ready while others run; whoever stops, it is nobody's afterwards."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.page_cache import is_in_memory, write_cold

if TYPE_CHECKING:
    import subprocess

    from tests.support.fleet import Fleet

_WAITS = """
    open(os.path.join(os.path.dirname(__file__), "started-" + stem), "w").close()
    while not os.path.exists(os.path.join(os.path.dirname(__file__), "go")):
        time.sleep(0.02)
    leave()
"""


def _claimed(fleet: Fleet) -> set[str]:
    return {path.name[:3] for path in (fleet.root / ".vidfleet").glob("*.claim")}


def _staged(fleet: Fleet) -> set[str]:
    return {path.parent.name[:3] for path in (fleet.root / ".vidfleet").glob("*-*/*.mp4")}


def _begin(fleet: Fleet, videos: int, *more: str) -> subprocess.Popen[str]:
    """Begin on one lane, by name; the first video waits."""
    fleet.videos(videos)
    script = fleet.script(_WAITS)
    runner = fleet.start("--script", script, "--devices", "cpu:1", "--schedule", "name", *more)
    fleet.wait_for(lambda: (fleet.scripts / "started-v00").exists())
    return runner


def test_the_next_is_ready_while_one_runs_and_only_that(fleet: Fleet) -> None:
    """One for each lane; then all are done, in order."""
    runner = _begin(fleet, 4)
    fleet.wait_for(lambda: _staged(fleet) == {"v00", "v01"})
    assert _claimed(fleet) == {"v00", "v01"}
    (fleet.scripts / "go").touch()
    output, _ = runner.communicate(timeout=30)
    assert runner.returncode == 0, output
    assert [event["video"] for event in fleet.events("attempt_started")] == [f"v0{i}.mp4" for i in range(4)]
    assert not _claimed(fleet)


@pytest.mark.skipif(sys.platform != "linux", reason="asked for on Linux only")
@pytest.mark.parametrize("videos", [2, 4])
def test_the_next_ones_beginning_is_read_while_one_runs(fleet: Fleet, videos: int) -> None:
    """Also near the end, where it is not claimed yet."""
    made = fleet.videos(videos)
    write_cold(made[1], 12 << 20, append=True)
    script = fleet.script(_WAITS)
    runner = fleet.start("--script", script, "--devices", "cpu:1", "--schedule", "name")
    fleet.wait_for(lambda: (fleet.scripts / "started-v00").exists())
    fleet.wait_for(lambda: is_in_memory(made[1], 3 << 20))
    (fleet.scripts / "go").touch()
    output, _ = runner.communicate(timeout=30)
    assert runner.returncode == 0, output


def test_near_the_end_another_runner_finds_something_to_do(fleet: Fleet) -> None:
    """Where no more wait than there are lanes, nobody's turn is taken ahead."""
    first = _begin(fleet, 2)
    fleet.wait_for(lambda: _claimed(fleet) == {"v00"})
    second = fleet.start("--script", fleet.scripts / "infer.py", "--devices", "cpu:1")
    fleet.wait_for(lambda: (fleet.scripts / "started-v01").exists())
    (fleet.scripts / "go").touch()
    for runner in (first, second):
        runner.communicate(timeout=30)
    assert {first.returncode, second.returncode} <= {0, 1, 4}
    assert all(fleet.whole(video) for video in fleet.root.glob("*.mp4"))


@pytest.mark.parametrize("how", ["end", "drain"])
def test_what_was_ready_is_given_back_when_the_run_ends_early(fleet: Fleet, how: str) -> None:
    """At once, also while what runs may finish; its stage is gone, and it counts as not started."""
    runner = _begin(fleet, 4, "--on-interrupt", how)
    fleet.wait_for(lambda: _staged(fleet) == {"v00", "v01"})
    runner.send_signal(signal.SIGINT)
    if how == "drain":
        fleet.wait_for(lambda: _claimed(fleet) == {"v00"})
        assert runner.poll() is None
        (fleet.scripts / "go").touch()
    output, _ = runner.communicate(timeout=30)
    assert runner.returncode == 130, output
    assert not _claimed(fleet)
    assert "v01" not in {path.name[:3] for path in (fleet.root / ".vidfleet").glob("v*-*")}
    states = {name: state for name, (state, _) in fleet.outcomes().items()}
    first = "done" if how == "drain" else "interrupted"
    assert states == {"v00.mp4": first} | {f"v0{i}.mp4": "not_started" for i in (1, 2, 3)}


def test_what_a_killed_runner_had_ready_runs_in_the_next_run(fleet: Fleet) -> None:
    """Its claim is a dead runner's, its stage is made anew."""
    runner = _begin(fleet, 4)
    fleet.wait_for(lambda: _staged(fleet) == {"v00", "v01"})
    os.kill(runner.pid, signal.SIGKILL)
    fleet.wait_for(lambda: not fleet.processes(), within_s=5)
    (fleet.scripts / "go").touch()
    again = fleet.run("--script", fleet.scripts / "infer.py", "--devices", "cpu:2")
    assert again.returncode == 0, again.stdout
    assert all(fleet.whole(video) for video in fleet.root.glob("*.mp4"))
    assert not _claimed(fleet)


def test_nothing_is_started_after_it_is_known_that_nothing_can_be_done(fleet: Fleet) -> None:
    """Exit status 0 and no output, three times: no fourth video is begun before that is seen."""
    fleet.videos(6)
    result = fleet.run("--script", fleet.script("pass"), "--devices", "cpu:1")
    assert result.returncode == 3, result.stdout
    assert len(fleet.events("attempt_started")) == 3
    assert not _claimed(fleet)


def test_a_lanes_next_video_begins_before_its_last_one_is_published(fleet: Fleet) -> None:
    """And is told of after its end: a lane has one video at a time, for whoever reads the ledger."""
    videos = fleet.videos(4)
    with videos[1].open("ab") as file:
        file.truncate(128 << 20)  # hashed before its record is written: 0.1 s at least
    flags = ("--devices", "cpu:1", "--schedule", "name", "--fingerprint", "content")
    assert fleet.run("--script", fleet.script("leave()"), *flags).returncode == 0
    ended = {event["video"]: event for event in fleet.events("attempt_ended")}
    started = {event["video"]: event["at"] for event in fleet.events("attempt_started")}
    recorded = (fleet.root / "v01" / "vidfleet.json").stat().st_mtime
    assert ended["v01.mp4"]["ended_at"] <= ended["v02.mp4"]["started_at"] < recorded
    for last, following in itertools.pairwise(sorted(ended)):
        assert ended[last]["at"] <= started[following]


_DEADLY = """
import os

class Deadly:
    def setup(self, device):
        with open({loads!r}, "a") as file:
            file.write("x")

    def process(self, video, out):
        if "v03" in video:
            os.kill(os.getpid(), 11)
        with open(os.path.join(out, "who"), "w") as file:
            file.write(str(os.getpid()))
"""


def test_a_crash_of_a_class_costs_one_video_and_one_restart(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those before it share one loaded object, those after it another. (It is tried twice, as every crash is.)"""
    fleet.videos(8)
    loads = fleet.scripts / "loads"
    (fleet.scripts / "deadly.py").write_text(_DEADLY.format(loads=str(loads)))
    monkeypatch.chdir(fleet.scripts)
    words = ("--worker", "deadly:Deadly", "--devices", "cpu:1", "--schedule", "name", "--no-retry-failed")
    result = fleet.run(*words)
    assert result.returncode == 1, result.stdout
    states = fleet.outcomes()
    assert states.pop("v03.mp4") == ("failed", "crash")
    assert set(states.values()) == {("done", "")}
    crashes = [event for event in fleet.events("attempt_ended") if event["kind"] == "crash"]
    assert len(crashes) == 2
    assert len(loads.read_text()) == 1 + len(crashes)
    assert len({(fleet.root / f"v0{i}" / "who").read_text() for i in (0, 1, 2)}) == 1
    assert len({(fleet.root / f"v0{i}" / "who").read_text() for i in (4, 5, 6, 7)}) == 1
    assert not fleet.events("lane_lost")
