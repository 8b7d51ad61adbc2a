"""Whoever is stopped or killed: no process is left, no folder is torn, and the next run does the rest only."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

if TYPE_CHECKING:
    from tests.support.fleet import Fleet

_SLOW_WITH_CHILDREN = """
    leave("begun.txt")
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], start_new_session=True)
    subprocess.Popen(["sleep", "300"])
    open(os.path.join(os.path.dirname(__file__), "started-" + stem), "w").close()
    if os.path.exists(os.path.join(os.path.dirname(__file__), "slow-" + stem)):
        time.sleep(300)
    leave()
"""


def _begin(fleet: Fleet, contract: str = "script") -> tuple[int, set[str]]:
    """Two videos finish, two hang with children of their own; returns the runner's pid and who is done."""
    fleet.videos(6)
    for name in ("v02", "v03"):
        (fleet.scripts / f"slow-{name}").touch()
    script = fleet.script(_SLOW_WITH_CHILDREN)
    runner = fleet.start("--devices", "cpu:2", "--schedule", "name", *fleet.way(contract, script))
    fleet.wait_for(lambda: all((fleet.scripts / f"started-v0{i}").exists() for i in (2, 3)))
    fleet.wait_for(lambda: len(fleet.processes()) >= 9)
    done = {video.stem for video in fleet.root.glob("*.mp4") if fleet.whole(video)}
    assert done == {"v00", "v01"}
    return runner.pid, done


def _rest_runs_only(fleet: Fleet, done: set[str], contract: str = "script") -> None:
    for path in fleet.scripts.glob("s*-*"):
        path.unlink()
    again = fleet.run("--devices", "cpu:2", *fleet.way(contract, fleet.scripts / "infer.py"))
    assert again.returncode == 0, again.stdout
    ran = {path.name.removeprefix("started-") for path in fleet.scripts.glob("started-*")}
    assert ran == {f"v0{i}" for i in range(6)} - done
    assert not fleet.torn()
    assert not fleet.processes()


@pytest.mark.parametrize("contract", ["script", "template", "class"])
def test_a_killed_runner_leaves_no_process_and_no_torn_folder(fleet: Fleet, contract: str) -> None:
    """SIGKILL to the runner: a script's child with a session of its own is gone within 5 s too."""
    runner, done = _begin(fleet, contract)
    os.kill(runner, signal.SIGKILL)
    fleet.wait_for(lambda: not fleet.processes(), within_s=5)
    assert not fleet.torn()
    _rest_runs_only(fleet, done, contract)


def test_a_killed_worker_costs_no_other_video_anything(fleet: Fleet) -> None:
    """SIGKILL to a worker: all that it ran is gone, its video runs again, on a new worker."""
    runner, _ = _begin(fleet)
    hanging = [p for p in fleet.processes() if "--videoFolder" in p.cmdline()]
    worker = hanging[0].parent()
    assert worker is not None
    below = worker.children(recursive=True)
    for path in fleet.scripts.glob("slow-*"):
        path.unlink()
    worker.kill()
    _, alive = psutil.wait_procs(below, timeout=5)
    assert not alive
    hanging[1].kill()  # the other one ends as a crash, and runs again as well
    fleet.wait_for(lambda: not psutil.pid_exists(runner) or psutil.Process(runner).status() == "zombie", 30)
    assert set(fleet.outcomes().values()) == {("done", "")}
    assert len(fleet.events("lane_lost")) == 1
    assert not fleet.processes()


def test_a_killed_guard_takes_its_lane_with_it_and_the_run_goes_on(fleet: Fleet) -> None:
    """SIGKILL to the process above the worker: the same."""
    runner, _ = _begin(fleet)
    hanging = [p for p in fleet.processes() if "--videoFolder" in p.cmdline()]
    guard = hanging[0].parents()[1]
    for path in fleet.scripts.glob("slow-*"):
        path.unlink()
    guard.kill()
    _, alive = psutil.wait_procs([hanging[0]], timeout=5)
    assert not alive
    hanging[1].kill()
    fleet.wait_for(lambda: not psutil.pid_exists(runner) or psutil.Process(runner).status() == "zombie", 30)
    assert set(fleet.outcomes().values()) == {("done", "")}
    assert not fleet.processes()


def test_runner_and_worker_killed_at_once(fleet: Fleet) -> None:
    """The guard is left, and ends what they had started."""
    runner, done = _begin(fleet)
    workers = {p.parent().pid for p in fleet.processes() if "--videoFolder" in p.cmdline()}  # type: ignore[union-attr]
    for pid in (runner, *workers):
        os.kill(pid, signal.SIGKILL)
    fleet.wait_for(lambda: not fleet.processes(), within_s=5)
    _rest_runs_only(fleet, done)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part of it is Linux's")
