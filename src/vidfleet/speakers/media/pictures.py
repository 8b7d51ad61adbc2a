"""Pictures: a stream's decoded frames with a time each, deinterlaced; and upright BGR arrays and planes of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, cast

import av
import cv2
import numpy as np
from av.buffer import Buffer
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from vidfleet.errors import SplitError
from vidfleet.speakers.media.container import decoded, opened, read_only
from vidfleet.speakers.media.decoder import DecoderError, Decoding, GpuDecoder
from vidfleet.speakers.media.key_frames import packets_from
from vidfleet.speakers.media.planes import Colours, Planes, blank, planes_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

    from vidfleet.speakers.media.key_frames import KeyFrame

_USUAL_DURATION = Fraction(1, 25)
"""Of a picture in a container that tells nothing at all."""


@dataclass(frozen=True, slots=True)
class Timing:
    """When a picture is shown."""

    time: Fraction
    """Presentation time in the container's seconds; never before that of the picture before."""
    duration: Fraction | None
    """As the container says; nothing where it does not."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded picture, not converted yet."""

    frame: VideoFrame
    timing: Timing


@dataclass(frozen=True, slots=True)
class Orientation:
    """How stored pictures become upright: transpose first, then flip."""

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    @classmethod
    def of(cls, frame: VideoFrame) -> Orientation:
        """Read a frame's display matrix (libavutil/display.h), rounded to quarter turns."""
        data = frame.side_data.get("DISPLAYMATRIX")
        if not isinstance(data, Buffer):
            return cls()
        # Row vectors: a stored pixel (x, y) is shown at (a x + c y, b x + d y).
        (a, b), (c, d) = np.frombuffer(bytes(data), np.int32).reshape(3, 3)[:2, :2].astype(int).tolist()
        if abs(b) + abs(c) > abs(a) + abs(d):
            return cls(transpose=True, flip_rows=b < 0, flip_columns=c < 0)
        return cls(flip_rows=d < 0, flip_columns=a < 0)

    def apply(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turn an array (height, width, 3) or a plane (height, width); the result is contiguous."""
        if self.transpose:
            pixels = cv2.transpose(pixels)  # five times as fast as a contiguous copy of numpy's view
        if self.flip_rows or self.flip_columns:
            pixels = cv2.flip(pixels, -1 if self.flip_rows and self.flip_columns else int(self.flip_columns))
        return np.ascontiguousarray(pixels)

    def turn(self, planes: Planes) -> Planes:
        """Turn a picture's planes; itself where it is upright."""
        if self == Orientation():
            return planes
        width, height = planes.size
        turned = blank(*((height, width) if self.transpose else (width, height)), planes.colours)
        for to, plane in zip(turned.arrays, planes.arrays, strict=True):
            to[:] = self.apply(plane)
        return Planes(turned.frame, turned.colours)


class Converter:
    """Makes upright BGR arrays, or planes, of one size of the pictures of one stream."""

    def __init__(self, first: VideoFrame, *, threads: int, keeps_planes: bool = False) -> None:
        self.keeps_planes = keeps_planes
        self._width, self._height = first.width, first.height
        self._orientation = Orientation.of(first)
        self._colours = Colours.of(first, is_transposed=self._orientation.transpose)
        self._reformatter, self._planes_reformatter = VideoReformatter(), VideoReformatter()
        self._threads = threads
        self._lock = Lock()

    def convert(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """A picture as (height, width, 3), read only since grid frames share it.

        Where the size changes in mid stream, pictures are scaled to the first one's.
        """
        with self._lock:  # pictures may be asked for their pixels in any thread; meanwhile FFmpeg sets their tags
            bgr = self._reformatter.reformat(
                frame, width=self._width, height=self._height, format="bgr24", threads=self._threads
            )
        upright = self._orientation.apply(cast("NDArray[np.uint8]", bgr.to_ndarray()))
        upright.flags.writeable = False
        return upright

    def planes(self, frame: VideoFrame) -> Planes:
        """A picture's upright planes: what the decoder made, where that is what encoders take."""
        size = (self._width, self._height)
        with self._lock:
            planes = planes_in(
                frame, self._colours, size=size, reformatter=self._planes_reformatter, threads=self._threads
            )
        return self._orientation.turn(planes)


class Converted:
    """A decoded picture that becomes pixels once, when somebody asks for them.

    Until then it holds the decoder's planes, half of what the pixels take, and after that the pixels alone;
    in a pass that keeps planes both.
    """

    def __init__(self, frame: VideoFrame, converter: Converter) -> None:
        self._frame: VideoFrame | None = frame
        self._bgr: NDArray[np.uint8] | None = None
        self._planes: Planes | None = None
        self._converter = converter
        self._lock = Lock()

    @property
    def bgr(self) -> NDArray[np.uint8]:
        """See :meth:`Converter.convert`."""
        with self._lock:
            if self._bgr is None:
                assert self._frame is not None
                self._bgr = self._converter.convert(self._frame)
                self._let_go()
            return self._bgr

    @property
    def planes(self) -> Planes:
        """See :meth:`Converter.planes`. Raises ValueError in a pass that keeps none."""
        if not self._converter.keeps_planes:
            raise ValueError("the pictures of this pass keep no planes: ask its source for them")
        with self._lock:
            if self._planes is None:
                assert self._frame is not None
                self._planes = self._converter.planes(self._frame)
                self._let_go()
            return self._planes

    def _let_go(self) -> None:
        """Of what was decoded, as soon as nothing more can be made of it."""
        if self._bgr is not None and (self._planes is not None or not self._converter.keeps_planes):
            self._frame = None


def read_pictures(
    path: Path, stream_index: int, *, threads: int, start: KeyFrame | None = None, decoding: Decoding | None = None
) -> Iterator[Picture]:
    """All pictures of one stream of a file, in one pass, deinterlaced where they are flagged interlaced.

    With ``start`` those from a key frame on; pictures that are stored behind it and shown before it are left out.
    ``decoding`` says where they are decoded, and is told where that turns out not to be possible.
    Raises :class:`SplitError` at a damaged picture behind ``start``.
    """
    pictures = _decoded(path, stream_index, threads, start, decoding or Decoding())
    if start is not None:
        pictures = _whole_ones((picture for picture in pictures if picture.timing.time >= start.time), name=path.name)
    yield from deinterlaced(pictures, threads=threads)


def _whole_ones(pictures: Iterable[Picture], *, name: str) -> Iterator[Picture]:
    """Pass pictures on up to a damaged one.

    What stands in for it may come from pictures long ago, so it is another one for who has not decoded those. Not
    meant are the first ones, which may be on their way to be whole where a film is refreshed in stripes.
    """
    was_whole = False
    for picture in pictures:
        if picture.frame.is_corrupt and was_whole:
            raise SplitError(f"the picture of {name!r} at {float(picture.timing.time):.2f} s is damaged")
        was_whole = was_whole or not picture.frame.is_corrupt
        yield picture


def _decoded(
    path: Path, stream_index: int, threads: int, start: KeyFrame | None, decoding: Decoding
) -> Iterator[Picture]:
    """By the GPU for as long as it gives what the processor would; from there on by the processor."""
    given = 0
    if decoding.on == "cuda":
        try:
            for picture in _by_gpu(path, stream_index, start, decoding.size):
                given += 1
                yield picture
        except DecoderError as error:
            decoding.give_up(f"{error}, after {given} pictures" if given else str(error))
        else:
            return
    with opened(path) as container:
        stream = cast("VideoStream", container.streams[stream_index])
        read_only(container, stream)
        set_threads(stream, threads)
        source = None if start is None else packets_from(container, stream, start, name=path.name)
        yield from islice(timed(container, stream, name=path.name, source=source), given, None)


def _by_gpu(path: Path, stream_index: int, start: KeyFrame | None, size: tuple[int, int]) -> Iterator[Picture]:
    gpu = GpuDecoder(size)
    with opened(path, gpu.acceleration) as container:
        stream = cast("VideoStream", container.streams[stream_index])
        read_only(container, stream)
        gpu.prepare(stream)
        source = None if start is None else packets_from(container, stream, start, name=path.name)
        for picture in timed(container, stream, name=path.name, source=source, strictly=True):
            yield replace(picture, frame=gpu.take(picture.frame, stream))
        gpu.finish()


def set_threads(stream: VideoStream, threads: int) -> None:
    """Hold a decoder to its share of the cores; by default it takes them all."""
    stream.codec_context.thread_count = threads
    stream.codec_context.thread_type = "AUTO" if threads > 1 else "SLICE"


def timed(
    container: InputContainer,
    stream: VideoStream,
    *,
    name: str,
    source: Iterable[Packet[Stream]] | None = None,
    strictly: bool = False,
) -> Iterator[Picture]:
    """Decode a stream and give each picture a time: its own, or from the order where it has none.

    A picture whose time lies before that of the one before it is shown at once, as players do.
    Raises :class:`BadInputError` where the clock jumps; ``strictly`` as in :func:`decoded`.
    """
    step = 1 / stream.guessed_rate if stream.guessed_rate else _USUAL_DURATION
    shown: Fraction | None = None  # the last time that we gave
    for item in decoded(container, stream, name=name, source=source, strictly=strictly):
        frame = cast("VideoFrame", item.frame)
        duration = frame.duration * frame.time_base if frame.duration and frame.time_base else None
        if item.time is not None:
            shown = item.time if shown is None else max(item.time, shown)
        else:
            shown = Fraction(0) if shown is None else shown + step
        yield Picture(frame, Timing(shown, duration if duration is not None and duration > 0 else None))


def deinterlaced(pictures: Iterable[Picture], *, threads: int) -> Iterator[Picture]:
    """Pass pictures on, and through a deinterlacer from the first interlaced one on.

    The deinterlacer (FFmpeg's bwdif, one picture out per picture in) looks at neighbours, so it has to see
    all that follow; pictures that are not flagged leave it untouched.
    """
    graph: _Deinterlacer | None = None
    for picture in pictures:
        if graph is not None and not graph.fits(picture.frame):
            yield from graph.finish()
            graph = None
        if graph is None and picture.frame.interlaced_frame:
            graph = _Deinterlacer(picture.frame, threads=threads)
        if graph is None:
            yield picture
        else:
            yield from graph.push(picture)
    if graph is not None:
        yield from graph.finish()


class _Deinterlacer:
    """A filter graph for pictures of one size and format."""

    def __init__(self, first: VideoFrame, *, threads: int) -> None:
        self._shape = (first.width, first.height, first.format.name)
        self._graph = Graph()
        self._graph.threads = threads
        source = self._graph.add_buffer(
            width=first.width, height=first.height, format=first.format, time_base=Fraction(1, 1000)
        )
        filtered = self._graph.add("bwdif", "mode=send_frame:deint=interlaced")
        self._graph.link_nodes(source, filtered, self._graph.add("buffersink")).configure()
        self._waiting: list[Picture] = []
        self._pushed = 0

    def fits(self, frame: VideoFrame) -> bool:
        """Whether a picture has the size and format that this graph was made for."""
        return (frame.width, frame.height, frame.format.name) == self._shape

    def push(self, picture: Picture) -> Iterator[Picture]:
        """Take one picture; those come out that are ready."""
        picture.frame.pts = self._pushed  # rising without gaps, whatever the file says; our times are kept aside
        picture.frame.time_base = Fraction(1, 1000)
        self._pushed += 1
        self._waiting.append(picture)
        self._graph.push(picture.frame)
        yield from self._ready()

    def finish(self) -> Iterator[Picture]:
        """What is still inside."""
        self._graph.push(None)
        yield from self._ready()

    def _ready(self) -> Iterator[Picture]:
        while self._waiting:
            try:
                frame = self._graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            yield replace(self._waiting.pop(0), frame=cast("VideoFrame", frame))
