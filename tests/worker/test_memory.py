"""The kernel's counts of out-of-memory kills are read wherever this process's cgroup keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vidfleet.worker import memory as module
from vidfleet.worker.memory import oom_kills

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty system, to be filled."""
    monkeypatch.setattr(module, "_VMSTAT", tmp_path / "vmstat")
    monkeypatch.setattr(module, "_OWN_CGROUP", tmp_path / "own")
    monkeypatch.setattr(module, "_CGROUPS", tmp_path / "cgroups")
    return tmp_path


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_where_nothing_tells_there_were_none(system: Path) -> None:
    assert oom_kills() == 0


@pytest.mark.parametrize(
    ("own", "file"),
    [
        ("0::/jobs/mine\n", "jobs/mine/memory.events"),
        ("9:name=x:/\n4:cpu,memory:/jobs/mine\n", "memory/jobs/mine/memory.oom_control"),
    ],
)
def test_the_machines_and_the_cgroups_own_count(system: Path, own: str, file: str) -> None:
    """Of both versions; a count that is no number counts for nothing."""
    _write(system / "own", own)
    _write(system / "vmstat", "nr_free_pages 12\noom_kill 3\npgfault 9\n")
    assert oom_kills() == 3
    _write(system / "cgroups" / file, "oom_kill_disable 0\noom 9\noom_kill 2\n")
    assert oom_kills() == 5
    _write(system / "cgroups" / file, "oom_kill many\n")
    assert oom_kills() == 3
