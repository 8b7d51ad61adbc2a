"""Containers: open them, choose their streams, decode what can be decoded."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, TypeVar

import av
from av.audio.frame import AudioFrame
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.frame import VideoFrame

from vidfleet.errors import BadInputError
from vidfleet.speakers.media.decoder import DecoderError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from av.audio.stream import AudioStream
    from av.codec.hwaccel import HWAccel
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream

S = TypeVar("S", bound="VideoStream | AudioStream")

LONGEST_JUMP_S = 60
"""A longer step between two presentation times is a broken clock, not a film."""
_RESTART_S = 1
"""A longer step back is a clock that was set back; a shorter one is carelessness of the container."""
_READ_ATTEMPTS = 100
"""So many reads in a row may fail before the rest of a file is given up."""
_DECODER_DELAY = 64
"""A decoder holds back fewer packets than this; more without a picture means that they are damaged."""
_NO_FILM = Disposition.attached_pic | Disposition.timed_thumbnails
"""Cover pictures and previews look like video streams."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """One decoded frame, of pictures or of sound."""

    frame: VideoFrame | AudioFrame
    time: Fraction | None
    """Presentation time in the container's seconds; nothing where the container does not tell."""


@contextmanager
def opened(path: Path, acceleration: HWAccel | None = None) -> Iterator[InputContainer]:
    """Open a file for reading, and close it in the end.

    Raises :class:`BadInputError` where no container can be made out; with an ``acceleration``, for its streams'
    decoders, :class:`DecoderError` instead.
    """
    try:
        # An absolute path is never taken for a protocol ("concat:..."); tags may be in any encoding.
        # Nothing but files: a playlist under a video's name must not reach for the network.
        container = av.open(
            path.absolute(),
            mode="r",
            metadata_errors="replace",
            container_options={"protocol_whitelist": "file"},
            hwaccel=acceleration,
        )
    except av.FFmpegError as error:
        if acceleration is not None:  # without a driver FFmpeg says "Operation not permitted" and no more
            raise DecoderError(f"it cannot be opened: {error.strerror}") from error
        raise BadInputError(f"{path.name!r} cannot be opened as a video: {error.strerror}") from error
    with container:
        yield container


def pick_video(container: InputContainer, wanted: int | None, *, name: str) -> VideoStream:
    """The video stream to read: number ``wanted`` of the file, else the default one, else the first; no cover.

    Raises :class:`BadInputError` where there is none, or where no decoder knows it.
    """
    streams = [s for s in container.streams.video if not s.disposition & _NO_FILM]
    if not streams:
        raise BadInputError(f"{name!r} has no video stream.")
    stream = _pick(streams, wanted, kind="video", name=name)
    if stream.codec_context is None:  # what PyAV has where FFmpeg has no decoder
        raise BadInputError(f"No decoder is known for the pictures of {name!r}.")
    return stream


def pick_audio(container: InputContainer, wanted: int | None, *, name: str) -> AudioStream | None:
    """The sound track to read, chosen like the pictures; nothing where there is none that can be decoded."""
    streams = list(container.streams.audio)
    if not streams and wanted is None:
        return None
    stream = _pick(streams, wanted, kind="audio", name=name)
    return stream if stream.codec_context is not None else None


def _pick(streams: Sequence[S], wanted: int | None, *, kind: str, name: str) -> S:
    if wanted is not None:
        for stream in streams:
            if stream.index == wanted:
                return stream
        there = ", ".join(str(stream.index) for stream in streams) or "none"
        raise BadInputError(f"{name!r} has no {kind} stream {wanted}; it has: {there}.")
    return next((s for s in streams if s.disposition & Disposition.default), streams[0])


def read_only(container: InputContainer, *streams: Stream) -> None:
    """Let the demuxer skip all other streams, without reading them where the format allows it."""
    wanted = {stream.index for stream in streams}
    for stream in container.streams:
        if stream.index not in wanted:
            stream.discard = Discard.all


def packets(container: InputContainer, *streams: Stream) -> Iterator[Packet[Stream]]:
    """The packets of some streams in the file's order; places that cannot be read are passed over."""
    failures = 0
    while failures < _READ_ATTEMPTS:
        try:
            for packet in container.demux(streams):
                if packet.size:  # the empty ones at the end only flush: `decoded` does that itself
                    failures = 0
                    yield packet
        except av.FFmpegError:
            failures += 1
        else:
            return


def decode(packet: Packet[Stream], *, strictly: bool = False) -> list[VideoFrame | AudioFrame]:
    """What comes out of the decoder for one packet: nothing where it is damaged.

    ``strictly``: raise :class:`DecoderError` there.
    """
    try:
        return packet.decode()  # type: ignore[return-value]
    except av.FFmpegError as error:
        if strictly:
            raise DecoderError(error.strerror) from error
        return []


