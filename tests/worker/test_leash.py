"""What a worker holds ends with it, whatever ends the worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part of it is Linux's")

_HOLDER = """
import subprocess, sys, time
from vidfleet.worker.leash import Leash

leash = Leash()
apart = {{"start_new_session": True, "stdout": subprocess.DEVNULL}}
first = subprocess.Popen(["sleep", "300"], **apart)
second = subprocess.Popen(["sh", "-c", "sleep 300 & sleep 300; true"], **apart)
leash.hold(first.pid)
leash.hold(second.pid)
{then}
time.sleep(0.2)
print(first.pid, second.pid, flush=True)
time.sleep(300)
"""


def _holder(tmp_path: Path, then: str = "") -> tuple[subprocess.Popen[bytes], psutil.Process, list[psutil.Process]]:
    """Start a process that has held two groups, of which it holds the second."""
    script = tmp_path / "holder.py"
    script.write_text(_HOLDER.format(then=then))
    holder = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    with holder.stdout:
        first, second = map(psutil.Process, map(int, holder.stdout.readline().split()))
    return holder, first, [second, *second.children()]


def _end(holder: subprocess.Popen[bytes], processes: list[psutil.Process]) -> None:
    holder.kill()
    holder.wait()
    for process in processes:
        if process.is_running():
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_group_that_is_held_ends_with_its_holder_and_no_other(tmp_path: Path, number: int) -> None:
    holder, first, held = _holder(tmp_path)
    try:
        assert len(held) >= 3
        os.kill(holder.pid, number)
        holder.wait()
        _, alive = psutil.wait_procs(held, timeout=5)
        assert not alive
        assert first.is_running()
    finally:
        _end(holder, [first, *held])


def test_what_is_let_go_lives_on(tmp_path: Path) -> None:
    holder, first, held = _holder(tmp_path, "leash.close()")
    try:
        holder.kill()
        holder.wait()
        time.sleep(0.3)
        assert all(process.is_running() for process in held)
    finally:
        _end(holder, [first, *held])
