"""``vidfleet stop``: the one process that works on the root is asked, in a way that it understands."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from vidfleet.runner.care.stop import stop_runs
from vidfleet.runner.ledger import RunFolder
from vidfleet.runner.owner import Owner

if TYPE_CHECKING:
    from pathlib import Path

RUNNER = """
import signal, sys, time
from pathlib import Path
from vidfleet.runner.ledger import RunFolder
def heard(number, _):
    print(signal.Signals(number).name, flush=True)
    sys.exit(0)
for name in sys.argv[2:]:
    signal.signal(getattr(signal, name), heard)
RunFolder.create(Path(sys.argv[1]))
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("drain", "handles", "heard"),
    [
        (False, ("SIGINT", "SIGTERM", "SIGUSR1"), "SIGINT"),
        (True, ("SIGINT", "SIGTERM", "SIGUSR1"), "SIGUSR1"),
        (False, ("SIGTERM",), "SIGTERM"),
    ],
)
def test_a_runner_is_asked_by_a_signal_that_it_handles(
    tmp_path: Path, drain: bool, handles: tuple[str, ...], heard: str
) -> None:
    if "SIGINT" not in handles and sys.platform != "linux":
        pytest.skip("which signals a process handles can only be seen on Linux")
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited, as by a job in the background
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", RUNNER, tmp_path, *handles], stdout=subprocess.PIPE, text=True
        )
    finally:
        signal.signal(signal.SIGINT, before)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    (asked,) = stop_runs(tmp_path, drain=drain)
    assert asked.was_asked
    assert process.communicate(timeout=30)[0] == heard + "\n"
    assert stop_runs(tmp_path, drain=drain) == []


@pytest.mark.skipif(sys.platform != "linux", reason="which signals a process handles can only be seen on Linux")
def test_a_runner_that_would_die_of_the_signal_is_left_alone(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", RUNNER, tmp_path], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    (asked,) = stop_runs(tmp_path, drain=True)
    assert not asked.was_asked
    assert process.poll() is None
    process.kill()
    process.communicate()


def test_a_runner_on_another_host_is_named(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path)
    (run.path / "owner.json").write_text(replace(Owner.me(), host="elsewhere").write())
    (asked,) = stop_runs(tmp_path, drain=True)
    assert not asked.was_asked
    assert "on elsewhere, which is not here: run `vidfleet stop --drain` there" in asked.words


def test_a_dead_runner_is_nobody(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path)
    (run.path / "owner.json").write_text(replace(Owner.me(), start="1").write())
    assert stop_runs(tmp_path, drain=False) == []


@pytest.mark.skipif(sys.platform != "linux", reason="what a process has open can only be seen on Linux")
def test_who_works_on_the_original_is_not_ended_by_a_stop_of_its_copy(tmp_path: Path) -> None:
    """A copy of a folder, made while a run goes on over it, names the same living process."""
    root = tmp_path / "root"
    writes = RUNNER.replace('print("ready"', 'kept = all_runs(Path(sys.argv[1]))[0].ledger.open("ab")\nprint("ready"')
    code = writes.replace("import RunFolder", "import RunFolder, all_runs")
    process = subprocess.Popen([sys.executable, "-c", code, root, "SIGINT"], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    shutil.copytree(root, tmp_path / "copy")
    (asked,) = stop_runs(tmp_path / "copy", drain=False)
    assert not asked.was_asked
    assert "copy" in asked.words
    assert process.poll() is None
    (asked,) = stop_runs(root, drain=False)
    assert asked.was_asked
    assert process.communicate(timeout=30)[0] == "SIGINT\n"
