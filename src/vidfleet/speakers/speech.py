"""When somebody speaks, whoever it is: Silero's voice activity network.

Its ONNX file lies inside the faster-whisper wheel. Sound goes through it in pieces, so that memory does not
grow with the length.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from vidfleet.errors import SetupError
from vidfleet.speakers.data import SAMPLE_RATE, Method, Span
from vidfleet.speakers.nets.session import open_session

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

WINDOW_SAMPLES = 512
"""32 ms: what one probability stands for."""
CONTEXT_SAMPLES = 64
"""Of the sound before it, each window carries so much."""
WINDOWS_PER_RUN = 1024
"""About 33 s of sound at a time: 2.4 MB."""
STATE_SIZE = 128

SPEECH_PROBABILITY = 0.5
"""A window above it is speech."""
GAP_WINDOWS = 0.15 * SAMPLE_RATE / WINDOW_SAMPLES
"""Shorter gaps, such as stops within a word, are closed."""
SPAN_WINDOWS = 0.1 * SAMPLE_RATE / WINDOW_SAMPLES
"""Shorter spans, such as clicks, are dropped."""


class SoundLike(Protocol):
    """A sound track at 16 kHz whose first sample stands at the grid's zero."""

    @property
    def length_samples(self) -> int:
        """How many samples it has."""
        ...

    def read(self, start: int, end: int) -> NDArray[np.int16]:
        """Samples [start, end), zeros where it has none."""
        ...


class VoiceActivity:
    """Silero's network, ready to run.

    Raises :class:`~vidfleet.errors.SetupError` where faster-whisper, which carries it, is not installed.
    """

    def __init__(self, *, threads: int = 1) -> None:
        path = _network()
        self._session = open_session(path, threads=threads, device="cpu")
        self.method = Method("Silero VAD v6", hashlib.sha256(path.read_bytes()).hexdigest())

    def find(self, sound: SoundLike) -> tuple[Span, ...]:
        """The spans in which somebody speaks, in order, to 32 ms."""
        return join_windows([window for piece in self._probabilities(sound) for window in _loud(*piece)])

    def _probabilities(self, sound: SoundLike) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """(first window, probabilities of that and the following windows), piece by piece."""
        windows = -(-sound.length_samples // WINDOW_SAMPLES)
        state: dict[str, Any] = {name: np.zeros((1, 1, STATE_SIZE), np.float32) for name in ("h", "c")}
        for first in range(0, windows, WINDOWS_PER_RUN):
            last = min(first + WINDOWS_PER_RUN, windows)
            start = first * WINDOW_SAMPLES
            before = sound.read(max(start - CONTEXT_SAMPLES, 0), start)
            before = np.pad(before, (CONTEXT_SAMPLES - len(before), 0))
            piece = np.concatenate((before, sound.read(start, last * WINDOW_SAMPLES)))
            views = np.lib.stride_tricks.sliding_window_view(piece, CONTEXT_SAMPLES + WINDOW_SAMPLES)
            inputs = views[::WINDOW_SAMPLES].astype(np.float32) / 32768
            found, state["h"], state["c"] = self._session.run(None, {"input": inputs, **state})
            yield first, found.reshape(-1)


def _loud(first: int, probabilities: NDArray[np.float32]) -> list[int]:
    return [first + int(index) for index in np.flatnonzero(probabilities > SPEECH_PROBABILITY)]


def join_windows(windows: Sequence[int]) -> tuple[Span, ...]:
    """Spans of the windows with speech (ascending indices): short gaps closed, then short spans dropped."""
    spans: list[tuple[int, int]] = []
    for window in windows:
        if spans and window - spans[-1][1] < GAP_WINDOWS:
            spans[-1] = (spans[-1][0], window + 1)
        else:
            spans.append((window, window + 1))
    samples = [(start * WINDOW_SAMPLES, end * WINDOW_SAMPLES) for start, end in spans if end - start >= SPAN_WINDOWS]
    return tuple(Span(start / SAMPLE_RATE, end / SAMPLE_RATE) for start, end in samples)


def _network() -> Path:
    """The network's file, found without importing the package, which would load far more."""
    package = importlib.util.find_spec("faster_whisper")
    for folder in (package.submodule_search_locations or ()) if package else ():
        path = Path(folder, "assets", "silero_vad_v6.onnx")
        if path.is_file():
            return path
    raise SetupError(
        "Silero's voice activity network (silero_vad_v6.onnx of faster-whisper 1.2.1) is not installed.\n"
        "Install it: pip install 'vidfleet[speakers]'"
    )
