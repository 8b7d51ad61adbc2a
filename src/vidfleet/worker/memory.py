"""What the kernel says about memory: how much there is, and how often it has ended a process for the lack of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_VMSTAT = Path("/proc/vmstat")
_MEMINFO = Path("/proc/meminfo")
_OWN_CGROUP = Path("/proc/self/cgroup")
_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class HostMemory:
    """The memory that processes of ours may have: the machine's, or less where a cgroup sets a limit."""

    total_bytes: int
    available_bytes: int
    """What could be had now without anybody being ended: caches count as free."""


def host_memory() -> HostMemory | None:
    """How much there is now; None where nothing tells (macOS). Takes about 0.1 ms."""
    lines = (line.split() for line in _read(_MEMINFO).splitlines())
    told = {words[0]: int(words[1]) << 10 for words in lines if len(words) == 3 and words[1].isdecimal()}
    if "MemTotal:" not in told or "MemAvailable:" not in told:
        return None
    total, available = told["MemTotal:"], told["MemAvailable:"]
    for folder, is_second in _folders():
        limit, used = _limit(folder, is_second=is_second)
        if limit is not None and limit < told["MemTotal:"]:
            total, available = min(total, limit), min(available, max(limit - used, 0))
    return HostMemory(total, available)


def _limit(folder: Path, *, is_second: bool) -> tuple[int | None, int]:
    """A cgroup's limit and what counts against it now; files that were read a while ago are given back on demand."""
    names = ("memory.max", "memory.current") if is_second else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    limit, used = (_read(folder / name).strip() for name in names)
    if not limit.isdecimal() or not used.isdecimal():
        return None, 0
    name = "inactive_file" if is_second else "total_inactive_file"
    return int(limit), int(used) - _count(folder / "memory.stat", name)


def _folders() -> Iterator[tuple[Path, bool]]:
    """Our cgroup's folder and each above it, as each may have a limit; and whether it is of version 2.

    In a container the path may be the host's, of which only the beginning is there.
    """
    for number, controllers, path in _own_cgroups():
        is_second = number == "0"
        if is_second or "memory" in controllers.split(","):
            top = _CGROUPS if is_second else _CGROUPS / "memory"
            mine = Path(path.lstrip("/"))
            yield from ((top / folder, is_second) for folder in (mine, *mine.parents))


def oom_kills() -> int:
    """How often the kernel's out-of-memory killer struck so far, here and in our cgroup; 0 where nothing tells.

    Only a rise means something: two calls around an attempt.
    """
    return _count(_VMSTAT, "oom_kill") + sum(_count(path, "oom_kill") for path in _event_files())


def _event_files() -> list[Path]:
    """``memory.events`` of our cgroup (version 2), ``memory.oom_control`` (version 1)."""
    files = []
    for number, controllers, path in _own_cgroups():
        if number == "0":
            files.append(_CGROUPS / path.lstrip("/") / "memory.events")
        elif "memory" in controllers.split(","):
            files.append(_CGROUPS / "memory" / path.lstrip("/") / "memory.oom_control")
    return files


def _own_cgroups() -> Iterator[tuple[str, str, str]]:
    """Number, controllers and path of each hierarchy that we are in."""
    for line in _read(_OWN_CGROUP).splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        yield number, controllers, path


def _count(path: Path, name: str) -> int:
    for line in _read(path).splitlines():
        words = line.split()
        if len(words) == 2 and words[0] == name and words[1].isdecimal():
            return int(words[1])
    return 0


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
