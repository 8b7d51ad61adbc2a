"""What every executor promises: lanes that start, tell, end and clean up. A new executor is a new row."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.page_cache import is_in_memory, write_cold
from vidfleet.data import Device, Lane
from vidfleet.errors import UsageError
from vidfleet.executors.base import Executor, Ground, LaneEvent, Lost, Told, make_executor
from vidfleet.settings import RunSettings
from vidfleet.worker.messages import Failed, Finished, Ready, Start
from vidfleet.workloads.base import Program

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.support.ray_cluster import RayCluster

LANES = tuple(Lane(index, Device("gpu", str(index)), threads=1) for index in range(2))


@pytest.fixture(scope="module", params=["local", pytest.param("ray", marks=pytest.mark.ray)])
def settings(request: pytest.FixtureRequest) -> RunSettings:
    """Two lanes, with a GPU each."""
    if request.param == "local":
        return RunSettings(num_gpus=2)
    cluster: RayCluster = request.getfixturevalue("ray_cluster")
    return RunSettings(executor=request.param, address=cluster.address, num_gpus=2)


@dataclass
class Opened:
    """Two open lanes, which all tests use one after the other; whoever closes them leaves none."""

    executor: Executor | None = None

    def close(self) -> None:
        if self.executor:
            self.executor.close()
        self.executor = None


@pytest.fixture(scope="module")
def opened(settings: RunSettings) -> Iterator[Opened]:
    """Nothing as yet: the first test opens them."""
    made = Opened()
    yield made
    made.close()


@pytest.fixture
def executor(opened: Opened, settings: RunSettings, tmp_path: Path) -> Executor:
    """Two open lanes, both idle, and nothing to be heard of what was before."""
    opened.executor = opened.executor or _open(settings, tmp_path)
    while _told(opened.executor.wait(0)):
        pass
    return opened.executor


def _open(settings: RunSettings, tmp_path: Path) -> Executor:
    token = tmp_path / "token"
    token.write_text("in no other")
    made = make_executor(settings)
    lanes = made.lanes(settings).lanes
    assert [lane.device.visible for lane in lanes] == ["0", "1"]
    opened = made.open(lanes, f"contract-{os.getpid()}", Ground(tmp_path, tmp_path, token, b"in no other", ()))
    assert len(opened) == 2
    return made


def _start(executor: Executor, lane: Lane, code: str, tmp_path: Path, timeout_s: float | None = None) -> None:
    program = Program((sys.executable, "-c", code), str(tmp_path))
    log = str(tmp_path / f"{lane.index}.log")
    executor.start(lane, Start(f"a{lane.index}", program, log, timeout_s=timeout_s, grace_s=0.3))


def _hear(executor: Executor, count: int, *, within_s: float = 15.0) -> list[LaneEvent]:
    deadline, heard = time.monotonic() + within_s, list[LaneEvent]()
    while len(heard) < count:
        assert time.monotonic() < deadline, "nothing was heard"
        heard += _told(executor.wait(0.2))
    return heard


def _told(events: Sequence[LaneEvent | Told]) -> list[LaneEvent]:
    return [event for event in events if isinstance(event, LaneEvent) and not isinstance(event.message, Ready)]


def _next(executor: Executor) -> LaneEvent:
    (event,) = _hear(executor, 1)
    return event


def test_a_lane_sees_its_own_device(executor: Executor, tmp_path: Path) -> None:
    """And the two run at the same time."""
    for lane in LANES:
        _start(executor, lane, "import os, time; time.sleep(0.5); print(os.environ['CUDA_VISIBLE_DEVICES'])", tmp_path)
    assert {event.lane.index for event in _hear(executor, 2)} == {0, 1}
    assert [(tmp_path / f"{i}.log").read_text().strip() for i in range(2)] == ["0", "1"]


@pytest.mark.parametrize(
    ("code", "kind", "status", "number"),
    [
        ("print('fine')", Finished, 0, None),
        ("import sys; sys.exit(3)", Failed, 3, None),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", Failed, None, signal.SIGSEGV),
    ],
)
def test_an_end_is_told_with_its_evidence(
    executor: Executor, tmp_path: Path, code: str, kind: type, status: int | None, number: int | None
) -> None:
    """Exit status or signal, never both."""
    _start(executor, LANES[0], code, tmp_path)
    message = _next(executor).message
    assert isinstance(message, Finished | Failed)
    assert isinstance(message, kind)
    assert (message.attempt, message.evidence.exit_status, message.evidence.signal) == ("a0", status, number)


def test_a_time_limit_ends_an_attempt(executor: Executor, tmp_path: Path) -> None:
    """Told as such."""
    _start(executor, LANES[0], "import time; time.sleep(60)", tmp_path, timeout_s=0.3)
    message = _next(executor).message
    assert isinstance(message, Failed)
    assert message.evidence.timed_out


def test_an_attempt_can_be_cancelled(executor: Executor, tmp_path: Path) -> None:
    """The lane takes the next one."""
    _start(executor, LANES[0], "import time; time.sleep(60)", tmp_path)
    executor.cancel(LANES[0], 1.0)
    message = _next(executor).message
    assert isinstance(message, Failed)
    assert message.evidence.cancelled
    _start(executor, LANES[0], "pass", tmp_path)
    assert isinstance(_next(executor).message, Finished)


def test_an_attempt_can_be_paused_and_goes_on(executor: Executor, tmp_path: Path) -> None:
    """Stopped time counts for no limit."""
    _start(executor, LANES[0], "import time; print(1, flush=True); time.sleep(0.3)", tmp_path, timeout_s=1.5)
    log = tmp_path / "0.log"
    while not (log.exists() and log.read_text().endswith("\n")):
        time.sleep(0.02)
    executor.pause(LANES[0])
    time.sleep(2.5)
    assert not _told(executor.wait(0))
    executor.resume(LANES[0])
    assert isinstance(_next(executor).message, Finished)


def test_a_program_that_cannot_be_started_is_a_failure_not_a_death(executor: Executor, tmp_path: Path) -> None:
    """The lane stays."""
    program = Program(("/no/such/program",), str(tmp_path))
    executor.start(LANES[0], Start("x", program, str(tmp_path / "x.log"), timeout_s=None, grace_s=1.0))
    message = _next(executor).message
    assert isinstance(message, Failed)
    assert "/no/such/program" in message.evidence.message
    _start(executor, LANES[0], "pass", tmp_path)
    assert isinstance(_next(executor).message, Finished)


def test_a_dead_worker_is_told_and_replaced(executor: Executor, tmp_path: Path) -> None:
    """What it ran is gone, and the lane takes the next one."""
    _start(
        executor, LANES[0], "import os, time; print(os.getpid(), os.getppid(), flush=True); time.sleep(60)", tmp_path
    )
    log = tmp_path / "0.log"
    while not (log.exists() and log.read_text().endswith("\n")):
        time.sleep(0.02)
    attempt, worker = map(int, log.read_text().split())
    os.kill(worker, signal.SIGKILL)
    event = _next(executor)
    assert isinstance(event.message, Lost)
    assert (event.message.attempt, event.lane.index) == ("a0", 0)
    assert not psutil.pid_exists(attempt)
    _start(executor, LANES[0], "pass", tmp_path)
    assert isinstance(_next(executor).message, Finished)


def test_wake_ends_a_wait(executor: Executor) -> None:
    """As a signal handler needs it."""
    while executor.wait(1.0):
        pass
    executor.wake()
    assert list(executor.wait(None)) == []


def test_closing_ends_everything(executor: Executor, opened: Opened, tmp_path: Path) -> None:
    """Also what had moved to a session of its own."""
    code = "import subprocess, time; print(subprocess.Popen(['sleep', '99'], start_new_session=True).pid, flush=True)"
    _start(executor, LANES[0], code + "; time.sleep(60)", tmp_path)
    log = tmp_path / "0.log"
    while not (log.exists() and log.read_text().endswith("\n")):
        time.sleep(0.02)
    opened.close()
    assert not psutil.pid_exists(int(log.read_text()))


def test_an_unknown_executor_lists_the_known_ones() -> None:
    """By name."""
    with pytest.raises(UsageError, match="local"):
        make_executor(RunSettings(executor="lokal"))


@pytest.mark.skipif(sys.platform != "linux", reason="asked for on Linux only")
def test_the_ends_of_a_video_that_comes_are_read(executor: Executor, tmp_path: Path) -> None:
    """The first 4 MiB and the last one; what lies between is not."""
    video, size = tmp_path / "a.mp4", 48 << 20
    write_cold(video, size)
    executor.read_ahead(LANES[0], str(video))
    deadline = time.monotonic() + 10
    while not all(is_in_memory(video, offset) for offset in (0, (4 << 20) - 4096, size - (1 << 20), size - 4096)):
        assert time.monotonic() < deadline, "it was not read"
        time.sleep(0.05)
    assert not is_in_memory(video, 24 << 20)


def test_a_hint_that_is_of_no_use_harms_no_attempt(executor: Executor, tmp_path: Path) -> None:
    """No such file, a folder, a pipe that nobody writes into."""
    os.mkfifo(tmp_path / "pipe")
    for name in ("nothing", ".", "pipe", "zero\0byte"):
        executor.read_ahead(LANES[0], f"{tmp_path}/{name}")
    _start(executor, LANES[0], "print('fine')", tmp_path)
    for name in ("nothing", ".", "pipe"):
        executor.read_ahead(LANES[0], f"{tmp_path}/{name}")
    assert isinstance(_next(executor).message, Finished)
