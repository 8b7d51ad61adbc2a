"""Greedy scripts side by side: none meets the kernel's out-of-memory killer, and none is failed for its greed."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.fleet import Fleet

_MIB = 1 << 20
_GREEDY = """
    held = []
    for _ in range(20):
        held.append(bytearray(os.urandom(1 << 20)) * 10)
        time.sleep(0.2)
    time.sleep(0.5)
    leave()
"""
"""Takes 200 MiB within four seconds: on a busy machine, too, memory is looked at often enough meanwhile."""


def _version_1() -> Path | None:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return Path("/sys/fs/cgroup/memory") / path.lstrip("/")
    return None


@pytest.fixture
def small_machine(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Runs of ``fleet`` in a cgroup of 700 MiB; needs a cgroup of version 1 that can be written, so root."""
    parent = _version_1() if sys.platform == "linux" else None
    group = (parent or Path("/nonexistent")) / f"vidfleet-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(700 * _MIB))
    except OSError:
        pytest.skip("no memory cgroup can be made here")
    start = fleet.start

    def start_inside(*arguments: object, command: str = "run") -> object:
        with contextlib.suppress(OSError):
            (group / "cgroup.procs").write_text(str(os.getpid()))
        try:
            return start(*arguments, command=command)
        finally:
            (parent / "cgroup.procs").write_text(str(os.getpid()))  # type: ignore[operator]  # it is there

    monkeypatch.setattr(fleet, "start", start_inside)
    yield group
    fleet.close()
    for _ in range(100):
        with contextlib.suppress(OSError):
            group.rmdir()
            break
        time.sleep(0.05)


def _kills(group: Path) -> int:
    words = (group / "memory.oom_control").read_text().split()
    return int(words[words.index("oom_kill") + 1])


@pytest.mark.slow
def test_greedy_scripts_are_all_done_and_the_kernel_kills_none(fleet: Fleet, small_machine: Path) -> None:
    """Eight of 200 MiB each where there are 700. What gives way uses up no retry and is said."""
    fleet.videos(8)
    script = fleet.script(_GREEDY)
    result = fleet.run("--script", script, "--devices", "cpu:8", "--memfree", "150M", "--retries", "0")
    assert result.returncode == 0, result.stdout
    assert _kills(small_machine) == 0
    assert "memory is short (" in result.stdout
    assert "interrupted: memory was short, and it was the youngest" in result.stdout
    assert {state for state, _ in fleet.outcomes().values()} == {"done"}


@pytest.mark.slow
def test_without_it_the_kernel_kills(fleet: Fleet, small_machine: Path) -> None:
    """What the test above would be worth nothing without."""
    fleet.videos(8)
    fleet.run("--script", fleet.script(_GREEDY), "--devices", "cpu:8", "--memfree", "0")
    assert _kills(small_machine) > 0


@pytest.mark.slow
def test_what_earlier_runs_have_taken_is_reckoned_with(fleet: Fleet, small_machine: Path) -> None:
    """Then nothing has to be ended: no more begin than fit, and it is said how many."""
    fleet.videos(1)
    script = fleet.script(_GREEDY)
    words = ("--script", script, "--devices", "cpu:8", "--memfree", "100M")
    assert fleet.run(*words).returncode == 0
    fleet.videos(7)
    result = fleet.run(*words)
    assert result.returncode == 0, result.stdout
    assert _kills(small_machine) == 0
    assert "2 at a time: one takes up to 2" in result.stdout
    assert "is ended and runs again" not in result.stdout


def test_all_processes_of_an_attempt_count(fleet: Fleet) -> None:
    """Not only the biggest: three of 60 MiB each are 180."""
    fleet.videos(1)
    script = fleet.script("""
        code = "import time; held = bytearray(60 << 20); time.sleep(2)"
        children = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
        for child in children:
            child.wait()
        leave()
    """)
    assert fleet.run("--script", script, "--devices", "cpu:1").returncode == 0
    record = json.loads((fleet.root / "v00" / "vidfleet.json").read_text())
    assert 180 * _MIB < record["attempts"][0]["peak_memory_bytes"] < 300 * _MIB


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity") or (os.cpu_count() or 1) < 2, reason="needs two cores")
def test_a_thread_that_leaves_its_lanes_cores_is_brought_back(fleet: Fleet) -> None:
    """As ONNX Runtime's do."""
    fleet.videos(2)
    script = fleet.script("""
        mine = os.sched_getaffinity(0)
        os.sched_setaffinity(0, range(os.cpu_count()))
        assert os.sched_getaffinity(0) > mine
        time.sleep(2.5)
        assert os.sched_getaffinity(0) == mine
        leave()
    """)
    result = fleet.run("--script", script, "--devices", "cpu:2")
    assert result.returncode == 0, result.stdout
