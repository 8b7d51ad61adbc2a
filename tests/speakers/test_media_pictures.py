"""Pictures: upright, deinterlaced, of one size, of the film and not its cover; damage does not end them."""

from __future__ import annotations

import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np
import pytest

from tests.speakers.stills import bgr_of
from vidfleet.errors import BadInputError
from vidfleet.speakers.media import VideoSource, container, pictures

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.speakers.conftest import Clip, MakeClip

SILENT: dict[str, Any] = {"sound_s": None}
PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"
MATRICES = {
    "upright": (1, 0, 0, 1),
    "clockwise": (0, 1, -1, 0),
    "upside down": (-1, 0, 0, -1),
    "anticlockwise": (0, -1, 1, 0),
    "mirrored": (-1, 0, 0, 1),
    "transposed": (0, 1, 1, 0),
}
"""a, b, c, d of MP4's display matrix: the stored pixel (x, y) is shown at (a x + c y, b x + d y)."""


@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
def test_pictures_come_upright(make_clip: MakeClip, matrix: tuple[int, int, int, int]) -> None:
    path, clip = make_clip("a.mp4", seconds=Fraction(1, 5), events_at=(), draw=lambda *_: corners(96, 64), **SILENT)
    data = bytearray(path.read_bytes())
    a, b, c, d = (value << 16 for value in matrix)
    struct.pack_into(">9i", data, data.index(b"tkhd") + 44, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)

    source = VideoSource.open(path)
    frame = next(source.frames(keeps_planes=True))
    for shown in (frame.bgr, bgr_of(frame.planes)):
        assert shown.shape == (source.info.height, source.info.width, 3)
        assert np.abs(shown.astype(int) - displayed(corners(96, 64), matrix)).mean() < 8
    assert clip.size == (96, 64)


def test_pixel_aspect_is_told_upright_and_applied_to_nothing(make_clip: MakeClip) -> None:
    path, _ = make_clip("a.mp4", pixel_aspect=Fraction(16, 11), **SILENT)
    info = VideoSource.open(path).info
    assert (info.width, info.height, info.pixel_aspect) == (96, 64, Fraction(16, 11))
    data = bytearray(path.read_bytes())
    struct.pack_into(">5i", data, data.index(b"tkhd") + 44, 0, 1 << 16, 0, -1 << 16, 0)
    path.write_bytes(data)
    info = VideoSource.open(path).info
    assert (info.width, info.height, info.pixel_aspect) == (64, 96, Fraction(11, 16))


@pytest.mark.parametrize("name", ["a.mpg", "a.mkv"])
def test_interlaced_pictures_are_deinterlaced(tmp_path: Path, name: str) -> None:
    path = write_interlaced(tmp_path / name)
    with av.open(path) as stored:
        combed = [frame.to_ndarray(format="bgr24") for frame in stored.decode(video=0)]
    frames = list(VideoSource.open(path).frames())
    assert len(frames) == len(combed) == 25
    assert [frame.source_time_s for frame in frames] == pytest.approx([k / 25 for k in range(25)], abs=0.001)
    assert min(combing(np.asarray(picture, np.uint8)) for picture in combed) > 3
    assert max(combing(frame.bgr) for frame in frames) < 0.5
    again = [bgr_of(frame.planes) for frame in VideoSource.open(path).frames(keeps_planes=True)]
    assert max(combing(bgr) for bgr in again) < 0.5


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_cover_is_no_film(tmp_path: Path, name: str) -> None:
    info = VideoSource.open(write_with_cover(tmp_path / name, film=True)).info
    assert (info.width, info.codec) == (128, "mpeg4")
    with pytest.raises(BadInputError, match="no video stream"):
        VideoSource.open(write_with_cover(tmp_path / f"sound-{name}", film=False))


