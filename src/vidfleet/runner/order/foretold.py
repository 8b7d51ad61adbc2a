"""What was foretold of a run's end while it went on, so that people can see afterwards how far to trust it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vidfleet.runner.order.forecast import Forecast

if TYPE_CHECKING:
    from vidfleet.runner.events import Event

FIRST = 0.2
"""The share of a run after which what was foretold is compared with its end."""
_MOST_KEPT = 4096
"""Kept at twice the distance from then on: a week of seconds would be 600,000."""


class Foretold:
    """Follows a run, and keeps once a second how long it was then expected to take."""

    def __init__(self, started_at: float) -> None:
        """``started_at`` is in seconds since the epoch, as all times here."""
        self.forecast = Forecast()
        self._started_at = started_at
        self._kept: list[tuple[float, float]] = []
        self._distance_s = 0.0

    def take(self, event: Event, now: float) -> None:
        """Take in what happened."""
        self.forecast.apply(event, now)

    def tick(self, now: float) -> None:
        """Keep what is expected now, if anything is."""
        elapsed_s = now - self._started_at
        if self._kept and elapsed_s - self._kept[-1][0] < self._distance_s:
            return
        left_s = self.forecast.remaining_s(now)
        if left_s is None:
            return
        self._kept.append((elapsed_s, elapsed_s + left_s))
        if len(self._kept) > _MOST_KEPT:
            del self._kept[::2]
            self._distance_s = self._kept[-1][0] / len(self._kept)

    def after_first_fifth_s(self, took_s: float) -> float | None:
        """How long a run that took ``took_s`` was expected to take after a fifth of it; None: nothing was known."""
        early = [total_s for elapsed_s, total_s in self._kept if elapsed_s <= FIRST * took_s]
        return early[-1] if early else None
