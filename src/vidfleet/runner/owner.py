"""Who runs: enough about a process to tell later, from another one, whether it still lives."""

from __future__ import annotations

import json
import os
import socket
import sys
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Owner:
    """A process on a host."""

    host: str
    boot: str
    """Names the time between two starts of the machine; with it the process numbers' name space."""
    pid: int
    start: str
    """When the process started, as the system counts it: process numbers are used again."""

    @classmethod
    def me(cls) -> Owner:
        """The calling process."""
        return cls(socket.gethostname(), _boot(), os.getpid(), _start_of(os.getpid()))

    @classmethod
    def read(cls, text: str) -> Owner:
        """Read what :meth:`write` wrote; raises ValueError where it is anything else."""
        try:
            plain = json.loads(text)
            return cls(str(plain["host"]), str(plain["boot"]), int(plain["pid"]), str(plain["start"]))
        except (KeyError, TypeError, OverflowError, RecursionError) as error:
            raise ValueError(f"no owner: {text[:200]!r}") from error

    def write(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self)) + "\n"

    def alive(self) -> bool | None:
        """Whether the process still lives; None where that cannot be told from here (another host)."""
        if self.host != socket.gethostname():
            return None
        here = _boot()
        if self.boot == here:
            return self.start != "" and _start_of(self.pid) == self.start
        # Another name space of the same start of the machine is another container: its processes are not ours
        # to see. Another start of the machine has ended them all.
        return None if self.boot.partition("/")[0] == here.partition("/")[0] else False


def _boot() -> str:
    if sys.platform == "linux":
        name_space = Path("/proc/self/ns/pid").readlink()
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip() + f"/{name_space}"
    import psutil

    return f"{psutil.boot_time():.0f}"


def _start_of(pid: int) -> str:
    """When a process started; empty where there is none, or only what is left of one."""
    if sys.platform == "linux":
        try:
            # The name stands in brackets and may hold anything; behind it, field 3 is the state.
            words = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        except (OSError, ValueError):
            return ""
        return "" if words[0] in (b"Z", b"X") else words[19].decode("ascii")
    import psutil

    try:
        return f"{psutil.Process(pid).create_time():.2f}"
    except psutil.Error:
        return ""