def flush(stream: VideoStream | AudioStream, *, strictly: bool = False) -> list[VideoFrame | AudioFrame]:
    """What a decoder still holds back."""
    end: Packet[Stream] = Packet()  # empty: the decoder's sign to give all; of this stream, for its unit of time
    end.stream = stream
    end.time_base = stream.time_base or Fraction(1)
    return decode(end, strictly=strictly)


def decoded(
    container: InputContainer,
    stream: VideoStream | AudioStream,
    *,
    name: str,
    source: Iterable[Packet[Stream]] | None = None,
    strictly: bool = False,
) -> Iterator[Decoded]:
    """Decode one whole stream, or those of its packets that ``source`` gives.

    Damaged packets do not end it, unless ``strictly``: then with DecoderError.

    Raises :class:`BadInputError` where its clock jumps.
    """
    clock = Clock(container, stream)
    continuity = _Continuity(name)
    silent = 0
    for packet in packets(container, stream) if source is None else source:
        clock.see(packet)
        frames = decode(packet, strictly=strictly)
        for frame in frames:
            yield Decoded(frame, continuity.carry(clock.time(frame), frame, after_damage=silent > _DECODER_DELAY))
            silent = 0
        silent += not frames
        if strictly and silent > _DECODER_DELAY:
            raise DecoderError(f"no picture came of {silent} packets")
    for frame in flush(stream, strictly=strictly):
        yield Decoded(frame, continuity.carry(clock.time(frame), frame, after_damage=silent > _DECODER_DELAY))


class Clock:
    """Gives the decoded frames of one stream their presentation times, in the container's seconds.

    AVI stores none. What FFmpeg makes up for it is out of order where pictures are reordered; the decoding
    times with which pictures come out are evenly spaced, and late by the decoder's delay.
    """

    def __init__(self, container: InputContainer, stream: Stream) -> None:
        self._has_times = container.format.name != "avi" or stream.type != "video"
        self._first: int | None = None
        self._delay: int | None = None

    def see(self, packet: Packet[Stream]) -> None:
        """Look at a packet before it is decoded."""
        if self._first is None:
            self._first = packet.dts

    def time(self, frame: VideoFrame | AudioFrame) -> Fraction | None:
        """A frame's time; nothing where the container does not tell. Frames come in presentation order."""
        if self._has_times:
            ticks = frame.pts if frame.pts is not None else frame.dts
        elif frame.dts is None or self._first is None:
            ticks = None
        else:
            if self._delay is None:
                self._delay = frame.dts - self._first
            ticks = frame.dts - self._delay
        return ticks * frame.time_base if ticks is not None and frame.time_base else None


class _Continuity:
    """Carries a stream's clock over its restarts: in files that were joined it begins anew, and goes on here."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._last: Fraction | None = None  # as the container says
        self._left: Fraction | None = None  # the same, before the last restart
        self._end = Fraction(0)  # where the next frame is due, carried over
        self._offset = self._offset_left = Fraction(0)

    def carry(self, time: Fraction | None, frame: VideoFrame | AudioFrame, *, after_damage: bool) -> Fraction | None:
        """The time of the next frame, as if the clock had never been set back."""
        if time is None:
            return None
        if self._last is not None:
            if not after_damage:
                check_jump(self._last, time, name=self._name)
            step = time - self._last
            if step < -_RESTART_S:
                self._left, self._offset_left = self._last, self._offset
                self._offset = self._end - time
            elif step > _RESTART_S and self._left is not None and time > self._left:
                self._offset = self._offset_left  # one frame had an odd time, the clock was never set back
        self._last = time
        self._end = time + self._offset + _length(frame)
        return time + self._offset


def _length(frame: VideoFrame | AudioFrame) -> Fraction:
    """How long a frame lasts in seconds, 0 where it is not known."""
    if isinstance(frame, AudioFrame):
        return Fraction(frame.samples, frame.sample_rate or 1)
    return frame.duration * frame.time_base if frame.duration > 0 and frame.time_base else Fraction(0)


def check_jump(before: Fraction, after: Fraction, *, name: str) -> None:
    """Raise :class:`BadInputError` where the clock jumps."""
    jump_s = float(after - before)
    if abs(jump_s) > LONGEST_JUMP_S:
        raise BadInputError(
            f"The clock of {name!r} jumps by {jump_s:.1f} s at {float(before):.1f} s: "
            f"more than {LONGEST_JUMP_S} s between two presentation times."
        )
