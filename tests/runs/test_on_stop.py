"""``--on-stop`` ends what is no process of an attempt's own, however the attempt ends, and harms nobody else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.fleet import Fleet

_SERVICE = """
    # A service that somebody else has started: asked by a file, it starts a process and writes its number down.
    import os, subprocess, sys, time
    while True:
        for name in os.listdir("."):
            if name.endswith(".wanted"):
                os.remove(name)
                made = subprocess.Popen(["sleep", "300"])
                with open(name[:-7] + ".part", "w") as file:
                    file.write(str(made.pid))
                os.rename(name[:-7] + ".part", name[:-7] + ".pid")
        time.sleep(0.02)
"""
_ASKS = """
    here = os.path.dirname(os.path.abspath(__file__))
    def asked(name):
        return os.path.exists(os.path.join(here, name))
    if not asked(stem + ".pid"):
        open(os.path.join(here, stem + ".wanted"), "w").close()
        while not asked(stem + ".pid"):
            time.sleep(0.02)
    if asked("hang"):
        time.sleep(300)
    if asked("fail"):
        sys.exit(3)
    leave()
"""
_ENDS = """
    import os, signal, sys
    name, run = sys.argv[1] + ".pid", os.environ["VIDFLEET_MARK"]
    print("asked to end", sys.argv[1])
    with open(name) as file:
        os.kill(int(file.read()), signal.SIGKILL)
    os.rename(name, sys.argv[1] + ".ended")
"""


class Service:
    """The service, and what it has started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "service.py").write_text(textwrap.dedent(_SERVICE))
        (folder / "ends.py").write_text(textwrap.dedent(_ENDS))
        self._process = subprocess.Popen([sys.executable, "service.py"], cwd=folder)
        self.command = f"{sys.executable} {folder / 'ends.py'} {{stem}}"

    def alive(self) -> list[psutil.Process]:
        """What it has started and nobody has ended."""
        below = psutil.Process(self._process.pid).children()
        return [process for process in below if process.status() != psutil.STATUS_ZOMBIE]

    def close(self) -> None:
        for process in self.alive():
            process.kill()
        self._process.kill()
        self._process.wait()


@pytest.fixture
def service(fleet: Fleet) -> Iterator[Service]:
    made = Service(fleet.scripts)
    yield made
    made.close()


def _words(fleet: Fleet, service: Service, *more: str) -> tuple[str, ...]:
    script = str(fleet.script(_ASKS))
    return ("--devices", "cpu:1", "--on-stop", service.command, "--script", script, *more)


@pytest.mark.parametrize(
    ("trouble", "more", "kind"),
    [("fail", ("--retries", "0"), "error"), ("hang", ("--timeout", "1", "--grace", "1"), "timeout")],
)
def test_what_an_attempt_started_elsewhere_ends_with_it(
    fleet: Fleet, service: Service, trouble: str, more: tuple[str, ...], kind: str
) -> None:
    """The command ran before each new try, and its output stands in the video's log."""
    video = fleet.video("a.mp4")
    (fleet.scripts / trouble).touch()
    result = fleet.run(*_words(fleet, service, *more))
    assert result.returncode == 1, result.stdout
    assert fleet.outcomes() == {"a.mp4": ("failed", kind)}
    assert not service.alive()
    attempts = len(fleet.events("attempt_started"))
    log = next((fleet.root / ".vidfleet/runs").glob("*/logs/a.mp4.log")).read_text()
    assert log.count("asked to end a") == attempts == (2 if kind == "timeout" else 1)
    assert not fleet.whole(video)


def test_a_video_that_is_done_keeps_what_it_started(fleet: Fleet, service: Service) -> None:
    fleet.video("a.mp4")
    assert fleet.run(*_words(fleet, service)).returncode == 0
    assert len(service.alive()) == 1


def test_an_interrupted_run_ends_it_too(fleet: Fleet, service: Service) -> None:
    fleet.video("a.mp4")
    (fleet.scripts / "hang").touch()
    runner = fleet.start(*_words(fleet, service))
    fleet.wait_for(service.alive)
    runner.send_signal(signal.SIGTERM)
    assert runner.wait(20) == 143
    assert not service.alive()
    assert fleet.outcomes() == {"a.mp4": ("interrupted", "")}


def test_what_a_killed_runner_left_is_ended_by_the_next_one_and_by_its_own_command_alone(
    fleet: Fleet, service: Service
) -> None:
    """Before anything runs; of the dead run only the video's name counts."""
    fleet.video("a.mp4")
    (fleet.scripts / "hang").touch()
    runner = fleet.start(*_words(fleet, service))
    fleet.wait_for(service.alive)
    os.kill(runner.pid, signal.SIGKILL)
    fleet.wait_for(lambda: not fleet.processes(), within_s=5)
    assert service.alive(), "it is no descendant of the run"
    (fleet.scripts / "hang").unlink()
    again = fleet.run(*_words(fleet, service))
    assert again.returncode == 0, again.stdout
    assert "--on-stop was run for 1 attempt of a killed run" in again.stdout
    assert (fleet.scripts / "a.ended").exists()
    assert len(service.alive()) == 1, "the new one's own"


def test_ctrl_c_does_not_wait_for_it_and_the_next_start_calls_it_again(fleet: Fleet) -> None:
    """What a killed runner left is not forgotten because somebody lost patience."""
    fleet.video("a.mp4")
    script = fleet.script("time.sleep(300 if not os.path.exists('go') else 0)\nleave()")
    words = ("--devices", "cpu:1", "--script", str(script))
    runner = fleet.start(*words)
    fleet.wait_for(lambda: (fleet.root / ".vidfleet/runs").exists() and fleet.events("attempt_started"))
    os.kill(runner.pid, signal.SIGKILL)
    fleet.wait_for(lambda: not fleet.processes(), within_s=5)
    called = fleet.scripts / "called"
    hanging = fleet.start(*words, "--on-stop", f"sh -c 'echo x >> {called}; sleep 300'")
    fleet.wait_for(called.exists)
    hanging.send_signal(signal.SIGTERM)
    assert hanging.wait(10) == 143
    fleet.wait_for(lambda: not fleet.processes(), within_s=5)
    (fleet.scripts / "go").touch()
    again = fleet.run(*words, "--on-stop", f"sh -c 'echo x >> {called}'")
    assert again.returncode == 0, again.stdout
    assert called.read_text() == "x\nx\n"


@pytest.mark.parametrize("command", ["false", "no-such-program {stem}", "sh -c 'kill -9 $$'"])
def test_a_command_that_fails_is_told_and_changes_no_video(fleet: Fleet, command: str) -> None:
    fleet.video("a.mp4")
    fleet.video("b.mp4")
    script = fleet.script("sys.exit(3) if stem == 'a' else leave()")
    command = command.replace("no-such-program", str(fleet.scripts / "no-such-{stem}"))
    result = fleet.run("--devices", "cpu:1", "--retries", "0", "--on-stop", command, "--script", script)
    assert fleet.outcomes() == {"a.mp4": ("failed", "error"), "b.mp4": ("done", "")}
    assert "--on-stop failed for a.mp4" in result.stdout


@pytest.mark.parametrize("command", ["", "'", "no-such-program-anywhere"])
def test_a_command_that_cannot_run_is_refused_before_anything_runs(fleet: Fleet, command: str) -> None:
    fleet.video("a.mp4")
    result = fleet.run("--on-stop", command, "--script", fleet.script("leave()"))
    assert result.returncode == 2
    assert "--on-stop" in result.stdout
    assert not (fleet.root / ".vidfleet").exists()
