"""Mel-frequency cepstra of a sound, as LR-ASD and TalkNet were trained on.

The numbers are those of the package python_speech_features with its defaults: windows of 25 ms each 10 ms,
pre-emphasis 0.97, rectangular window, power spectrum of 512 points, 26 mel filters, 13 cepstra, lifter 22,
the first cepstrum replaced by the log of the energy. Samples are int16 values, not scaled to 1.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000
STEP_SAMPLES = 160
WINDOW_SAMPLES = 400
FFT_POINTS = 512
FILTERS = 26
CEPSTRA = 13
LIFTER = 22
PRE_EMPHASIS = 0.97
EPSILON = float(np.finfo(np.float64).eps)
"""Stands for zero before a logarithm."""


def count_windows(samples: int) -> int:
    """How many windows a sound of so many samples has; the last one is filled up with zeros."""
    return 1 + max(0, -(-(samples - WINDOW_SAMPLES) // STEP_SAMPLES))


def mfcc(sound: NDArray[np.int16], *, before: float | None = None) -> NDArray[np.float32]:
    """Cepstra (windows, 13) of a sound (samples,) at 16 kHz.

    ``before`` is the sample before the first one where ``sound`` is cut out of a longer one: then the windows
    that lie wholly in the cut are those of the longer sound.
    """
    samples = sound.astype(np.float64)
    previous = np.concatenate(([0.0 if before is None else before], samples[:-1]))[: samples.size]
    emphasised = samples - PRE_EMPHASIS * previous
    windows = count_windows(samples.size)
    padded = np.zeros((windows - 1) * STEP_SAMPLES + WINDOW_SAMPLES)
    padded[: emphasised.size] = emphasised
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)[::STEP_SAMPLES]
    power = np.square(np.abs(np.fft.rfft(frames, FFT_POINTS))) / FFT_POINTS
    energy = power.sum(axis=1)
    bands = power @ _mel_filters().T
    cepstra = np.log(np.where(bands == 0, EPSILON, bands)) @ _cosines().T
    cepstra[:, 0] = np.log(np.where(energy == 0, EPSILON, energy))
    return cepstra.astype(np.float32)


@cache
def _mel_filters() -> NDArray[np.float64]:
    """(26, 257): triangles evenly spaced in mel between 0 and 8000 Hz, edges on FFT bins."""
    top_mel = 2595 * np.log10(1 + SAMPLE_RATE_HZ / 2 / 700)
    edges_hz = 700 * (10 ** (np.linspace(0, top_mel, FILTERS + 2) / 2595) - 1)
    edges = np.floor((FFT_POINTS + 1) * edges_hz / SAMPLE_RATE_HZ)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bins = np.arange(FFT_POINTS // 2 + 1)
    rising = (bins - left) / np.maximum(centre - left, 1)
    falling = (right - bins) / np.maximum(right - centre, 1)
    inside_left = (bins >= left) & (bins < centre)
    inside_right = (bins >= centre) & (bins < right)
    return np.asarray(np.where(inside_left, rising, np.where(inside_right, falling, 0.0)))


@cache
def _cosines() -> NDArray[np.float64]:
    """(13, 26): orthonormal DCT-II, its rows weighted by the lifter."""
    order = np.arange(CEPSTRA)[:, None]
    matrix = np.sqrt(2 / FILTERS) * np.cos(np.pi * order * (2 * np.arange(FILTERS) + 1) / (2 * FILTERS))
    matrix[0] /= np.sqrt(2)
    return np.asarray(matrix * (1 + LIFTER / 2 * np.sin(np.pi * order / LIFTER)))
