"""An attempt's output, kept at head and tail: a script that prints a gigabyte fills no disk and no memory."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

HEAD_BYTES = 4 << 20
TAIL_BYTES = 1 << 20
_LAST_LINES_BYTES = 8 << 10
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


class CappedLog:
    """Appends to a file up to ``HEAD_BYTES`` of one attempt; of what follows, the last ``TAIL_BYTES``."""

    def __init__(self, path: Path | str) -> None:
        try:
            self._file = os.open(path, _APPEND, 0o666)
        except FileNotFoundError:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, _APPEND, 0o666)
        self._room = HEAD_BYTES
        self._tail = bytearray()
        self._dropped = 0
        self._last = bytearray()

    def write(self, data: bytes) -> None:
        """Take the next bytes, whatever they are."""
        self._last += data[-_LAST_LINES_BYTES:]
        del self._last[:-_LAST_LINES_BYTES]
        head, rest = data[: self._room], data[self._room :]
        if head:
            self._put(head)
            self._room -= len(head)
        if rest:
            self._tail += rest
            surplus = max(len(self._tail) - TAIL_BYTES, 0)
            self._dropped += surplus
            del self._tail[:surplus]

    def last_lines(self, count: int = 12) -> str:
        """The end of what was written, as text; bytes that are no UTF-8 are shown escaped."""
        lines = bytes(self._last).decode("utf-8", "backslashreplace").splitlines()
        return "\n".join(line[:500] for line in lines[-count:])

    def close(self) -> None:
        """Write what was kept of the end."""
        if self._dropped:
            self._put(f"\n... {self._dropped} bytes left out here ...\n".encode())
        if self._tail:
            self._put(self._tail)
        os.close(self._file)

    def _put(self, data: bytes | bytearray) -> None:
        # A full disk must not end the attempt: its last lines are kept in memory all the same.
        with contextlib.suppress(OSError):
            os.write(self._file, data)
