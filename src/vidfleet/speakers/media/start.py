"""Where a video's clock starts: the earlier of the first picture and the first sound."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, cast

from av.video.frame import VideoFrame

from vidfleet.errors import BadInputError
from vidfleet.speakers.media.container import Clock, check_jump, decode, flush, packets, read_only

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream

_INTERLEAVING_S = 10
"""Sound that belongs to a picture lies at most so far behind it in the file."""


@dataclass(frozen=True, slots=True)
class Start:
    """How a video starts."""

    frame: VideoFrame
    """The first picture, stored orientation."""
    picture_time: Fraction
    """Of the first picture, in the container's seconds."""
    zero: Fraction
    """Where the clock starts, in the container's seconds."""


def find_start(container: InputContainer, video: VideoStream, audio: AudioStream | None, *, name: str) -> Start:
    """Decode the first picture, and the first sound unless it comes later.

    Decoded, not taken from headers: only the decoder knows what is priming and what an edit list cuts off.
    Raises :class:`BadInputError` where no picture decodes, or where the two are too far apart.
    """
    picture = _Search(container, video)
    sound = _Search(container, audio) if audio is not None else None
    searches = (picture,) if sound is None else (picture, sound)
    read_only(container, *(search.stream for search in searches))
    for packet in packets(container, *(search.stream for search in searches)):
        for search in searches:
            search.take(packet)
        if picture.frame is not None and (sound is None or sound.frame is not None or picture.is_past(packet)):
            break
    for search in searches:
        search.finish()
    if picture.frame is None:
        raise BadInputError(f"No picture of {name!r} can be decoded.")
    picture_time = picture.time or Fraction(0)
    zero = picture_time if sound is None or sound.time is None else min(picture_time, sound.time)
    check_jump(zero, picture_time, name=name)
    return Start(cast("VideoFrame", picture.frame), picture_time, zero)


class _Search:
    """Looks for the first frame of one stream."""

    def __init__(self, container: InputContainer, stream: VideoStream | AudioStream) -> None:
        self.stream = stream
        self.frame: VideoFrame | AudioFrame | None = None
        self.time: Fraction | None = None
        self._clock = Clock(container, stream)

    def take(self, packet: Packet[Stream]) -> None:
        """Decode a packet if it is of this stream and the first frame is not found yet."""
        if self.frame is None and packet.stream_index == self.stream.index:
            self._clock.see(packet)
            self._keep_first(decode(packet))

    def finish(self) -> None:
        """Take what the decoder still holds: a clip may be shorter than its delay."""
        if self.frame is None:
            self._keep_first(flush(self.stream))

    def is_past(self, packet: Packet[Stream]) -> bool:
        """Whether other streams' frames that are not found by now cannot come before this one any more."""
        ticks = packet.pts if packet.pts is not None else packet.dts
        if ticks is None:
            return False
        lead = _INTERLEAVING_S if packet.stream_index == self.stream.index else 0
        return ticks * packet.time_base > (self.time or 0) + lead

    def _keep_first(self, frames: list[VideoFrame | AudioFrame]) -> None:
        if frames:
            self.frame, self.time = frames[0], self._clock.time(frames[0])
