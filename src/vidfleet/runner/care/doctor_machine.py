"""What ``vidfleet doctor`` finds out about the machine: system, GPUs, the disk below a root."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import vidfleet
from vidfleet.runner.rename import exchange
from vidfleet.runner.text import size
from vidfleet.worker.gpus import installed
from vidfleet.worker.lanes import cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vidfleet.data import Device
    from vidfleet.worker.gpus import GpuMemory, Gpus

_OLDEST_PYTHON = (3, 11)
_LITTLE_MEMORY_BYTES = 2 << 30
_LITTLE_DISK_BYTES = 5 << 30
_FEW_INODES = 100_000
_UNSHARE = "import ctypes,sys; sys.exit(ctypes.CDLL(None).unshare(int(sys.argv[1])) != 0)"
_NEWUSER, _NEWPID = 0x10000000, 0x20000000
_ANSWER_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    part: str
    """The heading that it stands under."""
    name: str
    grade: Literal["ok", "note", "bad"]
    """``note``: runs work without it; ``bad``: they do not."""
    value: str
    mend: str = ""
    """The command that mends it, or what to do; a command a line."""


def examine_system() -> Iterator[Finding]:
    """Python, platform, cores, memory, name spaces."""
    part = "System"
    version = platform.python_version()
    old = sys.version_info < _OLDEST_PYTHON
    yield Finding(part, "vidfleet", "ok", vidfleet.__version__)
    yield Finding(part, "Python", "bad" if old else "ok", f"{version} ({sys.executable})",
                  "make a virtual environment with Python 3.11 or newer" if old else "")  # fmt: skip
    linux = sys.platform == "linux"
    later = "" if linux else "what a killed runner leaves is ended by the next one; on Linux at once"
    yield Finding(part, "platform", "ok" if linux else "note", platform.platform(), later)
    yield Finding(part, "cores", "ok", f"{cores()} of {os.cpu_count()} may be used")
    yield _memory(part)
    if linux:
        yield _name_spaces(part)


def _memory(part: str) -> Finding:
    import psutil

    memory = psutil.virtual_memory()
    limits = [memory.total]
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            limits.append(int(Path("/sys/fs/cgroup", name).read_text("ascii")))
        except (OSError, ValueError):  # no such control group, or "max"
            continue
    total = min(limits)
    limited = " (limited by the control group)" if total < memory.total else ""
    little = min(memory.available, total) < _LITTLE_MEMORY_BYTES
    return Finding(part, "memory", "note" if little else "ok",
                   f"{size(memory.available)} of {size(total)} available{limited}",
                   "run fewer lanes: --devices cpu:1" if little else "")  # fmt: skip


def _name_spaces(part: str) -> Finding:
    """Whether processes may have a process number space of their own, which ends with its first process."""
    wanted = _NEWPID if os.geteuid() == 0 else _NEWUSER | _NEWPID
    try:
        answer = subprocess.run(
            [sys.executable, "-I", "-c", _UNSHARE, str(wanted)], stdin=subprocess.DEVNULL, capture_output=True,
            timeout=_ANSWER_LIMIT_S, check=False,
        )  # fmt: skip
        allowed = answer.returncode == 0
    except (OSError, subprocess.SubprocessError):
        allowed = False
    if allowed:
        return Finding(part, "name spaces", "ok", "processes may have a process number space of their own")
    return Finding(part, "name spaces", "note", "processes may not have a process number space of their own; what a "
                   "script moves to a session of its own is then found by its mark")  # fmt: skip


def examine_gpus(gpus: Gpus | None = None, nodes: Path = Path("/dev")) -> Iterator[Finding]:
    """Each GPU with its driver and memory."""
    part = "GPUs"
    gpus = gpus or installed(stay_open=True)
    devices = gpus.devices()
    for device in devices:
        yield Finding(part, "GPU", "ok", _gpu_in_words(device, gpus.memory(device.visible)))
    if not devices and any(nodes.glob("nvidia[0-9]*")):
        yield Finding(part, "driver", "bad", "there are NVIDIA devices, but the driver does not answer",
                      "nvidia-smi\nIt says why; after an update of the driver, start the machine anew.")  # fmt: skip
    elif not devices:
        yield Finding(part, "driver", "note", "no NVIDIA GPU or no driver: videos run on the processor")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        yield Finding(part, "CUDA_VISIBLE_DEVICES", "note", f"is set to {visible!r}: runs use no other GPUs",
                      "unset CUDA_VISIBLE_DEVICES")  # fmt: skip


def _gpu_in_words(device: Device, memory: GpuMemory | None) -> str:
    total = memory.total_bytes if memory else 0
    room = f", {size(total - memory.used_bytes)} of {size(total)} free" if memory and total else ""
    return f"{device.visible}  {device.name}{room}, driver {device.driver}, {device.uuid}"


def examine_disk(root: Path) -> Iterator[Finding]:
    """Room, and what the file system can do."""
    part = f"Disk of {root}"
    if not root.is_dir():
        yield Finding(part, "folder", "bad", "there is no such folder", f"mkdir -p {shlex.quote(str(root))}")
        return
    yield _room(part, root)
    yield _inodes(part, root)
    try:
        with tempfile.TemporaryDirectory(prefix=".vidfleet-doctor-", dir=root) as made:
            yield from _abilities(part, Path(made))
    except OSError as error:
        yield Finding(part, "writing", "bad", f"nothing can be written here ({error.strerror})",
                      "write elsewhere: --output DIR")  # fmt: skip


def _room(part: str, root: Path) -> Finding:
    usage = shutil.disk_usage(root)
    full = usage.free < _LITTLE_DISK_BYTES
    return Finding(part, "room", "note" if full else "ok", f"{size(usage.free)} of {size(usage.total)} free",
                   f"vidfleet clean {shlex.quote(str(root))}" if full else "")  # fmt: skip


def _inodes(part: str, root: Path) -> Finding:
    status = os.statvfs(root)
    if not status.f_files:
        return Finding(part, "inodes", "ok", "this file system does not count them")
    few = status.f_favail < _FEW_INODES
    return Finding(part, "inodes", "note" if few else "ok", f"{status.f_favail:,} of {status.f_files:,} free",
                   "vidfleet speakers --frames none writes no picture files" if few else "")  # fmt: skip


def _abilities(part: str, folder: Path) -> Iterator[Finding]:
    """Exchange two names, link, link symbolically: tried out."""
    one, other = folder / "one", folder / "other"
    one.mkdir()
    other.mkdir()
    try:
        works = exchange(one, other)
    except OSError:
        works = False
    yield Finding(part, "exchange of names", "ok" if works else "note",
                  "an output replaces an older one in a single step" if works else
                  "not here: old aside, new in; a kill between the two is mended by the next start")  # fmt: skip
    file = folder / "file"
    file.touch()
    linked = _can(lambda: os.link(file, folder / "link"))
    yield Finding(part, "hard links", "ok" if linked else "bad",
                  "there are" if linked else "there are none: two runners cannot be kept apart, videos not claimed",
                  "" if linked else "write to another file system: --output DIR")  # fmt: skip
    symbolic = _can(lambda: (folder / "symbolic").symlink_to("file"))
    yield Finding(part, "symbolic links", "ok" if symbolic else "bad", "there are" if symbolic else "there are none",
                  "" if symbolic else "write to another file system: --output DIR; or --stage-by copy")  # fmt: skip


def _can(act: Callable[[], None]) -> bool:
    try:
        act()
    except OSError:
        return False
    return True
