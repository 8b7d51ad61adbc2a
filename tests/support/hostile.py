"""Files that call themselves videos and are not, or are and hurt: each made here, with what must come of it."""

from __future__ import annotations

import gzip
import io
import os
import socket
import struct
import tarfile
import tempfile
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

DONE, BAD = ("done", ""), ("failed", "bad_input")
Expected = dict[str, tuple[str, str]]
"""State and kind of each video, by relative path."""


def movie(
    container: str = "mp4", codec: str = "mpeg4", *, size: tuple[int, int] = (64, 48), frames: int = 10,
    start: int = 0, sound: bool = False, pictures: bool = True, pix_fmt: str = "yuv420p", times: int = 1,
    tags: dict[str, str] | None = None, **options: str,
) -> bytes:  # fmt: skip
    """A real video (or sound alone) as bytes; ``start`` in pictures, ``times`` so many picture streams."""
    with tempfile.NamedTemporaryFile() as whole, av.open(whole.name, "w", format=container, options=options) as file:
        file.metadata.update(tags or {})
        streams: list[Any] = [file.add_stream(codec, rate=25) for _ in range(times if pictures else 0)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
            stream.codec_context.time_base = Fraction(1, 25)
        hum = file.add_stream("aac", rate=16000, layout="mono") if sound else None
        for index in range(frames):
            for stream in streams:
                picture = av.VideoFrame.from_ndarray(_pixels(*size, seed=index))
                picture.pts, picture.time_base = index + start, Fraction(1, 25)
                file.mux(stream.encode(picture))
            if hum is not None:
                wave = av.AudioFrame.from_ndarray(np.zeros((1, 640), np.int16), format="s16", layout="mono")
                wave.sample_rate, wave.pts = 16000, index * 640
                file.mux(hum.encode(wave))
        for stream in (*streams, *([hum] if hum is not None else [])):
            file.mux(stream.encode(None))
        file.close()
        return Path(whole.name).read_bytes()


def _pixels(width: int, height: int, *, seed: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Noise, so that the pictures and not the index make most of a file."""
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)


def picture(codec: str) -> bytes:
    """A picture file."""
    context: Any = av.CodecContext.create(codec, "w")
    context.width, context.height, context.time_base = 64, 48, Fraction(1, 25)
    context.pix_fmt = {"png": "rgb24", "mjpeg": "yuvj420p", "bmp": "bgr24"}[codec]
    frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8))
    frame = frame.reformat(format=context.pix_fmt)
    frame.pts = 0
    return b"".join(bytes(packet) for packet in (*context.encode(frame), *context.encode(None)))


def box(kind: bytes, content: bytes) -> bytes:
    """One box of an MP4 file."""
    return struct.pack(">I", len(content) + 8) + kind + content


def cover_only() -> bytes:
    """A song with its cover."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as file:
        hum, cover = file.add_stream("aac", rate=16000, layout="mono"), file.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8)).reformat(format="yuvj420p")
        frame.pts = 0
        file.mux(cover.encode(frame))
        for index in range(20):
            wave = av.AudioFrame.from_ndarray(np.zeros((1, 640), np.int16), format="s16", layout="mono")
            wave.sample_rate, wave.pts = 16000, index * 640
            file.mux(hum.encode(wave))
        file.mux(hum.encode(None))
        file.mux(cover.encode(None))
    return buffer.getvalue()


