"""Waking somebody who waits, from a signal handler too."""

from __future__ import annotations

import contextlib
import os
import select


class Bell:
    """A pipe to oneself. An event of ``threading`` takes a lock, which its own signal handler might wait for."""

    def __init__(self) -> None:
        self._heard, self._rung = os.pipe()
        os.set_blocking(self._heard, False)
        os.set_blocking(self._rung, False)

    def ring(self) -> None:
        """Wake whoever waits, now or next."""
        with contextlib.suppress(OSError):  # it has rung often enough, or is closed
            os.write(self._rung, b"w")

    def wait(self, seconds: float) -> None:
        """Return after so long, or when it rings."""
        select.select([self._heard], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            while os.read(self._heard, 512):
                pass

    def close(self) -> None:
        """Give the pipe back."""
        heard, rung, self._heard, self._rung = self._heard, self._rung, -1, -1
        os.close(heard)
        os.close(rung)
