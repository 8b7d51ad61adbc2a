"""What the kernel says about memory: how often it has ended a process for the lack of it."""

from __future__ import annotations

from pathlib import Path

_VMSTAT = Path("/proc/vmstat")
_OWN_CGROUP = Path("/proc/self/cgroup")
_CGROUPS = Path("/sys/fs/cgroup")


def oom_kills() -> int:
    """How often the kernel's out-of-memory killer struck so far, here and in our cgroup; 0 where nothing tells.

    Only a rise means something: two calls around an attempt.
    """
    return _count(_VMSTAT, "oom_kill") + sum(_count(path, "oom_kill") for path in _event_files())


def _event_files() -> list[Path]:
    """``memory.events`` of our cgroup (version 2), ``memory.oom_control`` (version 1)."""
    files = []
    for line in _read(_OWN_CGROUP).splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0":
            files.append(_CGROUPS / path.lstrip("/") / "memory.events")
        elif "memory" in controllers.split(","):
            files.append(_CGROUPS / "memory" / path.lstrip("/") / "memory.oom_control")
    return files


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
