"""Where a film can be entered in its middle: its key frames, found without decoding, and reading on from one."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av

from vidfleet.errors import SplitError
from vidfleet.speakers.media.container import LONGEST_JUMP_S, opened, packets, read_only

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream

_SEEKABLE = frozenset({"mp4", "matroska"})
"""Containers (FFmpeg's names; MOV and WebM are among them) with an index, and with one clock from end to end."""


@dataclass(frozen=True, slots=True)
class KeyFrame:
    """A picture that can be decoded without those before it."""

    pts: int
    """Presentation time, in the stream's unit of time."""
    seek_to: int
    """Where to seek for it, in that unit: its decoding time, where the container has one."""
    time: Fraction
    """Presentation time in the container's seconds."""


def find_key_frames(path: Path, stream_index: int) -> tuple[KeyFrame, ...]:
    """Read all packets of a stream, decode none, and tell where it can be entered.

    Raises :class:`SplitError`, with a sentence, where it is not certain that the pictures behind a key frame have the
    times that they have in one pass: packets without times, a clock that is set back or jumps, other containers.
    """
    with opened(path) as container:
        if not _SEEKABLE & {*container.format.name.split(",")}:
            raise SplitError(f"films are not entered in their middle in this container ({container.format.name})")
        stream = cast("VideoStream", container.streams[stream_index])
        read_only(container, stream)
        index = _Index(stream.time_base or Fraction(1))
        for packet in packets(container, stream):
            index.take(packet)
        return index.keys()


class _Index:
    """Looks at a stream's packets in the file's order."""

    def __init__(self, tick: Fraction) -> None:
        self._tick = tick
        self._times: list[int] = []
        self._keys: list[KeyFrame] = []
        self._last_dts: int | None = None
        self._before: int | None = None  # the key frame before the last one

    def take(self, packet: Packet[Stream]) -> None:
        """See the next packet."""
        if packet.pts is None:
            raise SplitError("not all of its pictures have a time")
        if packet.dts is not None:
            if self._last_dts is not None and packet.dts < self._last_dts:
                raise SplitError("its clock is set back")
            self._last_dts = packet.dts
        if self._before is not None and packet.pts < self._before:
            raise SplitError("its clock is set back")
        self._times.append(packet.pts)
        if packet.is_discard:
            self._keys.clear()  # an edit list cuts something off: only behind it the film is as it is stored
        elif packet.is_keyframe:
            self._before = self._keys[-1].pts if self._keys else None
            seek_to = packet.pts if packet.dts is None else min(packet.dts, packet.pts)
            self._keys.append(KeyFrame(packet.pts, seek_to, packet.pts * self._tick))

    def keys(self) -> tuple[KeyFrame, ...]:
        """All places, when the last packet was seen."""
        times = sorted(self._times)
        widest = max((after - before for before, after in itertools.pairwise(times)), default=0)
        if widest * self._tick > LONGEST_JUMP_S:
            raise SplitError("its clock jumps")
        return tuple(self._keys)


def packets_from(
    container: InputContainer, stream: VideoStream, start: KeyFrame, *, name: str
) -> Iterator[Packet[Stream]]:
    """The packets of a stream from a key frame on, in the file's order.

    Raises :class:`SplitError` where the container does not lead there.
    """
    try:
        container.seek(start.seek_to, stream=stream, backward=True)
    except av.FFmpegError as error:
        raise SplitError(f"{name!r} cannot be entered at {float(start.time):.2f} s: {error.strerror}") from error
    is_there = False
    for packet in packets(container, stream):
        is_there = is_there or (packet.is_keyframe and packet.pts == start.pts)
        if is_there:
            yield packet
    if not is_there:
        raise SplitError(f"{name!r} has no key frame at {float(start.time):.2f} s")
