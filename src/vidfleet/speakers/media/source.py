"""One opened video: what it is, and its pictures on the 25 Hz grid."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import av

from vidfleet.errors import BadInputError, SplitError
from vidfleet.speakers.data import GRID_RATE, GridFrame
from vidfleet.speakers.media.container import (
    LONGEST_JUMP_S,
    opened,
    packets,
    pick_audio,
    pick_video,
    read_only,
)
from vidfleet.speakers.media.decoder import Decoding
from vidfleet.speakers.media.pictures import Converted, Converter, Orientation, read_pictures, set_threads
from vidfleet.speakers.media.planes import Colours
from vidfleet.speakers.media.start import find_start

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from vidfleet.speakers.media.key_frames import KeyFrame
    from vidfleet.speakers.media.pictures import Picture, Timing

_REORDERING = 16
"""Decoding order and presentation order differ by at most so many pictures."""
_CLOCK_ROUNDING = Fraction(1, 1000)
"""Containers round times, Matroska to a millisecond: a picture may be due that much after its grid time."""


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What a video is."""

    width: int
    """Of the upright picture, in stored pixels."""
    height: int
    pixel_aspect: Fraction
    """Width of a pixel over its height, upright: 16/11 pixels are wider than high."""
    frame_rate: Fraction | None
    """The mean rate that the container tells; nothing is computed from it."""
    duration_s: float
    """From zero to the end of the pictures, as the container says."""
    expected_frames: int
    """Length of the grid, estimated from ``duration_s``; at least 1."""
    codec: str
    """FFmpeg's name of the pictures' codec, such as ``h264``."""
    has_sound: bool
    """There is a sound track; whether it can be decoded shows only then."""
    colours: Colours
    """Of its planes."""


