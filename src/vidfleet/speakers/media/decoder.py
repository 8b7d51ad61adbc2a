"""Which decoder makes the pictures: FFmpeg's on the processor, or the one that sits in an NVIDIA GPU.

The GPU's is taken for codecs whose standards say every pixel, so that pictures are the same. As soon as it does
anything but give pictures without a flaw, the film is decoded anew on the processor, and what was given is passed
over: what a damaged film looks like does not depend on the lane.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from av.codec.hwaccel import HWAccel, hwdevices_available
from av.video.reformatter import VideoReformatter

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

EXACT: Final = ("h264", "hevc", "vp8", "vp9")
"""FFmpeg's decoders that hand over to the GPU and whose codecs leave nothing to the decoder. MPEG-2's and MPEG-4's
transform may be rounded in several ways; for AV1 FFmpeg prefers dav1d, which asks no GPU."""
PLANES: Final = {"nv12": "yuv420p", "p010le": "yuv420p10le"}
"""What comes out of a GPU, and what FFmpeg's own decoders make of the same film: the same numbers, but with both
colours in one plane. swscale makes other pixels of that (by up to 254 of 255 on noise), so they are parted first."""


class DecoderError(Exception):
    """The GPU's decoder cannot go on, or not with the pictures that the processor's would give."""


class Decoding:
    """Where the pictures of one video are decoded: as it is wished for, and later as it turned out.

    ``size`` is that of its first picture, as the processor decodes it: width, height.
    """

    def __init__(self, on: Literal["cpu", "cuda"] = "cpu", *, codec: str = "", size: tuple[int, int] = (0, 0)) -> None:
        self.codec, self.size = codec, size
        self.on = on
        """``cuda`` until that is given up."""
        self.reason = ""
        """Why it was given up; empty where it was not."""
        if on == "cuda" and codec not in EXACT:
            self.give_up(f"not for {codec}")

    def give_up(self, reason: str) -> None:
        """Stay with the processor from now on."""
        self.on, self.reason = "cpu", reason

    def __str__(self) -> str:
        if self.on == "cuda":
            return f"{self.codec} decoded on the GPU"
        why = f" (the GPU's decoder: {self.reason})" if self.reason else ""
        return f"{self.codec} decoded on the processor{why}"


class GpuDecoder:
    """Checks what the GPU decodes of one stream, and hands it over as the processor's decoder would give it.

    Raises :class:`DecoderError` where the processor has to do it.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = size
        self._given = 0
        self._reformatter = VideoReformatter()
        if "cuda" not in hwdevices_available():
            raise DecoderError("this PyAV is built without it")
        # The first GPU that CUDA_VISIBLE_DEVICES leaves: the lane's.
        self.acceleration = HWAccel("cuda")

    def prepare(self, stream: VideoStream) -> None:
        """Before the first packet."""
        if not stream.codec_context.is_hwaccel:
            raise DecoderError(f"this FFmpeg has none for {stream.codec_context.name}")
        stream.codec_context.thread_count = 1  # more threads would wait for the GPU, and each hold pictures in it

    def take(self, frame: VideoFrame, stream: VideoStream) -> VideoFrame:
        """The next picture, as it came from the GPU."""
        if not self._given:
            self._check_decoder(frame, stream)
            self._check_size(frame)
        if frame.is_corrupt:
            raise DecoderError(f"picture {self._given} is damaged")
        planes = PLANES.get(frame.format.name)
        if planes is None:
            raise DecoderError(f"not for pictures in {frame.format.name}")
        self._given += 1
        return self._reformatter.reformat(frame, format=planes, threads=1)

    def finish(self) -> None:
        """The film is over."""
        if not self._given:
            raise DecoderError("no picture came")

    @staticmethod
    def _check_decoder(frame: VideoFrame, stream: VideoStream) -> None:
        if stream.codec_context.pix_fmt != "cuda":  # the GPU has refused, and FFmpeg done it on the processor
            raise DecoderError(f"not for {stream.codec_context.name} in {frame.format.name}")

    def _check_size(self, frame: VideoFrame) -> None:
        if (frame.width, frame.height) != self._size:  # FFmpeg cuts a GPU's pictures at the right and below only
            raise DecoderError(f"pictures of {frame.width}x{frame.height} instead of {self._size[0]}x{self._size[1]}")
