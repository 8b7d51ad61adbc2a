"""All that a process started is found and ended, wherever it went. Real processes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from vidfleet.worker.family import MARK, cpu_seconds, end_all, end_marked, is_below, is_stopped

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ENDS_ALL = """
import os, subprocess, sys, time
from vidfleet.worker.family import adopt_orphans, descendants, end_descendants, has_children
adopt_orphans()
child = subprocess.Popen([sys.executable, "-c", '''
import os, subprocess
print(subprocess.Popen(["sleep", "99"], start_new_session=True).pid)
print(subprocess.Popen(["sleep", "99"], env={}, start_new_session=True).pid, flush=True)
'''])
child.wait()
print(sorted(descendants(0)), end_descendants(), has_children(), descendants(0))
"""
"""Two orphans with sessions of their own, one without an environment."""


@pytest.fixture
def sleeper() -> Iterator[psutil.Popen]:
    made = psutil.Popen(["sleep", "99"], env={**os.environ, MARK: f"test-{os.getpid()}:0"}, start_new_session=True)
    yield made
    with contextlib.suppress(psutil.NoSuchProcess):
        made.kill()
    made.wait()


def test_orphans_fall_to_us_and_are_ended() -> None:
    told = subprocess.run([sys.executable, "-c", _ENDS_ALL], capture_output=True, text=True, check=True, timeout=30)
    first, second, summary = told.stdout.splitlines()
    assert summary == f"{sorted([int(first), int(second)])} 2 False set()"
    assert not psutil.pid_exists(int(first))
    assert not psutil.pid_exists(int(second))


def test_what_carries_the_mark_is_ended_and_nothing_else(sleeper: psutil.Popen) -> None:
    assert end_marked(f"test-{os.getpid()}:1") == 0
    assert sleeper.is_running()
    assert end_marked(f"test-{os.getpid()}:0") == 1
    assert sleeper.wait(timeout=5) != 0


def test_below_is_below_at_any_depth(tmp_path: Path) -> None:
    assert not is_below(1)
    assert not is_below(os.getpid())
    code = "import subprocess; c = subprocess.Popen(['sleep', '99']); print(c.pid, flush=True); c.wait()"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        grandchild = int(child.stdout.readline())
        assert is_below(grandchild)
        assert end_all({grandchild}) == 1
    assert not is_below(grandchild)
    assert end_all({grandchild}) == 0


def test_a_stopped_process_is_seen_as_such(sleeper: psutil.Popen) -> None:
    assert not is_stopped(sleeper.pid)
    sleeper.suspend()
    deadline = time.monotonic() + 10
    while not is_stopped(sleeper.pid):
        assert time.monotonic() < deadline
    sleeper.kill()
    sleeper.wait()
    assert not is_stopped(sleeper.pid)
    assert cpu_seconds(sleeper.pid) == 0.0


def test_processor_time_is_that_of_children_too() -> None:
    code = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'while True: pass']).wait()"
    with psutil.Popen([sys.executable, "-c", code]) as busy:
        deadline, seen = time.monotonic() + 60, 0.0
        while seen < 0.5:
            assert time.monotonic() < deadline
            time.sleep(0.05)
            seen = cpu_seconds(busy.pid)
        own = busy.cpu_times()
        end_all({child.pid for child in busy.children()} | {busy.pid})
    assert own.user + own.system < seen
