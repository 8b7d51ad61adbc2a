"""Pictures are the same, whatever decodes them; and where a GPU's decoder cannot, the processor's does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
from av.packet import Packet

from tests.speakers.test_media_pictures import write_interlaced
from vidfleet.speakers.media import VideoSource, decoder, pictures
from vidfleet.speakers.media.container import decode, opened
from vidfleet.speakers.media.decoder import PLANES, DecoderError, Decoding, GpuDecoder
from vidfleet.speakers.media.pictures import Orientation

if TYPE_CHECKING:
    from pathlib import Path

    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from tests.speakers.conftest import MakeClip


def shown(source: VideoSource) -> list[tuple[float, bytes]]:
    return [(frame.source_time_s, frame.bgr.tobytes()) for frame in source.frames()]


@pytest.fixture
def no_gpu() -> None:
    """Skip where a GPU's decoder would really do it."""
    try:
        av.codec.hwaccel.HWAccel("cuda").create(av.Codec("h264", "r"))
    except av.FFmpegError:
        return
    pytest.skip("this machine has a GPU's decoder")


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_the_processor_decodes_and_says_why(make_clip: MakeClip) -> None:
    path, _ = make_clip("film.mp4")
    source = VideoSource.open(path, decode_on="cuda")
    assert str(source.decoding) == "h264 decoded on the GPU"
    assert shown(source) == shown(VideoSource.open(path))
    assert source.decoding.on == "cpu"
    why = "it cannot be opened: Operation not permitted"
    assert str(source.decoding) == f"h264 decoded on the processor (the GPU's decoder: {why})"


def test_a_codec_that_leaves_rounding_to_decoders_is_for_the_processor(make_clip: MakeClip) -> None:
    path, _ = make_clip("film.avi", video="mpeg4", video_options={}, audio="pcm_s16le")
    source = VideoSource.open(path, decode_on="cuda")
    assert str(source.decoding) == "mpeg4 decoded on the processor (the GPU's decoder: not for mpeg4)"


def test_nobody_asks_a_gpu_unless_told_to(make_clip: MakeClip) -> None:
    source = VideoSource.open(make_clip("film.mp4")[0])
    shown(source)
    assert str(source.decoding) == "h264 decoded on the processor"


class LikeGpu(GpuDecoder):
    """FFmpeg's own decoder, whose pictures come as a GPU's do: NV12."""

    acceleration: Any = None

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__(size)
        self.acceleration = None

    def prepare(self, stream: VideoStream) -> None:
        stream.codec_context.thread_count = 1

    def take(self, frame: VideoFrame, stream: VideoStream) -> VideoFrame:
        return super().take(frame.reformat(format="nv12"), stream)

    @staticmethod
    def _check_decoder(frame: VideoFrame, stream: VideoStream) -> None:
        """It is none."""


@pytest.fixture
def like_gpu(monkeypatch: pytest.MonkeyPatch) -> type[LikeGpu]:
    monkeypatch.setattr(pictures, "GpuDecoder", LikeGpu)
    return LikeGpu


@pytest.mark.parametrize(
    "name",
    [
        "pyscenedetect_issue-134-rotate.mp4",  # stored on its side
        "pyscenedetect_goldeneye-vfr-drop3.mp4",  # at a variable rate
        "pyscenedetect_issue-195-aspect-ratio.mp4",
        "torchcodec_nasa_13013.mp4",
    ],
)
@pytest.mark.usefixtures("like_gpu")
def test_pictures_that_come_as_a_gpu_gives_them_are_those_of_the_processor(media: Path, name: str) -> None:
    path = media / name
    gpu, cpu = VideoSource.open(path, decode_on="cuda"), VideoSource.open(path)
    for one, other in zip(gpu.frames(), cpu.frames(), strict=False):
        assert (one.index, one.source_time_s, one.is_repeat) == (other.index, other.source_time_s, other.is_repeat)
        np.testing.assert_array_equal(one.bgr, other.bgr)
        if one.index == 60:
            break
    assert gpu.decoding.on == "cuda"


@pytest.mark.usefixtures("like_gpu")
def test_interlaced_pictures_are_deinterlaced_whatever_decodes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder, "EXACT", ("mpeg2video",))
    path = write_interlaced(tmp_path / "film.mkv")
    gpu, cpu = VideoSource.open(path, decode_on="cuda"), VideoSource.open(path)
    assert shown(gpu) == shown(cpu)
    assert gpu.decoding.on == "cuda"