def zipped(method: int) -> bytes:
    """A zip archive with a film in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("film.mp4", movie())
    return buffer.getvalue()


def bundled() -> bytes:
    """The same as a tar archive."""
    buffer, film = io.BytesIO(), movie()
    with tarfile.open(fileobj=buffer, mode="w") as bundle:
        inside = tarfile.TarInfo("film.mp4")
        inside.size = len(film)
        bundle.addfile(inside, io.BytesIO(film))
    return buffer.getvalue()


def cut_off(root: Path) -> Expected:
    """One film, cut at ten places: its index lies behind the pictures, and so is gone from all."""
    whole = movie(sound=True)
    for tenth in range(10):
        (root / f"cut{tenth}.mp4").write_bytes(whole[: max(len(whole) * tenth // 10, 5)])
    front = movie(sound=True, movflags="faststart")
    index_ends = front.index(b"mdat") + 4
    (root / "cut_in_its_index.mp4").write_bytes(front[: index_ends // 2])
    (root / "cut_behind_its_index.mp4").write_bytes(front[:index_ends])
    (root / "cut_in_its_pictures.mp4").write_bytes(front[: (index_ends + len(front)) // 2])
    bad = {f"cut{tenth}.mp4": BAD for tenth in range(10)} | {"cut_in_its_index.mp4": BAD}
    return bad | {"cut_behind_its_index.mp4": BAD, "cut_in_its_pictures.mp4": DONE}


def no_videos(root: Path) -> Expected:
    """Other things under a video's name; nothing that they name may be opened."""
    (root / "secret.txt").write_text("nobody may read this")
    (root / "elsewhere.ts").write_bytes(movie("mpegts", "mpeg2video"))
    here = str(root / "elsewhere.ts")
    contents: dict[str, bytes] = {
        "zero.mp4": b"",
        "one_byte.mp4": b"\0",
        "text.mkv": b"I am no film.\n" * 99,
        "text_utf16.mov": "I am no film.".encode("utf-16"),
        "page.mp4": b"<!doctype html><html><body>404 not found</body></html>",
        "data.mp4": b'{"error": "quota exceeded"}',
        "subtitles.mp4": b"1\n00:00:01,000 --> 00:00:02,000\nHello\n\n",
        "random.mp4": np.random.default_rng(1).bytes(200_000),
        "random_bytes.avi": np.random.default_rng(2).bytes(200_000),
        "zeros.mp4": bytes(200_000),
        "ones.mkv": b"\xff" * 200_000,
        "archive.mp4": zipped(zipfile.ZIP_DEFLATED),
        "stored_in_an_archive.mp4": zipped(zipfile.ZIP_STORED),
        "stored_in_a_tar.mp4": bundled(),
        "compressed.mp4": gzip.compress(movie()),
        "program.mp4": b"\x7fELF" + bytes(500),
        "png.mp4": picture("png"),
        "jpeg.mov": picture("mjpeg"),
        "bitmap.avi": picture("bmp"),
        "playlist.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{here}\n#EXT-X-ENDLIST\n".encode(),
        "playlist_web.mp4": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n",
        "concat.mp4": f"ffconcat version 1.0\nfile '{here}'\n".encode(),
        "concat_secret.avi": b"ffconcat version 1.0\nfile secret.txt\n",
        "concat_near.mp4": b"ffconcat version 1.0\nfile elsewhere.ts\n",
        "session.mp4": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
        b"a=rtpmap:96 H264/90000\n",
        "manifest.mp4": b'<?xml version="1.0"?><MPD type="static"><Period><AdaptationSet mimeType="video/mp4">'
        b"<Representation id='1'><BaseURL>elsewhere.ts</BaseURL></Representation></AdaptationSet></Period></MPD>",
    }
    for name, content in contents.items():
        (root / name).write_bytes(content)
    with (root / "sparse.mp4").open("wb") as file:
        file.truncate(1 << 31)
    return dict.fromkeys((*contents, "sparse.mp4"), BAD)


def damaged(root: Path) -> Expected:
    """Boxes that lie, and parts that lack."""
    whole = movie()
    at = whole.index(b"moov") - 4
    deep = b""
    for _ in range(20_000):
        deep = struct.pack(">I", min(len(deep) + 8, 0xFFFFFFFF)) + b"moov" + deep
    contents: dict[str, tuple[bytes, tuple[str, str]]] = {
        "sound_only.mp4": (movie(pictures=False, sound=True), BAD),
        "sound_alone.mkv": (movie("matroska", pictures=False, sound=True), BAD),
        "cover_only.mp4": (cover_only(), BAD),
        "all_cut_away.mp4": (movie(start=-100, avoid_negative_ts="disabled"), DONE),
        "encrypted.mp4": (whole.replace(b"mp4v", b"encv"), BAD),
        "unknown_codec.mp4": (whole.replace(b"mp4v", b"zz9z"), DONE),
        "lying_index_size.mp4": (whole[:at] + struct.pack(">I", 0xFFFFFFF0) + whole[at + 4 :], DONE),
        "tiny_index_size.mp4": (whole[:at] + struct.pack(">I", 3) + whole[at + 4 :], BAD),
        "huge_index_size.mp4": (whole[:at] + struct.pack(">I4sQ", 1, b"moov", 1 << 62) + whole[at + 8 :], DONE),
        "deep.mp4": (box(b"ftyp", b"isom\0\0\2\0isom") + deep, BAD),
        "only_ftyp.mp4": (box(b"ftyp", b"isom\0\0\2\0isom"), BAD),
        "only_mdat.mp4": (box(b"ftyp", b"isom\0\0\2\0isom") + box(b"mdat", bytes(9999)), BAD),
        "only_riff.avi": (b"RIFF\xff\xff\xff\xffAVI LIST\xff\xff\xff\xffhdrlavih", BAD),
        "only_ebml.mkv": (movie("matroska")[:40], BAD),
    }
    for name, (content, _) in contents.items():
        (root / name).write_bytes(content)
    return {name: expected for name, (_, expected) in contents.items()}


