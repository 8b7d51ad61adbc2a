"""The kernel's counts of out-of-memory kills are read wherever this process's cgroup keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vidfleet.worker import memory as module
from vidfleet.worker.memory import HostMemory, host_memory, oom_kills

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty system, to be filled."""
    monkeypatch.setattr(module, "_VMSTAT", tmp_path / "vmstat")
    monkeypatch.setattr(module, "_OWN_CGROUP", tmp_path / "own")
    monkeypatch.setattr(module, "_MEMINFO", tmp_path / "meminfo")
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


_MACHINE = "MemTotal:       16777216 kB\nMemFree:  1 kB\nMemAvailable:    8388608 kB\nHugePages_Total:       0\n"


def test_the_machines_memory_where_no_cgroup_limits_it(system: Path) -> None:
    assert host_memory() is None
    _write(system / "meminfo", _MACHINE)
    assert host_memory() == HostMemory(16 << 30, 8 << 30)
    _write(system / "own", "4:memory:/\n0::/\n")
    _write(system / "cgroups/memory/memory.limit_in_bytes", "9223372036854771712\n")
    _write(system / "cgroups/memory.max", "max\n")
    assert host_memory() == HostMemory(16 << 30, 8 << 30)


@pytest.mark.parametrize(
    ("own", "names", "inactive"),
    [
        ("0::/jobs/mine\n", ("jobs/memory.max", "jobs/memory.current", "jobs/memory.stat"), "inactive_file"),
        (
            "4:cpu,memory:/jobs/mine\n",
            ("memory/jobs/memory.limit_in_bytes", "memory/jobs/memory.usage_in_bytes", "memory/jobs/memory.stat"),
            "total_inactive_file",
        ),
    ],
)
def test_a_cgroups_limit_counts_where_it_leaves_less_also_one_above_ours(
    system: Path, own: str, names: tuple[str, str, str], inactive: str
) -> None:
    """Files that were read a while ago are given back on demand: they are available."""
    _write(system / "meminfo", _MACHINE)
    _write(system / "own", own)
    for name, text in zip(names, (f"{4 << 30}\n", f"{3 << 30}\n", f"cache 5\n{inactive} {1 << 30}\n"), strict=True):
        _write(system / "cgroups" / name, text)
    assert host_memory() == HostMemory(4 << 30, 2 << 30)
    _write(system / "cgroups" / names[1], f"{9 << 30}\n")
    assert host_memory() == HostMemory(4 << 30, 0)