@pytest.mark.parametrize("fails_at", [0, 1, 30, 74])
def test_when_the_gpu_fails_at_a_picture_the_processor_goes_on_there(
    make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    class Fails(LikeGpu):
        def take(self, frame: VideoFrame, stream: VideoStream) -> VideoFrame:
            if self._given == fails_at:
                raise DecoderError("No decoder surfaces left")
            return super().take(frame, stream)

    monkeypatch.setattr(pictures, "GpuDecoder", Fails)
    path, _ = make_clip("film.mp4")
    source = VideoSource.open(path, decode_on="cuda")
    assert shown(source) == shown(VideoSource.open(path))
    after = f", after {fails_at} pictures" if fails_at else ""
    assert source.decoding.reason == f"No decoder surfaces left{after}"


@pytest.mark.usefixtures("like_gpu")
def test_a_damaged_film_is_what_the_processor_makes_of_it(make_clip: MakeClip) -> None:
    path, _ = make_clip("film.ts", video_options={"preset": "ultrafast", "g": "12"}, audio="mp2")
    damaged = bytearray(path.read_bytes())
    middle = slice(len(damaged) // 2, len(damaged) // 2 + 4000)
    damaged[middle] = bytes(reversed(damaged[middle]))
    path.write_bytes(damaged)
    source = VideoSource.open(path, decode_on="cuda")
    assert shown(source) == shown(VideoSource.open(path))


def test_a_packet_that_cannot_be_decoded_is_an_error_to_the_gpu_alone(make_clip: MakeClip) -> None:
    with opened(make_clip("film.mp4")[0]) as container:
        bad: Packet[Any] = Packet(b"\x00\x00\x00\x05\x65\xff\xff\xff\xff" * 4)
        bad.stream = container.streams.video[0]
        assert decode(bad) == []
        with pytest.raises(DecoderError, match="Invalid data"):
            decode(bad, strictly=True)


def test_pictures_of_another_size_are_not_taken(make_clip: MakeClip, like_gpu: type[LikeGpu]) -> None:
    path, _ = make_clip("film.mp4")
    with opened(path) as container:
        stream = container.streams.video[0]
        frame = next(container.decode(stream))
        with pytest.raises(DecoderError, match="96x64 instead of 90x64"):
            like_gpu((90, 64)).take(frame, stream)


def test_what_the_gpu_has_left_to_the_processor_is_said(make_clip: MakeClip) -> None:
    path, _ = make_clip("film.mp4")
    with opened(path) as container:
        stream = container.streams.video[0]
        frame = next(container.decode(stream))
        with pytest.raises(DecoderError, match="not for h264 in yuv420p"):
            GpuDecoder((96, 64)).take(frame, stream)
        with pytest.raises(DecoderError, match="none for h264"):
            GpuDecoder((96, 64)).prepare(stream)


def test_a_film_without_a_picture_is_not_the_gpus(like_gpu: type[LikeGpu]) -> None:
    with pytest.raises(DecoderError, match="no picture"):
        like_gpu((1, 1)).finish()


@pytest.mark.parametrize(("packed", "planar"), PLANES.items())
def test_parting_the_colours_changes_no_number(packed: str, planar: str) -> None:
    frame = av.VideoFrame(66, 50, planar)
    numbers = np.random.default_rng(3)
    most = 256 if planar == "yuv420p" else 1 << int(planar[7:9])
    kind = np.uint8 if most == 256 else np.dtype("<u2")
    for plane in frame.planes:
        plane.update(numbers.integers(0, most, plane.buffer_size // np.dtype(kind).itemsize, kind).tobytes())
    again = frame.reformat(format=packed).reformat(format=planar)
    np.testing.assert_array_equal(again.to_ndarray(), frame.to_ndarray())


def test_parting_the_colours_keeps_what_belongs_to_a_picture(media: Path) -> None:
    with opened(media / "pyscenedetect_issue-134-rotate.mp4") as container:
        frame = next(container.decode(container.streams.video[0]))
        again = frame.reformat(format="nv12").reformat(format="yuv420p")
        assert Orientation.of(again) == Orientation.of(frame) != Orientation()
        assert (again.pts, again.time_base, again.duration) == (frame.pts, frame.time_base, frame.duration)


def test_decoding_tells_how_it_turned_out() -> None:
    decoding = Decoding("cuda", codec="h264")
    decoding.give_up("out of memory, after 7 pictures")
    assert decoding.on == "cpu"
    assert str(decoding) == "h264 decoded on the processor (the GPU's decoder: out of memory, after 7 pictures)"
