"""How long an attempt may take, and how long it may do nothing; time in which it is stopped does not count."""

from __future__ import annotations

import time

_TICK_S = 5.0
"""Time is counted in steps; one that lasted much longer means that this machine or this process stood still."""
_LEAST_STEP_S = 0.01


class Patience:
    """Counts down a time limit and a stall limit; both may be None."""

    def __init__(self, limit_s: float | None, stall_s: float | None) -> None:
        self._left_s = limit_s
        self._stall_s = stall_s
        self._idle_s = 0.0
        self._activity = -1.0
        self._last = time.monotonic()

    @property
    def wants_activity(self) -> bool:
        """Whether :meth:`tick` has a use for ``activity``."""
        return self._stall_s is not None

    def next_tick(self) -> float | None:
        """When to call :meth:`tick` at the latest, by the monotonic clock; None where nothing is limited."""
        if self._left_s is None and self._stall_s is None:
            return None
        return self._last + self._step_s()

    def _step_s(self) -> float:
        steps = [_TICK_S]
        if self._left_s is not None:
            steps.append(max(self._left_s, _LEAST_STEP_S))
        if self._stall_s is not None:
            steps.append(self._stall_s / 8)
        return min(steps)

    def tick(self, *, is_stopped: bool, activity: float) -> None:
        """Count the time since the last call. ``activity`` is any number that changes while work is done."""
        now = time.monotonic()
        elapsed_s = min(now - self._last, 2 * self._step_s())
        self._last = now
        if is_stopped:
            return
        if self._left_s is not None:
            self._left_s -= elapsed_s
        self._idle_s = self._idle_s + elapsed_s if activity == self._activity else 0.0
        self._activity = activity

    @property
    def is_over(self) -> bool:
        """The time limit is reached."""
        return self._left_s is not None and self._left_s <= 0

    @property
    def has_stalled(self) -> bool:
        """Nothing happened for too long."""
        return self._stall_s is not None and self._idle_s >= self._stall_s