def odd_but_good(root: Path) -> Expected:
    """Real videos, unlike others."""
    whole = movie(sound=True)
    contents = {
        "plain.mp4": whole,
        "mp4_called_avi.avi": whole,
        "mp4_called_mkv.mkv": whole,
        "matroska_called.mp4": movie("matroska"),
        "avi_called.mov": movie("avi"),
        "transport_called.mp4": movie("mpegts", "mpeg2video"),
        "one_pixel.avi": movie("avi", "ffv1", size=(1, 1), pix_fmt="bgr0"),
        "one_picture.mp4": movie(frames=1),
        "wide_16k.mkv": movie("matroska", "ffv1", size=(16384, 2), frames=2, pix_fmt="bgr0"),
        "tall_16k.mkv": movie("matroska", "ffv1", size=(2, 16384), frames=2, pix_fmt="bgr0"),
        "negative_times.mp4": movie("mpegts", "mpeg2video", start=-5, avoid_negative_ts="disabled"),
        "starts_before_zero.mp4": movie(start=-5, avoid_negative_ts="disabled"),
        "late_times.mkv": movie("matroska", start=2_000_000),
        "no_duration.mkv": movie("matroska", live="1"),
        "in_fragments.mp4": movie(movflags="empty_moov+frag_keyframe"),
        "twenty_streams.mkv": movie("matroska", times=20, frames=2),
        "huge_metadata.mp4": movie(tags={"comment": "long " * 2_000_000}),
        "garbage_behind.mp4": whole + np.random.default_rng(3).bytes(100_000),
        "UPPER.MP4": whole,
    }
    for name, content in contents.items():
        (root / name).write_bytes(content)
    folder = root / "folder.mp4"
    folder.mkdir()
    (folder / "inside.mp4").write_bytes(whole)
    (root / "linked.mp4").symlink_to(root.parent / "far.bin")
    (root.parent / "far.bin").write_bytes(whole)
    (root / "up").symlink_to(root)
    return dict.fromkeys((*contents, "folder.mp4/inside.mp4", "linked.mp4"), DONE)


def no_files(root: Path) -> Expected:
    """What has a video's name and is no file."""
    os.mkfifo(root / "pipe.mp4")
    (root / "broken_link.mp4").symlink_to("nowhere")
    (root / "looping_link.mp4").symlink_to("looping_link.mp4")
    names = ["pipe.mp4", "broken_link.mp4", "looping_link.mp4"]
    with socket.socket(socket.AF_UNIX) as door:
        here = os.open(root, os.O_DIRECTORY)  # a socket's path has room for 107 bytes only
        door.bind(f"/proc/self/fd/{here}/socket.mp4")
        os.close(here)
    names.append("socket.mp4")
    try:
        os.mknod(root / "device.mp4", 0o600 | 0o020000, os.makedev(1, 5))  # /dev/zero: endless
        names.append("device.mp4")
    except PermissionError:
        pass
    if os.geteuid() != 0:
        (root / "unreadable.mp4").write_bytes(movie())
        (root / "unreadable.mp4").chmod(0)
        (root / "closed.mp4").mkdir(mode=0)
        names += ["unreadable.mp4", "closed.mp4"]
    return dict.fromkeys(names, BAD)
