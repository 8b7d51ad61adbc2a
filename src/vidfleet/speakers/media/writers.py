"""Writing: MPEG-4 AVI files with PCM sound, and JPEG pictures."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Self

import av
import cv2
import numpy as np
from av.packet import Packet

from vidfleet.speakers.data import GRID_RATE, SAMPLE_RATE
from vidfleet.speakers.media.mpeg4 import told
from vidfleet.speakers.media.sound import Sound

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.stream import Stream
    from av.video.frame import VideoFrame
    from numpy.typing import NDArray

    from vidfleet.speakers.media.planes import Colours, Planes

_TAG = "XVID"
_QUANTISER = 3
"""MPEG-4's quantiser, 1 (best) to 31: at 3 artefacts are not seen."""
_LAMBDA_PER_QUANTISER = 118  # FF_QP2LAMBDA
_SAMPLES_PER_FRAME = SAMPLE_RATE // GRID_RATE


class AviWriter:
    """An AVI file that grows picture by picture: MPEG-4 (XVID) at 25 frames/s, with PCM sound if given.

    ``sound`` is laid under the pictures from its sample ``sound_start`` on, 640 samples each. A context
    manager; the file is whole when it has ended.
    """

    def __init__(
        self,
        path: Path,
        *,
        width: int,
        height: int,
        sound: Sound | None = None,
        sound_start: int = 0,
        quantiser: int = _QUANTISER,
        threads: int = 1,
    ) -> None:
        self._size = (width, height)
        self._container = av.open(path.absolute(), mode="w", format="avi")
        self._video = self._container.add_stream("mpeg4", rate=GRID_RATE)
        self._video.width, self._video.height, self._video.pix_fmt = width, height, "yuv420p"
        context = self._video.codec_context
        context.codec_tag = _TAG
        context.qscale = True
        context.global_quality = quantiser * _LAMBDA_PER_QUANTISER
        context.gop_size = GRID_RATE
        context.thread_count = threads
        self._audio = _add_pcm(self._container) if sound is not None else None
        self._sound = sound
        self._sound_start = sound_start
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
        finally:
            self._container.close()

    def write(self, bgr: NDArray[np.uint8]) -> None:
        """Append one picture (height, width, 3)."""
        self._check((bgr.shape[1], bgr.shape[0]))
        self._append(av.VideoFrame.from_ndarray(np.ascontiguousarray(bgr), format="bgr24"))

    def write_planes(self, planes: Planes) -> None:
        """Append one picture as it comes from a decoder."""
        self._check(planes.size)
        self._append(planes.own().frame, planes.colours)

    def _check(self, size: tuple[int, int]) -> None:
        if size != self._size:
            raise ValueError(f"a picture of {size} does not fit a video of {self._size}")

    def _append(self, frame: VideoFrame, colours: Colours | None = None) -> None:
        frame.pts, frame.time_base = self._frames, Fraction(1, GRID_RATE)
        for packet in self._video.encode(frame):
            self._container.mux(told(packet, colours) if colours is not None and colours.is_told else packet)
        if self._sound is not None and self._audio is not None:
            start = self._frames * _SAMPLES_PER_FRAME
            at = self._sound_start + start
            samples = self._sound.read(at, at + _SAMPLES_PER_FRAME)
            self._container.mux(_pcm_packet(self._audio, samples, start))
        self._frames += 1


def add_sound(video_avi: Path, wav: Path | None, target: Path) -> None:
    """Copy an AVI's pictures unchanged, with the whole sound of a WAV file, if given, beside them."""
    sound = Sound.open(wav) if wav is not None else None
    with (
        av.open(video_avi.absolute(), mode="r") as source,
        av.open(target.absolute(), mode="w", format="avi") as container,
    ):
        pictures = source.streams.video[0]
        video = container.add_stream_from_template(pictures)
        video.codec_context.codec_tag = _TAG  # a template's is not taken over
        audio = _add_pcm(container) if sound is not None else None
        container.start_encoding()
        written = 0
        for packet in source.demux(pictures):
            if not packet.size:
                continue
            packet.stream = video
            container.mux(packet)
            if sound is not None and audio is not None:
                written = _copy_piece(container, audio, sound, written, _SAMPLES_PER_FRAME)
        while sound is not None and audio is not None and written < sound.length_samples:
            written = _copy_piece(container, audio, sound, written, SAMPLE_RATE)


def _copy_piece(container: OutputContainer, audio: AudioStream, sound: Sound, start: int, length: int) -> int:
    """Append the next samples of a track. Returns how many are written then."""
    end = min(start + length, sound.length_samples)
    if start < end:
        container.mux(_pcm_packet(audio, sound.read(start, end), start))
    return end


def write_jpeg(path: Path, bgr: NDArray[np.uint8], quality: int = 95) -> None:
    """Write a picture (height, width, 3). Goes through memory: OpenCV takes no path that is not UTF-8."""
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"a picture of {bgr.shape} cannot be written as JPEG")
    path.write_bytes(data.data)


def _add_pcm(container: OutputContainer) -> AudioStream:
    return container.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout="mono")


def _pcm_packet(stream: AudioStream, samples: NDArray[np.int16], start: int) -> Packet[Stream]:
    """PCM needs no encoder: the samples are the packet."""
    packet = Packet(samples.astype("<i2", copy=False).tobytes())
    packet.stream = stream
    packet.time_base = Fraction(1, SAMPLE_RATE)
    packet.pts = packet.dts = start
    packet.duration = len(samples)
    return packet
