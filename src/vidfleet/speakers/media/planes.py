"""A picture as its Y, U and V planes: from the decoder to an encoder without a detour over BGR.

Their numbers mean what the film's do: BT.601 or BT.709, as the film says. A film that says nothing is shown by
players as BT.709 where it is HD and BT.601 where it is not, so that is what its numbers mean here too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation

if TYPE_CHECKING:
    from av.video.reformatter import VideoReformatter
    from numpy.typing import NDArray

FORMAT = "yuv420p"
"""What all encoders take."""
_BT709, _BT601 = frozenset({1}), frozenset({5, 6})
"""FFmpeg's numbers of matrices (AVCOL_SPC): BT.709; BT.601 of 625 and of 525 lines, which are the same."""
_UNSPECIFIED = 2
_HD_COLUMNS, _SD_ROWS = 1280, 576
"""mpv takes BT.709 from so many columns on or above so many rows; SDL (ffplay) goes by the rows alone."""
_BY_AREA = Interpolation.AREA | Interpolation.ACCURATE_RND
"""As exact as OpenCV's INTER_AREA (72 dB apart), in a fifth of its time."""
_LUMA_709, _LUMA_601 = (0.0722, 0.7152, 0.2126), (0.114, 0.587, 0.299)
"""Shares of blue, green and red in Y."""


@dataclass(frozen=True, slots=True)
class Colours:
    """What the numbers of planes mean. Their range is always the limited one, Y from 16 to 235."""

    is_709: bool = False
    """BT.709; else BT.601."""
    is_told: bool = False
    """A copy has to say so; else it says as little as the film does, and players guess alike for both."""

    @classmethod
    def of(cls, frame: VideoFrame, *, is_transposed: bool = False) -> Colours:
        """Those that planes of a picture get, stored as it is: its own, where an encoder's file can name them."""
        if not _is_rgb(frame) and frame.colorspace in _BT709 | _BT601:
            return cls(frame.colorspace in _BT709, is_told=True)
        is_hd = frame.width >= _HD_COLUMNS or frame.height > _SD_ROWS
        # Of another size, as an upright copy has it, players might guess otherwise.
        return cls(is_hd, is_told=is_transposed or _must_be_converted(frame))

    @property
    def matrix(self) -> Colorspace:
        """As FFmpeg calls it."""
        return Colorspace.ITU709 if self.is_709 else Colorspace.ITU601

    def planes_of(self, bgr: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
        """Y (height, width), U and V (half of both) of a picture (height, width, 3) with even sides."""
        shares = np.array(_LUMA_709 if self.is_709 else _LUMA_601)
        pixels = bgr.astype(np.float64) / 255
        luma = pixels @ shares
        halved = [
            (pixels[:, :, channel] - luma).reshape(len(bgr) // 2, 2, -1, 2).mean(axis=(1, 3)) / (1 - shares[channel])
            for channel in (0, 2)
        ]
        u, v = (np.rint(128 + 112 * plane).astype(np.uint8) for plane in halved)
        return np.rint(16 + 219 * luma).astype(np.uint8), u, v


@dataclass(frozen=True, slots=True)
class Planes:
    """An upright picture of eight bits, with a U and a V for each four Y.

    The arrays are views of the memory that decoder and encoders use. A decoder still looks at what it gave
    out, so only a :meth:`copy` may be drawn on.
    """

    frame: VideoFrame
    """As encoders take it. Each numbers it for itself, so each gets one of its own (:meth:`own`)."""
    colours: Colours
    is_own: bool = False
    """Nobody else looks at it."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.frame.width, self.frame.height

    @property
    def arrays(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
        """Y (height, width), U and V (half of both, rounded up); written to only where :attr:`is_own`."""
        y, u, v = (_view(self.frame, index, is_written=self.is_own) for index in range(3))
        return y, u, v

    def own(self) -> Planes:
        """Itself where nobody else looks at it, else a copy: 0.05 ms at 720p."""
        return self if self.is_own else self.copy()

    def copy(self) -> Planes:
        """One to draw on."""
        own = blank(*self.size, self.colours)
        for to, plane in zip(own.arrays, self.arrays, strict=True):
            to[:] = plane
        return own


def blank(width: int, height: int, colours: Colours) -> Planes:
    """Planes of one's own, to be filled."""
    return Planes(VideoFrame(width, height, FORMAT), colours, is_own=True)


def scaled(planes: Planes, size: tuple[int, int], reformatter: VideoReformatter, *, threads: int) -> Planes:
    """A picture in another size (width, height): each pixel the mean of those that it covers."""
    width, height = size
    frame = reformatter.reformat(
        planes.frame, width=width, height=height, interpolation=_BY_AREA, threads=threads,
    )  # fmt: skip
    return Planes(frame, planes.colours, is_own=frame is not planes.frame)


def pixels(planes: Planes, size: tuple[int, int], reformatter: VideoReformatter, *, threads: int) -> NDArray[np.uint8]:
    """What a player shows, in a size (width, height): BGR (height, width, 3)."""
    matrix = planes.colours.matrix
    small = scaled(planes, size, reformatter, threads=threads).frame
    bgr = small.reformat(format="bgr24", src_colorspace=matrix, dst_colorspace=matrix, threads=threads)
    return np.asarray(bgr.to_ndarray(), np.uint8)


def planes_in(
    frame: VideoFrame, colours: Colours, *, size: tuple[int, int], reformatter: VideoReformatter, threads: int
) -> Planes:
    """A decoded picture's planes, not turned: its own where it has such, else converted once."""
    is_as_wanted = Colours.of(frame).is_709 == colours.is_709 and (frame.width, frame.height) == size
    if not is_as_wanted or _must_be_converted(frame) or frame.format.name != FORMAT:
        is_full = _is_full_range(frame)
        source = None if _is_rgb(frame) or _is_of_another_matrix(frame) else Colours.of(frame).matrix
        frame = reformatter.reformat(
            frame,
            width=size[0],
            height=size[1],
            format=FORMAT,
            src_colorspace=source,  # FFmpeg takes what says nothing for BT.601, whatever its size
            dst_colorspace=colours.matrix,
            src_color_range=ColorRange.JPEG if is_full else None,
            dst_color_range=ColorRange.MPEG,
            threads=threads,
        )
    frame.pict_type = PictureType.NONE  # an encoder would repeat the film's choice of key frames
    return Planes(frame, colours)


def _view(frame: VideoFrame, index: int, *, is_written: bool) -> NDArray[np.uint8]:
    plane = frame.planes[index]
    rows: NDArray[np.uint8] = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    array = rows[: plane.height, : plane.width]
    array.flags.writeable = is_written
    return array


def _must_be_converted(frame: VideoFrame) -> bool:
    """Its colours or its range are none that players take for granted."""
    return _is_rgb(frame) or _is_full_range(frame) or _is_of_another_matrix(frame)


def _is_rgb(frame: VideoFrame) -> bool:
    return frame.format.is_rgb or frame.format.has_palette


def _is_full_range(frame: VideoFrame) -> bool:
    return frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")


def _is_of_another_matrix(frame: VideoFrame) -> bool:
    return frame.colorspace not in _BT709 | _BT601 | {_UNSPECIFIED}
