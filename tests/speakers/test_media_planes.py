"""A film's copies have the film's colours: whatever the numbers in its planes mean, however it is stored."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from itertools import product
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace

from tests.speakers.stills import SD, planes_of
from vidfleet.speakers.media import AviWriter, VideoSource, add_sound
from vidfleet.speakers.media.mp4 import Mp4Writer
from vidfleet.speakers.media.pictures import Orientation
from vidfleet.speakers.media.planes import Colours, blank
from vidfleet.speakers.page.playable import PreviewWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

PATCHES = [(200, 40, 40), (40, 200, 40), (40, 40, 200), (30, 200, 200), (120, 120, 120), (235, 235, 235)]
"""Blue, green, red: what differs most between BT.601 and BT.709."""
UNTAGGED = 2


def patches(width: int, height: int) -> NDArray[np.uint8]:
    """Columns of colours, their edges on even pixels."""
    picture = np.zeros((height, width, 3), np.uint8)
    for place, colour in enumerate(PATCHES):
        picture[:, place * width // len(PATCHES) // 2 * 2 :] = colour
    return picture


def shown(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The mean colour in the middle of each patch."""
    height, width = picture.shape[:2]
    step = width / len(PATCHES)
    middles = [slice(round((place + 0.3) * step), round((place + 0.7) * step)) for place in range(len(PATCHES))]
    return np.array([picture[height // 4 : height // 2, middle].mean(axis=(0, 1)) for middle in middles])


def player(path: Path, size: tuple[int, int] | None = None) -> Iterator[NDArray[np.uint8]]:
    """What a player shows of a file: by its tags, else by its size (here, ``size``)."""
    with av.open(path) as container:
        for frame in container.decode(video=0):
            columns, rows = size or (frame.width, frame.height)
            guess = Colorspace.ITU709 if columns >= 1280 or rows > 576 else Colorspace.ITU601
            matrix = guess if frame.colorspace == UNTAGGED and not frame.format.is_rgb else None
            pixels = frame.reformat(format="bgr24", src_colorspace=matrix, dst_colorspace=matrix)
            yield np.asarray(pixels.to_ndarray(), np.uint8)


def write_film(path: Path, size: tuple[int, int], matrix: int, *, pix_fmt: str = "yuv420p", full: bool = False) -> Path:
    """Some pictures of the patches, stored as told; a matrix of 2: nothing says which."""
    width, height = size
    codec = "libx264rgb" if pix_fmt == "bgr24" else "libx264"
    meant = matrix if matrix != UNTAGGED else Colours.of(av.VideoFrame(width, height)).matrix
    with av.open(path, "w") as container:
        options = {"preset": "ultrafast", "crf": "4"}
        stream: Any = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        context = stream.codec_context
        context.thread_count = 1
        if pix_fmt != "bgr24":
            context.color_range = ColorRange.JPEG if full else ColorRange.MPEG
            context.colorspace = matrix
        for number in range(5):
            frame = av.VideoFrame.from_ndarray(patches(width, height), format="bgr24")
            if pix_fmt != "bgr24":
                frame = frame.reformat(
                    format=pix_fmt,
                    dst_colorspace=meant,
                    dst_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
                )
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def copy_of(film: Path) -> Path:
    """The film on the grid, as the annotated film and the grid video are written, with sound added."""
    source, target = VideoSource.open(film), film.with_name("copy.avi")
    with AviWriter(target, width=source.info.width, height=source.info.height) as writer:
        for frame in source.frames(keeps_planes=True):
            writer.write_planes(frame.planes)
    add_sound(target, None, film.with_name("again.avi"))
    return film.with_name("again.avi")


def preview_of(film: Path) -> Path:
    source, target = VideoSource.open(film), film.with_name("preview.mp4")
    with PreviewWriter(source, target, sound=None) as writer:
        for frame in source.frames(keeps_planes=True):
            writer.write(frame.planes)
    return target


SIZES = [(640, 360), (1280, 720)]
MATRICES = [UNTAGGED, 1, 5, 6, 9]
FORMATS = ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "yuv420p10le", "bgr24"]


@pytest.mark.parametrize("make", [copy_of, preview_of])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("matrix", "pix_fmt", "full"),
    [
        *((matrix, "yuv420p", full) for matrix in MATRICES for full in (False, True)),
        *((1, pix_fmt, False) for pix_fmt in FORMATS[2:]),
        (6, "yuv444p", True),
        (UNTAGGED, "yuv420p10le", True),
    ],
)
def test_copies_look_as_the_film_does(
    tmp_path: Path, size: tuple[int, int], matrix: int, pix_fmt: str, full: bool, make: Callable[[Path], Path]
) -> None:
    film = write_film(tmp_path / "film.mkv", size, matrix, pix_fmt=pix_fmt, full=full)
    wanted, got = shown(next(player(film))), shown(next(player(make(film))))
    np.testing.assert_allclose(wanted, PATCHES, atol=5)
    np.testing.assert_allclose(got, wanted, atol=4)


@pytest.mark.parametrize("size", SIZES)
def test_an_untagged_films_planes_go_into_an_untagged_copy_of_the_same_size(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    """Whatever a reader makes of the one, it makes of the other."""
    film = write_film(tmp_path / "film.mkv", size, UNTAGGED)
    with av.open(film) as one, av.open(copy_of(film)) as other:
        first, second = next(one.decode(video=0)), next(other.decode(video=0))
        assert (first.colorspace, second.colorspace) == (UNTAGGED, UNTAGGED)
        y, also = (np.frombuffer(memoryview(frame.planes[0]), np.uint8).astype(int) for frame in (first, second))
        assert abs(y.mean() - also.mean()) < 0.5


@pytest.mark.parametrize(("matrix", "told"), [(1, 1), (5, 6), (6, 6), (9, 6), (UNTAGGED, UNTAGGED)])
def test_an_avi_says_what_its_colours_mean_where_the_film_does(tmp_path: Path, matrix: int, told: int) -> None:
    with av.open(copy_of(write_film(tmp_path / "film.mkv", (320, 240), matrix))) as container:
        assert {frame.colorspace for frame in container.decode(video=0)} == {told}


def test_a_films_own_planes_are_taken_as_they_are(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mkv", (320, 240), 6)
    with av.open(film) as container:
        decoded = [frame.to_ndarray() for frame in container.decode(video=0)]
    for frame in VideoSource.open(film).frames(keeps_planes=True):
        y, u, v = frame.planes.arrays
        assert (np.concatenate([part.ravel() for part in (y, u, v)]) == decoded[frame.index].ravel()).all()
        assert frame.planes is frame.planes
        for array in (y, u, v):
            with pytest.raises(ValueError, match="read-only"):
                array[0, 0] = 0


@pytest.mark.parametrize("full", [False, True])
def test_planes_and_pixels_are_the_same_whoever_asks_first(tmp_path: Path, full: bool) -> None:
    source = VideoSource.open(write_film(tmp_path / "film.mkv", (320, 240), 1, full=full))
    asked = [(frame.planes.arrays[0].copy(), frame.bgr) for frame in source.frames(keeps_planes=True)]
    later = list(source.frames(keeps_planes=True))
    with ThreadPoolExecutor(4) as pool:
        pixels = pool.map(lambda frame: frame.bgr, later)
        planes = pool.map(lambda frame: frame.planes.arrays[0], later)
        for (y, bgr), y_again, bgr_again in zip(asked, planes, pixels, strict=True):
            assert (y == y_again).all()
            assert (bgr == bgr_again).all()


def test_a_pass_without_planes_says_so(tmp_path: Path) -> None:
    frame = next(VideoSource.open(write_film(tmp_path / "film.mkv", (320, 240), 1)).frames())
    with pytest.raises(ValueError, match="keep no planes"):
        _ = frame.planes


@pytest.mark.parametrize("orientation", [Orientation(*turns) for turns in product((False, True), repeat=3)])
@pytest.mark.parametrize("size", [(32, 20), (33, 21), (1, 1)])
def test_planes_are_turned_as_pixels_are(orientation: Orientation, size: tuple[int, int]) -> None:
    planes = blank(*size, Colours())
    numbers = np.random.default_rng(0)
    for array in planes.arrays:
        array[:] = numbers.integers(0, 255, array.shape)
    turned = orientation.turn(planes)
    assert turned.size == (size[::-1] if orientation.transpose else size)
    for array, was in zip(turned.arrays, planes.arrays, strict=True):
        wanted = was.T if orientation.transpose else was
        wanted = wanted[::-1] if orientation.flip_rows else wanted
        assert (array == (wanted[:, ::-1] if orientation.flip_columns else wanted)).all()


def test_a_turned_copy_of_a_film_without_tags_says_what_players_took_the_film_for() -> None:
    """640 x 480 lies below what players take for HD, 480 x 640 above."""
    stored = av.VideoFrame(640, 480)
    assert Colours.of(stored) == Colours(is_709=False, is_told=False)
    assert Colours.of(stored, is_transposed=True) == Colours(is_709=False, is_told=True)


def test_captions_and_key_frames_of_the_film_are_not_taken_over(tmp_path: Path) -> None:
    """The film's every picture is a key frame; the copy's are where it wants them."""
    film = tmp_path / "film.mkv"
    with av.open(film, "w") as container:
        stream = container.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.codec_context.gop_size = 1
        for number in range(8):
            frame = av.VideoFrame.from_ndarray(patches(320, 240), format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    source = VideoSource.open(film)
    with Mp4Writer(tmp_path / "copy.mp4", width=320, height=240, colours=source.info.colours) as writer:
        for shown_frame in source.frames(keeps_planes=True):
            writer.write(shown_frame.planes)
    for path in (copy_of(film), tmp_path / "copy.mp4"):
        with av.open(path) as container:
            keys = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
        assert sum(keys) == 1, path


def test_a_picture_of_another_size_is_refused(tmp_path: Path) -> None:
    wrong, wanted = planes_of(np.zeros((96, 64, 3), np.uint8)), "does not fit"
    with AviWriter(tmp_path / "a.avi", width=96, height=64) as avi, pytest.raises(ValueError, match=wanted):
        avi.write_planes(wrong)
    mp4 = Mp4Writer(tmp_path / "a.mp4", width=96, height=64, colours=SD)
    with mp4, pytest.raises(ValueError, match=wanted):
        mp4.write(wrong)


def test_threads_cut_no_picture_of_h264_into_slices(tmp_path: Path) -> None:
    """Slices know nothing of each other, and so take more room."""
    with Mp4Writer(tmp_path / "a.mp4", width=320, height=240, colours=SD, threads=4) as writer:
        for _ in range(8):
            writer.write(planes_of(patches(320, 240)))
    with av.open(tmp_path / "a.mp4") as container:
        slices = [slices_in(bytes(packet)) for packet in container.demux(video=0) if packet.size]
    assert slices == [1] * 8


def slices_in(packet: bytes) -> int:
    """How many pieces a picture was cut into: units of type 1 and 5, each behind its length."""
    at, found = 0, 0
    while at < len(packet):
        length = int.from_bytes(packet[at : at + 4])
        found += packet[at + 4] & 31 in (1, 5)
        at += 4 + length
    return found