def test_a_size_that_changes_is_scaled_to_the_first(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    with av.open(path, "w") as out:
        first = out.add_stream("mpeg2video", rate=25)
        for start, (width, height) in ((0, (128, 96)), (25, (64, 48))):
            codec = av.CodecContext.create("mpeg2video", "w")
            codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
            codec.time_base, codec.framerate = Fraction(1, 25), Fraction(25)
            if start == 0:
                first.width, first.height, first.pix_fmt = width, height, "yuv420p"
            pictures_of = [av.VideoFrame.from_ndarray(np.full((height, width, 3), 200, np.uint8), "bgr24")] * 25
            packets = []
            for number, frame in enumerate(pictures_of):
                frame.pts, frame.time_base = start + number, Fraction(1, 25)
                packets += codec.encode(frame)
            for packet in [*packets, *codec.encode(None)]:
                packet.stream = first
                out.mux(packet)
    frames = list(VideoSource.open(path).frames(keeps_planes=True))
    assert len(frames) == 50
    assert {frame.bgr.shape for frame in frames} == {(96, 128, 3)}
    assert {frame.planes.size for frame in frames} == {(128, 96)}
    assert all(abs(frame.planes.arrays[0].mean() - 188) < 2 for frame in frames)


class TestDamage:
    """What can be decoded is shown; what cannot is passed over."""

    @pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
    def test_damaged_pictures_do_not_end_a_video(self, make_clip: MakeClip, name: str) -> None:
        path, _ = make_clip(name, seconds=4, **SILENT)
        spoil(path, range(30, 50))
        times = [frame.source_time_s for frame in VideoSource.open(path).frames()]
        assert len(times) == 100
        assert times[-1] == pytest.approx(3.96)
        assert times == sorted(times)

    def test_a_damaged_beginning_shows_the_first_good_picture(self, make_clip: MakeClip) -> None:
        path, _ = make_clip("a.mp4", seconds=4, video="mpeg4", video_options={"g": "12"}, **SILENT)
        spoil(path, range(12))
        assert len(list(VideoSource.open(path).frames())) == 100 - 12

    def test_a_video_without_one_good_picture_is_bad_input(self, make_clip: MakeClip) -> None:
        path, _ = make_clip("a.mp4", seconds=1, events_at=(), **SILENT)
        spoil(path, range(25))
        with pytest.raises(BadInputError, match=r"No picture of 'a\.mp4' can be decoded"):
            VideoSource.open(path)

    def test_a_file_cut_short_ends_where_it_ends(self, make_clip: MakeClip) -> None:
        path, _ = make_clip("a.mkv", seconds=8, **SILENT)
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 2)
        assert 50 < len(list(VideoSource.open(path).frames())) < 180

    @pytest.mark.parametrize("content", [b"", b"\0" * 5000, b"not a video\n" * 100, PLAYLIST])
    def test_what_is_no_video_is_bad_input(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "a b.mp4"
        path.write_bytes(content)
        with pytest.raises(BadInputError, match=r"'a b\.mp4' cannot be opened"):
            VideoSource.open(path)

    def test_a_missing_file_or_stream_is_bad_input(self, make_clip: MakeClip, tmp_path: Path) -> None:
        with pytest.raises(BadInputError, match="No such file"):
            VideoSource.open(tmp_path / "gone.mp4")
        path, _ = make_clip("a.mp4", seconds=1, events_at=())
        with pytest.raises(BadInputError, match="no video stream 1; it has: 0"):
            VideoSource.open(path, video_stream=1)
        with pytest.raises(BadInputError, match="no audio stream 0; it has: 1"):
            VideoSource.open(path, audio_stream=0)


class TestLengths:
    """Where the grid ends, and where a clock is too odd to follow."""

    @pytest.mark.parametrize("jump_s", [61, 59, -59, -61])
    def test_a_jump_of_more_than_a_minute_is_bad_input(self, tmp_path: Path, jump_s: int) -> None:
        path = write_times(tmp_path / "a.mkv", [100, 100.04, 100.08 + jump_s, 100.12 + jump_s])
        frames = VideoSource.open(path).frames()
        if abs(jump_s) > 60:
            with pytest.raises(BadInputError, match=r"jumps by -?6"):
                list(frames)
        else:
            assert len(list(frames)) == 4 + max(jump_s, 0) * 25

    def test_times_before_the_one_before_are_shown_at_once(self, tmp_path: Path) -> None:
        path = write_times(tmp_path / "a.mkv", [0, 0.2, 0.1, 0.4])
        shown = [round(frame.source_time_s, 2) for frame in VideoSource.open(path).frames()]
        assert shown[:11] == [0] * 5 + [0.2] * 5 + [0.4]

    def test_one_odd_time_moves_nothing_that_follows(self, tmp_path: Path) -> None:
        times = [5 + k / 25 for k in range(100)]
        path = write_times(tmp_path / "a.mkv", [*times[:50], 1.0, *times[51:]])
        shown = [frame.source_time_s for frame in VideoSource.open(path).frames()]
        assert shown == pytest.approx([k / 25 for k in range(100)], abs=0.0015)

    @pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
    def test_one_picture_is_a_video(self, make_clip: MakeClip, name: str) -> None:
        path, _ = make_clip(name, seconds=Fraction(1, 25), events_at=(), video="mpeg4", video_options={}, **SILENT)
        frames = list(VideoSource.open(path).frames())
        assert [(frame.index, frame.is_repeat) for frame in frames] == [(0, False)]

    def test_a_still_that_stays_two_minutes_is_shown_for_two_minutes(self, tmp_path: Path) -> None:
        path = tmp_path / "a.mp4"
        with av.open(path, "w") as out:
            stream = out.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for packet in [*stream.encode(av.VideoFrame(64, 48, "yuv420p")), *stream.encode(None)]:
                packet.duration = 120 * 25
                out.mux(packet)
        frames = list(VideoSource.open(path).frames())
        assert len(frames) == 120 * 25
        assert frames[0].bgr is frames[-1].bgr

    def test_a_container_without_a_duration_is_measured_by_its_packets(self, make_clip: MakeClip) -> None:
        path, _ = make_clip("a.mp4", seconds=3, **SILENT)
        live = path.with_name("live.mkv")
        with av.open(path) as source, av.open(live, "w", options={"live": "1"}) as out:
            stream = out.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    out.mux(packet)
        with av.open(live) as opened:
            assert opened.duration is None
        video = VideoSource.open(live)
        assert abs(video.info.expected_frames - 75) <= 1
        assert len(list(video.frames())) == 75


class TestCost:
    """One pass, and nothing held."""

    @pytest.mark.parametrize("rate", [24, 25, 50, 60])
    def test_the_grid_opens_the_file_once_and_converts_once_what_it_shows_and_is_looked_at(
        self, rate: int, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path, _ = make_clip("a.mp4", rate, **SILENT)
        source = VideoSource.open(path)
        opens, converted = [], []
        opened, convert = container.opened, pictures.Converter.convert
        monkeypatch.setattr(pictures, "opened", lambda path: opens.append(path) or opened(path))  # type: ignore[func-returns-value]
        monkeypatch.setattr(
            pictures.Converter,
            "convert",
            lambda self, frame: converted.append(1) or convert(self, frame),  # type: ignore[func-returns-value]
        )
        frames = list(source.frames())
        assert (len(frames), len(opens), len(converted)) == (75, 1, 0)
        for frame in (*frames, *frames):
            assert frame.bgr.shape == (64, 96, 3)
        assert len(converted) == len({frame.source_time_s for frame in frames}) == 3 * min(rate, 25)

    def test_pixels_are_the_same_whichever_thread_asks_for_them_and_when(self, make_clip: MakeClip) -> None:
        path, _ = make_clip("a.mp4", draw=lambda number, _: np.full((64, 96, 3), number * 3, np.uint8), **SILENT)
        source = VideoSource.open(path)
        at_once = [frame.bgr for frame in source.frames()]
        later = list(source.frames())
        with ThreadPoolExecutor(4) as pool:
            asked = list(pool.map(lambda frame: frame.bgr, [*later, *reversed(later)]))
        assert all(a is b for a, b in zip(asked, reversed(asked), strict=True))
        assert all((a == b).all() for a, b in zip(at_once, asked, strict=False))

    def test_pictures_are_shared_and_cannot_be_drawn_into(self, make_clip: MakeClip) -> None:
        path, _ = make_clip("a.mp4", 5, **SILENT)
        frames = VideoSource.open(path).frames()
        first, second = next(frames), next(frames)
        assert second.is_repeat
        assert second.bgr is first.bgr
        with pytest.raises(ValueError, match="read-only"):
            first.bgr[0, 0] = 0

    @pytest.mark.slow
    @pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
    def test_memory_does_not_grow_with_the_length(
        self, tmp_path: Path, clip_class: type[Clip], write_clip: Callable[[Path, Clip], Path]
    ) -> None:
        peaks = []
        for seconds in (4, 24):
            times = tuple(Fraction(k, 25) for k in range(seconds * 25))
            clip = clip_class((), times, Fraction(1, 25), (Fraction(0), Fraction(seconds)), size=(320, 240))
            peaks.append(peak_memory_kib(write_clip(tmp_path / f"{seconds}.mp4", clip)))
        assert peaks[1] < peaks[0] * 1.05


def corners(width: int, height: int) -> NDArray[np.uint8]:
    """A picture whose four quarters differ."""
    bgr = np.zeros((height, width, 3), np.uint8)
    bgr[: height // 2, : width // 2] = 230
    bgr[: height // 2, width // 2 :] = 150
    bgr[height // 2 :, : width // 2] = 80
    return bgr


def displayed(stored: NDArray[np.uint8], matrix: tuple[int, int, int, int]) -> NDArray[np.int64]:
    """A picture as the display matrix says, pixel by pixel."""
    a, b, c, d = matrix
    height, width = stored.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    x, y = a * columns + c * rows, b * columns + d * rows
    shown = np.zeros((np.ptp(y) + 1, np.ptp(x) + 1, 3), np.int64)
    shown[y - y.min(), x - x.min()] = stored
    return shown


def combing(bgr: NDArray[np.uint8]) -> float:
    """How much each row differs from the mean of its neighbours."""
    rows = bgr[..., 1].astype(int)
    return float(np.abs(rows[1:-1] - (rows[:-2] + rows[2:]) // 2).mean())


def write_interlaced(path: Path) -> Path:
    """A bar that moves between the two fields of each of 25 pictures, flagged interlaced."""
    graph = av.filter.Graph()
    graph.threads = 1
    source = graph.add_buffer(width=128, height=96, format=av.VideoFormat("yuv420p"), time_base=Fraction(1, 25))
    graph.link_nodes(source, graph.add("setfield", "tff"), graph.add("buffersink")).configure()

    def bar(field: int) -> NDArray[np.uint8]:
        bgr = np.full((96, 128, 3), 30, np.uint8)
        bgr[:, 2 * field : 2 * field + 24] = 220
        return bgr

    with av.open(path, "w") as out:
        options = {"flags": "+ildct+ilme", "b": "4M", "qmin": "2", "qmax": "4"}
        stream = out.add_stream("mpeg2video", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for number in range(25):
            bgr = bar(2 * number)
            bgr[1::2] = bar(2 * number + 1)[1::2]
            frame = av.VideoFrame.from_ndarray(bgr, format="bgr24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            graph.push(frame)
            out.mux(stream.encode(graph.vpull()))
        out.mux(stream.encode(None))
    return path


def write_with_cover(path: Path, *, film: bool) -> Path:
    """A sound track with a cover picture, and with pictures or not."""
    cover = np.full((40, 40, 3), 255, np.uint8)
    with av.open(path, "w") as out:
        if path.suffix == ".mkv":
            out.add_attachment("cover.png", "image/png", cv2.imencode(".png", cover)[1].tobytes())
        else:
            still = out.add_stream("png", rate=1)
            still.width, still.height, still.pix_fmt = 40, 40, "rgb24"
            still.disposition = av.stream.Disposition.attached_pic
        video = out.add_stream("mpeg4", rate=25, width=128, height=96, pix_fmt="yuv420p") if film else None
        sound = out.add_stream("aac", rate=16_000, layout="mono")
        if path.suffix != ".mkv":
            out.mux([*still.encode(av.VideoFrame.from_ndarray(cover, format="rgb24")), *still.encode(None)])
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = 16_000, 0
        out.mux([*sound.encode(frame), *sound.encode(None)])
        if video is not None:
            out.mux([*video.encode(av.VideoFrame(128, 96, "yuv420p")), *video.encode(None)])
    return path


def write_times(path: Path, times_s: list[float]) -> Path:
    """Key pictures at any times, in any order."""
    codec = av.CodecContext.create("mjpeg", "w")
    codec.width, codec.height, codec.pix_fmt = 64, 48, "yuvj420p"
    codec.time_base = Fraction(1, 1000)
    with av.open(path, "w") as out:
        stream = out.add_mux_stream("mjpeg", rate=25, width=64, height=48)
        for number, time in enumerate(times_s):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number * 20 % 256, np.uint8), "bgr24")
            frame = frame.reformat(format="yuvj420p")
            frame.pts, frame.time_base = number, Fraction(1, 1000)
            for packet in codec.encode(frame):
                packet.stream, packet.time_base = stream, Fraction(1, 1000)
                packet.pts, packet.duration = round(time * 1000), 40
                packet.dts = round(min(times_s[number:]) * 1000) + number - len(times_s)
                out.mux(packet)
    return path


def spoil(path: Path, numbers: range) -> None:
    """Overwrite packets of the first video stream, by their number in the file."""
    with av.open(path) as opened:
        places = [(packet.pos, packet.size) for packet in opened.demux(video=0) if packet.size]
    with path.open("r+b") as file:
        for number in numbers:
            position, size = places[number]
            assert position is not None
            file.seek(position + (4 if path.suffix == ".mkv" else 0))  # a Matroska block has a small head
            file.write(b"\xff" * (size - 8))


def peak_memory_kib(path: Path) -> int:
    """Peak memory of a process that walks a whole video and extracts its sound.

    Not ``ru_maxrss``: a child inherits its parent's.
    """
    script = (
        "import re, sys; from pathlib import Path\n"
        "from vidfleet.speakers.media import VideoSource, extract_sound\n"
        "source = VideoSource.open(Path(sys.argv[1]))\n"
        "extract_sound(source.path, source.path.with_suffix('.wav'), zero=source.zero)\n"
        "for frame in source.frames(): pass\n"
        "print(re.search(r'VmHWM:\\s*(\\d+)', Path('/proc/self/status').read_text())[1])"
    )
    run = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    return int(run.stdout)
