"""How a run is asked to end, or to stand still: by a signal handler, or by another thread."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Stop:
    """Somebody's wish that the run ends, or stands still; a signal handler may call its methods."""

    def __init__(self) -> None:
        self.signal = 0
        self.times = 0
        self.drain = False
        self.pause = False
        self._wake: Callable[[], None] | None = None

    def ask(self, number: int, *, drain: bool = False) -> None:
        """Ask once to end in order, twice to end at once; ``drain`` lets what runs finish first.

        Before lanes are open it ends by KeyboardInterrupt.
        """
        self.signal = self.signal or number
        self.drain = self.drain or drain
        self.times += not drain
        if self._wake is None:
            raise KeyboardInterrupt
        self._wake()

    def ask_to_pause(self) -> None:
        """Ask for a halt of all attempts and of this process, until SIGCONT."""
        if self._wake is None:
            os.kill(os.getpid(), signal.SIGSTOP)
            return
        self.pause = True
        self._wake()

    def arm(self, wake: Callable[[], None]) -> None:
        """From now on ``wake`` tells the run that it was asked."""
        self._wake = wake

    @property
    def is_asked(self) -> bool:
        """Nothing new is to be started."""
        return self.drain or self.times > 0
