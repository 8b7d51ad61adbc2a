"""Writing of MP4 files that every player and browser plays: H.264, with the film's own sound where it fits."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, Self

import av
import numpy as np
from av.video.reformatter import ColorRange

from vidfleet.speakers.data import GRID_RATE, SAMPLE_RATE
from vidfleet.speakers.media.container import opened, packets, pick_audio, read_only
from vidfleet.speakers.media.planes import FORMAT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from av.container import OutputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream

    from vidfleet.speakers.media.planes import Colours, Planes
    from vidfleet.speakers.media.sound import Sound
    from vidfleet.speakers.media.source import VideoSource

SOUND_THAT_FITS = frozenset({"aac", "mp3", "opus", "flac"})
"""Codecs that browsers play out of MP4: their packets are copied."""
_BLOCK = 1024
"""Samples in a frame of AAC."""
_STEADY = frozenset({"mp4", "matroska", "avi"})
"""Containers whose clock is not set back in mid film, as that of joined transport streams is."""


class Mp4Writer:
    """An MP4 file that grows picture by picture: H.264 at 25 frames/s.

    The sound is ``source``'s own, its packets copied, where :data:`SOUND_THAT_FITS`; else ``sound`` as AAC, 16 kHz
    mono. It ends with the pictures. The file says which ``colours`` its pictures have. A context
    manager; the file is whole when it has ended.
    """

    def __init__(
        self,
        path: Path,
        *,
        width: int,
        height: int,
        colours: Colours,
        source: VideoSource | None = None,
        sound: Sound | None = None,
        crf: int = 23,
        preset: str = "veryfast",
        threads: int = 1,
    ) -> None:
        if width % 2 or height % 2:
            raise ValueError(f"{width} x {height}: both sides must be even for H.264")
        self._size = (width, height)
        self._container = av.open(path.absolute(), mode="w", format="mp4")
        self._video = _add_h264(self._container, self._size, colours, crf=crf, preset=preset, threads=threads)
        self._sound = _sound_of(self._container, source, sound)
        self._frames = 0
        self._container.start_encoding()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._container.mux(self._video.encode(None))
                self._sound.finish(Fraction(self._frames, GRID_RATE))
        finally:
            self._sound.close()
            self._container.close()

    def write(self, planes: Planes) -> None:
        """Append one picture."""
        if planes.size != self._size:
            raise ValueError(f"a picture of {planes.size} does not fit a video of {self._size}")
        frame = planes.own().frame
        frame.pts, frame.time_base = self._frames, Fraction(1, GRID_RATE)
        self._container.mux(self._video.encode(frame))
        self._frames += 1
        self._sound.write_until(Fraction(self._frames, GRID_RATE))


def even(length: float) -> int:
    """The nearest even number of pixels, at least 2."""
    return max(2, round(length / 2) * 2)


def _add_h264(
    container: OutputContainer, size: tuple[int, int], colours: Colours, *, crf: int, preset: str, threads: int
) -> VideoStream:
    # Captions that a decoder leaves on its pictures are no part of a copy, and libx264 would take them over.
    options = {"crf": str(crf), "preset": preset, "a53cc": "0"}
    video = container.add_stream("libx264", rate=GRID_RATE, options=options)
    video.width, video.height, video.pix_fmt = *size, FORMAT
    context = video.codec_context
    context.time_base = Fraction(1, GRID_RATE)
    context.gop_size = 2 * GRID_RATE  # seeking lands within two seconds
    context.colorspace, context.color_range = colours.matrix, ColorRange.MPEG
    # By default PyAV's threads share out each picture, in slices that know nothing of each other: files are 6 % larger.
    context.thread_count, context.thread_type = threads, "FRAME"
    return video


def _sound_of(
    container: OutputContainer, source: VideoSource | None, sound: Sound | None
) -> _CopiedSound | _EncodedSound | _Silence:
    if source is not None and _is_copied(source):
        return _CopiedSound(container, source)
    return _EncodedSound(container, sound) if sound is not None else _Silence()


def _is_copied(source: VideoSource) -> bool:
    with opened(source.path) as container:
        stream = pick_audio(container, source.audio_stream, name=source.path.name)
        is_steady = not _STEADY.isdisjoint(container.format.name.split(","))
        return stream is not None and is_steady and stream.codec_context.codec.canonical_name in SOUND_THAT_FITS


class _Silence:
    """No sound track."""

    def write_until(self, end: Fraction) -> None:
        """Write nothing."""

    def finish(self, end: Fraction) -> None:
        """Write nothing."""

    def close(self) -> None:
        """Let go of nothing."""


class _EncodedSound:
    """16 kHz mono as AAC."""

    def __init__(self, container: OutputContainer, sound: Sound) -> None:
        self._container, self._sound = container, sound
        self._stream: Any = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        self._written = 0

    def write_until(self, end: Fraction) -> None:
        """Write the whole blocks before a time."""
        while self._written + _BLOCK <= self._last(end):
            self._write(_BLOCK)

    def finish(self, end: Fraction) -> None:
        """Write the rest."""
        self.write_until(end)
        if self._written < self._last(end):
            self._write(self._last(end) - self._written)
        self._container.mux(self._stream.encode(None))

    def _last(self, end: Fraction) -> int:
        return min(int(end * SAMPLE_RATE), self._sound.length_samples)

    def _write(self, size: int) -> None:
        samples = self._sound.read(self._written, self._written + size)
        block = av.AudioFrame.from_ndarray(samples[None].astype(np.float32) / 32768, format="fltp", layout="mono")
        block.sample_rate, block.pts, block.time_base = SAMPLE_RATE, self._written, Fraction(1, SAMPLE_RATE)
        self._container.mux(self._stream.encode(block))
        self._written += size

    def close(self) -> None:
        """Nothing is held open."""


class _CopiedSound:
    """The source's own packets, put on our zero."""

    def __init__(self, container: OutputContainer, source: VideoSource) -> None:
        self._container, self._zero = container, source.zero
        self._opened = opened(source.path)
        origin = self._opened.__enter__()
        stream = pick_audio(origin, source.audio_stream, name=source.path.name)
        assert stream is not None
        read_only(origin, stream)
        self._stream = container.add_stream_from_template(stream)
        self._packets: Iterator[Packet[Stream]] = packets(origin, stream)
        self._next = next(self._packets, None)
        self._last: int | None = None

    def finish(self, end: Fraction) -> None:
        """Copy the last packets."""
        self.write_until(end)

    def write_until(self, end: Fraction) -> None:
        """Copy the packets that begin before a time."""
        while self._next is not None:
            packet, base = self._next, self._next.time_base
            if packet.pts is not None:
                if packet.pts * base - self._zero >= end:
                    return
                pts = packet.pts - round(self._zero / base)
                if self._last is None or pts > self._last:  # MP4 knows no step back
                    packet.pts = packet.dts = self._last = pts
                    packet.stream = self._stream
                    self._container.mux(packet)
            self._next = next(self._packets, None)

    def close(self) -> None:
        """Close the source."""
        self._opened.__exit__(None, None, None)
