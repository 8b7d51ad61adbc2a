"""Sounds in memory, for tests that hear."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

RATE = 16_000


@dataclass
class Samples:
    """A sound in memory, which notes how much is read of it at once."""

    values: NDArray[np.int16]
    largest: int = field(default=0)

    @property
    def length_samples(self) -> int:
        return len(self.values)

    def read(self, start: int, end: int) -> NDArray[np.int16]:
        self.largest = max(self.largest, end - start)
        found = self.values[max(start, 0) : max(end, 0)]
        return np.pad(found, (max(-start, 0), max(end - max(start, 0) - len(found), 0)))


@dataclass
class Hum:
    """A low tone of any length, which takes no memory."""

    length_s: float
    largest: int = field(default=0)

    @property
    def length_samples(self) -> int:
        return int(self.length_s * RATE)

    def read(self, start: int, end: int) -> NDArray[np.int16]:
        self.largest = max(self.largest, end - start)
        return tone(300, (end - start) / RATE)


def tone(frequency_hz: float, seconds: float) -> NDArray[np.int16]:
    """(N,) a tone of middling loudness."""
    times_s = np.arange(round(seconds * RATE)) / RATE
    return np.asarray(10_000 * np.sin(2 * np.pi * frequency_hz * times_s), np.int16)


def silence(seconds: float) -> NDArray[np.int16]:
    """(N,) zeros."""
    return np.zeros(round(seconds * RATE), np.int16)
