"""Sound: a whole track as 16 kHz mono on the video's clock, and slices of it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import av
import numpy as np
from av.audio.resampler import AudioResampler

from vidfleet.errors import BadInputError
from vidfleet.speakers.data import SAMPLE_RATE
from vidfleet.speakers.media.container import decoded, opened, pick_audio, read_only

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from numpy.typing import NDArray

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_SAMPLE_BYTES = 2
_MOST_SAMPLES = (2**32 - 1 - _HEADER.size) // _SAMPLE_BYTES
"""What the header of a WAV file can count: 37 hours."""
_CLOCK_TOLERANCE = Fraction(1, 50)
"""Frames whose time is no further off than this from where the last one ended follow it without a seam.

Containers round times (Matroska to 1 ms) and stamp packets loosely; a seam at each would crackle."""


@dataclass(frozen=True, slots=True)
class Sound:
    """A 16 kHz mono track in a WAV file that :func:`extract_sound` or :func:`write_wav` wrote."""

    path: Path
    length_samples: int

    @classmethod
    def open(cls, path: Path) -> Sound:
        """Read the header. Raises ValueError for a file that is not as ours are."""
        with path.open("rb") as file:
            header = file.read(_HEADER.size)
        length = (path.stat().st_size - _HEADER.size) // _SAMPLE_BYTES
        if length < 0 or header != _header(length):
            raise ValueError(f"{path.name!r} is not a WAV file of ours: 16 kHz, mono, 16 bit, plain header.")
        return cls(path, length)

    def read(self, start: int, end: int) -> NDArray[np.int16]:
        """Samples [start, end); silence before the track's begin and behind its end."""
        samples = np.zeros(max(end - start, 0), np.int16)
        first, last = max(start, 0), min(end, self.length_samples)
        if first < last:
            with self.path.open("rb") as file:
                file.seek(_HEADER.size + first * _SAMPLE_BYTES)
                data = file.read((last - first) * _SAMPLE_BYTES)
            samples[first - start : last - start] = np.frombuffer(data, "<i2")
        return samples


def write_wav(path: Path, samples: NDArray[np.int16]) -> Sound:
    """Write (N,) samples of 16 kHz mono."""
    with path.open("wb") as file:
        file.write(_header(len(samples)))
        file.write(np.ascontiguousarray(samples, "<i2").data)
    return Sound(path, len(samples))


def extract_sound(path: Path, wav: Path, *, zero: Fraction, audio_stream: int | None = None) -> Sound | None:
    """Write a video's whole sound track as 16 kHz mono, its sample 0 at the clock's zero.

    ``zero`` and ``audio_stream`` are those of the :class:`VideoSource`, so that both sides have one clock.
    Gaps and damaged places become silence, overlaps are cut. Nothing, and no file, where there is no sound
    track or nothing of it can be decoded. Raises :class:`BadInputError` where the clock jumps.
    """
    with opened(path) as container:
        stream = pick_audio(container, audio_stream, name=path.name)
        if stream is None:
            return None
        read_only(container, stream)
        stream.codec_context.thread_count = 1
        with wav.open("wb") as file:
            file.write(_header(0))
            track = _Track(file, zero, name=path.name)
            for item in decoded(container, stream, name=path.name):
                track.add(cast("AudioFrame", item.frame), item.time)
            length = track.finish()
    if not length:
        wav.unlink()
        return None
    return Sound(wav, length)


def _header(length: int) -> bytes:
    """A WAV header for so many samples."""
    size = length * _SAMPLE_BYTES
    return _HEADER.pack(
        *(b"RIFF", size + _HEADER.size - 8, b"WAVE"),
        *(b"fmt ", 16, 1, 1, SAMPLE_RATE, SAMPLE_RATE * _SAMPLE_BYTES, _SAMPLE_BYTES, 8 * _SAMPLE_BYTES),
        *(b"data", size),
    )


class _Track:
    """Lays decoded sound on the clock: runs of frames without a seam, each resampled as one piece."""

    def __init__(self, file: BinaryIO, zero: Fraction, *, name: str) -> None:
        self._file = file
        self._zero = zero
        self._name = name
        self._written = 0  # samples in the file, silence included
        self._run: _Run | None = None

    def add(self, frame: AudioFrame, time: Fraction | None) -> None:
        """Take the next frame; ``time`` in the container's seconds, or nothing where it is not known."""
        if not frame.samples or not frame.sample_rate:
            return
        if time is None:
            time = self._run.end if self._run else self._zero
        if self._run is not None and not self._run.continues(frame, time):
            self._end_run()
        if self._run is None:
            self._run = _Run(frame, time, start=round((time - self._zero) * SAMPLE_RATE))
        self._write(*self._run.push(frame))

    def finish(self) -> int:
        """Write what is left, and the header. Returns the track's length in samples."""
        self._end_run()
        self._file.truncate(_HEADER.size + self._written * _SAMPLE_BYTES)
        self._file.seek(0)
        self._file.write(_header(self._written))
        return self._written

    def _end_run(self) -> None:
        if self._run is not None:
            self._write(*self._run.push(None))
            self._run = None

    def _write(self, position: int, samples: NDArray[np.int16]) -> None:
        """Write samples at a place; an overlap with what is there is cut, what is skipped stays silence."""
        cut = max(self._written - position, 0)
        if cut >= len(samples):
            return
        end = position + len(samples)
        if end > _MOST_SAMPLES:
            raise BadInputError(f"The sound of {self._name!r} is longer than a WAV file can be.")
        self._file.seek(_HEADER.size + (position + cut) * _SAMPLE_BYTES)  # a hole in the file reads as zeros
        self._file.write(samples[cut:].astype("<i2", copy=False).data)
        self._written = end


class _Run:
    """Frames of one format that follow each other without a seam, on their way through one resampler."""

    def __init__(self, first: AudioFrame, time: Fraction, *, start: int) -> None:
        self._kind = _kind(first)
        self._resampler = AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
        self._position = start
        self.end = time
        """Where the next frame is due, in the container's seconds."""

    def continues(self, frame: AudioFrame, time: Fraction) -> bool:
        """Whether a frame follows without a seam."""
        return _kind(frame) == self._kind and abs(time - self.end) <= _CLOCK_TOLERANCE

    def push(self, frame: AudioFrame | None) -> tuple[int, NDArray[np.int16]]:
        """Samples that are ready, and their place on the clock; nothing as frame ends the run."""
        if frame is not None:
            self.end += Fraction(frame.samples, frame.sample_rate)
            frame.pts = None  # the resampler counts samples; where they belong is our matter
        try:
            pieces = [piece.to_ndarray().reshape(-1) for piece in self._resampler.resample(frame)]
        except av.FFmpegError:
            pieces = []
        samples = np.concatenate(pieces).astype(np.int16, copy=False) if pieces else np.zeros(0, np.int16)
        position = self._position
        self._position += len(samples)
        return position, samples


def _kind(frame: AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate
