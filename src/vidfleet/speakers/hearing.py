"""What is known of a film's sound before its first picture is looked at."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vidfleet.speakers.data import GRID_RATE, SAMPLE_RATE, Span
from vidfleet.speakers.media import Sound

if TYPE_CHECKING:
    from pathlib import Path


SECONDS_AT_ONCE = 60
SAMPLES_PER_FRAME = SAMPLE_RATE // GRID_RATE


@dataclass(frozen=True, slots=True)
class Hearing:
    """What is known of the sound before the first picture."""

    sound: Sound | None
    speech: tuple[Span, ...]

    def write(self, path: Path, start: int, end: int) -> None:
        """Write the sound of grid frames [start, end) as a WAV file, minute by minute; silence where there is none."""
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
            for first in range(start, end, SECONDS_AT_ONCE * GRID_RATE):
                last = min(end, first + SECONDS_AT_ONCE * GRID_RATE)
                samples = np.zeros((last - first) * SAMPLES_PER_FRAME, dtype="<i2")
                if self.sound is not None:
                    samples[:] = self.sound.read(first * SAMPLES_PER_FRAME, last * SAMPLES_PER_FRAME)
                file.writeframesraw(samples.tobytes())