@dataclass(frozen=True, slots=True)
class VideoSource:
    """One opened video. It holds no file open between calls."""

    path: Path
    info: MediaInfo
    zero: Fraction
    """Where the clock starts, in the container's seconds: the earlier of first picture and first sound."""
    end: Fraction
    """Where the pictures end as the container says, in its seconds."""
    is_reordered: bool
    """Pictures are stored in another order than they are shown."""
    video_index: int
    """The chosen stream's index in the container."""
    audio_stream: int | None
    """The sound track asked for, as given to :meth:`open`."""
    tick: Fraction
    """The unit of the pictures' times in seconds."""
    threads: int
    decoding: Decoding
    """Where its pictures are decoded, as far as that is known by now."""

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        video_stream: int | None = None,
        audio_stream: int | None = None,
        threads: int = 1,
        decode_on: Literal["cpu", "cuda"] = "cpu",
    ) -> VideoSource:
        """Look at a video: decode its first picture and its first sound.

        ``decode_on`` a GPU where it has a decoder that can; see ``decoder``.

        Streams have the numbers that the file gives them (and ffprobe shows), from 0; by default the one
        marked default is taken, else the first, and never a cover picture.
        Raises :class:`BadInputError` with a sentence for what cannot be read.
        """
        with opened(path) as container:
            video = pick_video(container, video_stream, name=path.name)
            audio = pick_audio(container, audio_stream, name=path.name)
            set_threads(video, threads)
            start = find_start(container, video, audio, name=path.name)
            zero = start.zero
            end = _expected_end(container, video, start.picture_time, path)
            info = _describe(video, start.frame, length=max(end - zero, Fraction(0)), has_sound=audio is not None)
            return cls(  # inside: a stream is not to be touched when its container is closed
                path=path,
                info=info,
                zero=zero,
                end=end,
                is_reordered=bool(video.codec_context.has_b_frames),
                video_index=video.index,
                audio_stream=audio_stream,
                tick=video.time_base or _CLOCK_ROUNDING,
                threads=threads,
                decoding=Decoding(decode_on, codec=info.codec, size=(start.frame.width, start.frame.height)),
            )

    def frames(self, start: KeyFrame | None = None, *, keeps_planes: bool = False) -> Iterator[GridFrame]:
        """The 25 Hz grid in one decode pass; nothing but the current picture is held.

        With ``keeps_planes`` a picture gives its planes, too, and takes half as much memory again.

        Grid frame i shows the last picture whose time is not after i / 25 s; before the first picture its
        first. The grid ends with the last picture's duration and has at least one frame.
        With ``start`` it begins with the first grid frame that shows that picture, or one behind it, and counts on
        as in one pass.
        Raises :class:`BadInputError` where no picture decodes or the clock jumps.
        """
        index = 0 if start is None else self.first_index(start)
        current: Picture | None = None
        recent: deque[Timing] = deque(maxlen=_REORDERING)
        converter: Converter | None = None
        pictures = read_pictures(self.path, self.video_index, threads=self.threads, start=start, decoding=self.decoding)
        for picture in pictures:
            if current is None or converter is None:
                self._check_size(picture.frame, start)
                converter = Converter(picture.frame, threads=self.threads, keeps_planes=keeps_planes)
            else:
                until = self._first_grid_index(picture.timing.time)
                yield from self._show(current, index, until, converter)
                index = max(index, until)
            current = picture
            recent.append(picture.timing)
        if current is None or converter is None:
            raise BadInputError(f"No picture of {self.path.name!r} can be decoded.")
        end = self._first_grid_index(current.timing.time + self._last_duration(recent))
        yield from self._show(current, index, max(end, 1), converter)

    def _check_size(self, frame: VideoFrame, start: KeyFrame | None) -> None:
        """All pictures are scaled to the film's first one; who begins later does not see how that was turned."""
        sides = (frame.height, frame.width) if Orientation.of(frame).transpose else (frame.width, frame.height)
        if start is not None and sides != (self.info.width, self.info.height):
            raise SplitError(f"the pictures of {self.path.name!r} change their size")

    def first_index(self, start: KeyFrame) -> int:
        """The grid frame with which :meth:`frames` begins at a key frame."""
        return self._first_grid_index(start.time)

    def _first_grid_index(self, time: Fraction) -> int:
        """The first grid frame that stands at a time, in the container's seconds, or after it."""
        rounding = min(self.tick, _CLOCK_ROUNDING)
        return math.ceil((time - self.zero - rounding) * GRID_RATE)

    def _show(self, picture: Picture, start: int, end: int, converter: Converter) -> Iterator[GridFrame]:
        """Grid frames [start, end), all of one picture; it is converted once, where somebody asks for its pixels."""
        shown = Converted(picture.frame, converter)
        time_s = float(picture.timing.time - self.zero)
        for index in range(start, end):
            yield GridFrame(index=index, source_time_s=time_s, picture=shown, is_repeat=index > start)

    def _last_duration(self, recent: Sequence[Timing]) -> Fraction:
        """How long the last picture stays: as the container says, else as long as the one before it.

        MP4 gives lengths in decoding order. Where that is not the order of presentation, the last picture may
        carry its neighbour's: the track's end decides then, within what the last few pictures have.
        """
        last = recent[-1]
        length = last.duration
        if length is not None and self.is_reordered:
            lengths = [timing.duration for timing in recent if timing.duration is not None]
            length = min(max(self.end - last.time, min(lengths)), max(lengths))
        # Beyond a minute only where the track's length agrees: a damaged number would fill the disk.
        if length is not None and (length <= LONGEST_JUMP_S or last.time + length <= self.end + 1):
            return length
        if len(recent) > 1 and recent[-2].time < last.time:
            return last.time - recent[-2].time
        return 1 / self.info.frame_rate if self.info.frame_rate else Fraction(1, GRID_RATE)


def _describe(video: VideoStream, first: VideoFrame, *, length: Fraction, has_sound: bool) -> MediaInfo:
    """What the container and the first picture say."""
    width, height = first.width, first.height
    aspect = video.sample_aspect_ratio or Fraction(1)
    is_transposed = Orientation.of(first).transpose
    if is_transposed:
        width, height, aspect = height, width, 1 / aspect
    return MediaInfo(
        width=width,
        height=height,
        pixel_aspect=aspect,
        frame_rate=video.average_rate or video.guessed_rate,
        duration_s=float(length),
        expected_frames=max(1, math.ceil(length * GRID_RATE)),
        codec=video.codec_context.name,
        has_sound=has_sound,
        colours=Colours.of(first, is_transposed=is_transposed),
    )


def _expected_end(container: InputContainer, video: VideoStream, first: Fraction, path: Path) -> Fraction:
    """Where the pictures end, in the container's seconds: as headers say, else as the packets do."""
    if video.duration and video.time_base:
        start = video.start_time * video.time_base if video.start_time is not None else first
        return start + video.duration * video.time_base
    if container.duration:
        return Fraction((container.start_time or 0) + container.duration, av.time_base)
    with opened(path) as again:
        stream = again.streams[video.index]
        read_only(again, stream)
        end, count = first, 0
        for packet in packets(again, stream):
            ticks = packet.pts if packet.pts is not None else packet.dts
            count += 1
            if ticks is not None:
                end = max(end, (ticks + (packet.duration or 0)) * packet.time_base)
        return end if end > first or not video.guessed_rate else first + count / video.guessed_rate