@pytest.mark.parametrize("contract", ["script", "class"])
def test_runner_worker_and_guard_killed_at_once(fleet: Fleet, contract: str) -> None:
    """Attempts and what stayed in their groups are gone; what left its session is ended by the next start."""
    runner, done = _begin(fleet, contract)
    top = psutil.Process(runner)
    guards = top.children()
    workers = [worker for guard in guards for worker in guard.children()]
    attempts = [attempt for worker in workers for attempt in worker.children()]
    groups = {os.getpgid(process.pid) for process in attempts}
    held = [process for process in fleet.processes() if os.getpgid(process.pid) in groups]
    assert len(held) >= 4
    for process in (top, *workers, *guards):
        process.kill()
    _, alive = psutil.wait_procs(held, timeout=5)
    assert not alive
    assert not fleet.torn()
    _rest_runs_only(fleet, done, contract)


@pytest.mark.parametrize("contract", ["script", "class"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_run_in_order(fleet: Fleet, number: signal.Signals, contract: str) -> None:
    """Running attempts get SIGTERM, the report is written, the status tells the signal."""
    runner, done = _begin(fleet, contract)
    os.kill(runner, number)
    process = fleet._started[0]
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 128 + number, output
    assert not fleet.processes()
    assert not fleet.torn()
    states = {name: state for name, (state, _) in fleet.outcomes().items()}
    assert states == {
        "v00.mp4": "done", "v01.mp4": "done", "v02.mp4": "interrupted", "v03.mp4": "interrupted",
        "v04.mp4": "not_started", "v05.mp4": "not_started",
    }  # fmt: skip
    _rest_runs_only(fleet, done, contract)


def test_a_script_that_ignores_sigterm_is_killed_after_its_grace(fleet: Fleet) -> None:
    """--grace is honoured; a second signal needs none."""
    fleet.videos(1)
    script = fleet.script("""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        open(__file__ + ".started", "w").close()
        time.sleep(300)
    """)
    runner = fleet.start("--script", script, "--grace", "0.5")
    fleet.wait_for(lambda: (fleet.scripts / "infer.py.started").exists())
    runner.terminate()
    runner.communicate(timeout=10)
    assert runner.returncode == 143
    assert fleet.outcomes() == {"v00.mp4": ("interrupted", "")}
    assert not fleet.processes()


def test_a_second_signal_ends_at_once(fleet: Fleet) -> None:
    """Nobody waits for a long grace twice."""
    fleet.videos(1)
    script = fleet.script("""
        signal.signal(signal.SIGTERM, lambda *_: open(__file__ + ".asked", "w").close())
        open(__file__ + ".started", "w").close()
        while True:
            time.sleep(1)
    """)
    runner = fleet.start("--script", script, "--grace", "100")
    fleet.wait_for(lambda: (fleet.scripts / "infer.py.started").exists())
    runner.send_signal(signal.SIGINT)
    fleet.wait_for(lambda: (fleet.scripts / "infer.py.asked").exists())
    runner.send_signal(signal.SIGINT)
    runner.communicate(timeout=10)
    assert runner.returncode == 130
    assert not fleet.processes()


def test_a_video_that_waits_for_another_try_when_the_run_ends_keeps_its_attempt(fleet: Fleet) -> None:
    """The report tells of it, and its stage holds nothing, as after any other attempt."""
    fleet.videos(3)
    script = fleet.script("""
        leave("half.txt")
        if stem == "v00":
            sys.exit(3)
        open(os.path.join(os.path.dirname(__file__), "started-" + stem), "w").close()
        time.sleep(300)
    """)
    runner = fleet.start("--devices", "cpu:2", "--schedule", "name", "--grace", "1", "--script", script)
    fleet.wait_for((fleet.scripts / "started-v02").exists)  # in the place of the first, which waits for the other lane
    os.kill(runner.pid, signal.SIGINT)
    output, _ = runner.communicate(timeout=60)
    assert runner.returncode == 130, output
    (first,) = [video for video in fleet.report()["videos"] if video["video"] == "v00.mp4"]
    assert (first["state"], first["reason"]) == ("not_started", "the run ended before it was tried again")
    assert [attempt["kind"] for attempt in first["attempts"]] == ["error"]
    assert first["log"]
    (stage,) = (path for path in (fleet.root / ".vidfleet").glob("v00-*") if path.is_dir())
    assert not list(stage.iterdir())
    assert not list((fleet.root / ".vidfleet").glob("*.claim"))
