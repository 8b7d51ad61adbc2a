"""A worker that hangs is ended; one that merely stands still together with everything else is not."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from vidfleet.data import Device, Lane
from vidfleet.executors import local
from vidfleet.executors.base import Lost
from vidfleet.executors.local import LocalExecutor
from vidfleet.worker.messages import Finished, Ready, Start
from vidfleet.workloads.base import Program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vidfleet.executors.base import LaneEvent

LANE = Lane(0, Device("cpu", ""), threads=1)
SILENCE_S = 2.0


@pytest.fixture
def executor() -> Iterator[LocalExecutor]:
    """One open lane, whose worker is awake."""
    made = LocalExecutor(silence_s=SILENCE_S)
    made.open((LANE,), f"silence-{os.getpid()}")
    assert isinstance(_next(made).message, Ready)
    yield made
    made.close()


def _next(executor: LocalExecutor) -> LaneEvent:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if events := executor.wait(None):
            return events[0]
    raise AssertionError("nothing was heard")


def _start(executor: LocalExecutor, code: str, tmp_path: Path) -> None:
    program = Program((sys.executable, "-c", code), str(tmp_path))
    executor.start(LANE, Start("a", program, str(tmp_path / "log"), timeout_s=None, grace_s=0.3))


def _told(tmp_path: Path) -> list[psutil.Process]:
    """The processes whose numbers the attempt has printed."""
    log, deadline = tmp_path / "log", time.monotonic() + 15
    while not (log.exists() and log.read_text().endswith("\n")):  # it says a line in several writes
        assert time.monotonic() < deadline, "the attempt has said nothing"
        time.sleep(0.02)
    return [psutil.Process(int(word)) for word in log.read_text().split()]


_WITH_CHILD = """
import os, subprocess, time
child = subprocess.Popen(["sleep", "99"], start_new_session=True)
print(child.pid, os.getpid(), os.getppid(), flush=True)
time.sleep(60)
"""


def test_a_worker_that_hangs_is_ended_with_all_that_it_ran(executor: LocalExecutor, tmp_path: Path) -> None:
    """Also what had moved to a session of its own; the lane takes the next attempt."""
    _start(executor, _WITH_CHILD, tmp_path)
    processes = _told(tmp_path)
    processes[-1].suspend()
    event = _next(executor)
    assert event.message == Lost("a", "its worker said nothing for 2 s")
    _, alive = psutil.wait_procs(processes, timeout=5)
    assert not alive
    _start(executor, "pass", tmp_path)
    assert [type(_next(executor).message) for _ in range(2)] == [Ready, Finished]


def test_an_attempt_that_is_silent_is_not_its_workers_silence(executor: LocalExecutor, tmp_path: Path) -> None:
    """It says nothing for longer, and ends as it likes."""
    _start(executor, f"import time; time.sleep({SILENCE_S + 1.5})", tmp_path)
    assert isinstance(_next(executor).message, Finished)


def test_time_in_which_everything_stands_still_does_not_count(executor: LocalExecutor, tmp_path: Path) -> None:
    """Runner, guard, worker and attempt stopped and continued: as if nothing had been."""
    _start(executor, "import os, time; print(os.getpid(), os.getppid(), flush=True); time.sleep(2)", tmp_path)
    attempt, worker = _told(tmp_path)
    guard = worker.parent()
    assert guard is not None
    for process in (guard, worker, attempt):
        process.suspend()
    counting = time.monotonic() + 0.6
    while time.monotonic() < counting:
        assert executor.wait(0.1) == []
    time.sleep(SILENCE_S + 0.5)  # this process stands still too
    assert executor.wait(0) == []
    for process in (guard, worker, attempt):
        process.resume()
    assert isinstance(_next(executor).message, Finished)


def test_a_guard_that_hangs_too_is_ended(executor: LocalExecutor, tmp_path: Path) -> None:
    """Then what they ran is found by its mark."""
    _start(executor, _WITH_CHILD, tmp_path)
    processes = _told(tmp_path)
    guard = processes[-1].parent()
    assert guard is not None
    for process in (guard, processes[-1]):
        os.kill(process.pid, signal.SIGSTOP)
    assert isinstance(_next(executor).message, Lost)
    _, alive = psutil.wait_procs([guard, *processes], timeout=5)
    assert not alive


def test_a_worker_that_hangs_does_not_keep_a_run_from_ending(
    executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told to end its attempt, it must answer sooner than it must speak otherwise; one that answers has its grace."""
    monkeypatch.setattr(local, "_ANSWER_S", 0.8)
    _start(executor, _WITH_CHILD, tmp_path)
    processes = _told(tmp_path)
    processes[-1].suspend()
    executor.wait(0.1)  # what it had said before
    executor.cancel(LANE, 60.0)
    executor.cancel(LANE, 0.0)
    assert _next(executor).message == Lost("a", "its worker said nothing for 0.8 s")
    _, alive = psutil.wait_procs(processes, timeout=5)
    assert not alive


def test_a_worker_that_answers_has_all_the_grace_it_was_given(
    executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_ANSWER_S", 0.15)
    code = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1), print('saved'), sys.exit(0)))\n"
        "print(os.getpid(), flush=True)\ntime.sleep(60)"
    )
    _start(executor, code, tmp_path)
    _told(tmp_path)
    executor.cancel(LANE, 30.0)
    assert not isinstance(_next(executor).message, Lost)
    assert "saved" in (tmp_path / "log").read_text()
