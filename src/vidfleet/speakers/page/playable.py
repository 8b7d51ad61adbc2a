"""What browsers play, and a small copy of what they do not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from av.video.reformatter import VideoReformatter

from vidfleet.speakers.media.container import opened, pick_audio, pick_video
from vidfleet.speakers.media.mp4 import Mp4Writer, even
from vidfleet.speakers.media.planes import scaled

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from av.container import InputContainer

    from vidfleet.speakers.media import MediaInfo, Sound, VideoSource
    from vidfleet.speakers.media.planes import Planes

PREVIEW_NAME = "pyavi/preview.mp4"
MOST_ROWS = 480
"""Of the small copy."""
_MP4_ENDINGS = frozenset({".mp4", ".m4v", ".mov"})
_PLAIN = frozenset({"yuv420p", "yuvj420p"})
_DEEP = _PLAIN | {"yuv420p10le"}
_MP4_PICTURES = {"h264": _PLAIN, "av1": _DEEP, "vp9": _DEEP}
_WEBM_PICTURES = {"vp8": _PLAIN, "vp9": _DEEP, "av1": _DEEP}
_MP4_SOUND = frozenset({"aac", "mp3", "opus", "flac"})
_WEBM_SOUND = frozenset({"opus", "vorbis"})


def browser_plays(source: VideoSource) -> bool:
    """Whether today's browsers play this very file, with the streams that were chosen.

    MP4 (also called .m4v or .mov) with H.264, AV1 or VP9, and WebM with VP8, VP9 or AV1; 4:2:0 without extra
    depth for H.264. A browser takes the first streams: where others were chosen, it plays another film.
    """
    ending = source.path.suffix.lower()
    with opened(source.path) as container:
        names = container.format.name.split(",")
        if "mp4" in names and ending in _MP4_ENDINGS:
            return _streams_fit(container, source, _MP4_PICTURES, _MP4_SOUND)
        if "webm" in names and ending == ".webm":
            return _streams_fit(container, source, _WEBM_PICTURES, _WEBM_SOUND)
    return False


def _streams_fit(
    container: InputContainer, source: VideoSource, pictures: dict[str, frozenset[str]], sounds: frozenset[str]
) -> bool:
    video = pick_video(container, source.video_index, name=source.path.name)
    audio = pick_audio(container, source.audio_stream, name=source.path.name)
    if video.index != container.streams.video[0].index:
        return False
    if video.codec_context.pix_fmt not in pictures.get(video.codec_context.codec.canonical_name, ()):
        return False
    if audio is None:
        return not container.streams.audio
    is_first = audio.index == container.streams.audio[0].index
    return is_first and audio.codec_context.codec.canonical_name in sounds


def shown_size(info: MediaInfo, *, most_rows: int) -> tuple[int, int]:
    """Width and height in square pixels, both even, with at most so many rows; never made larger."""
    width, height = float(info.width * info.pixel_aspect), float(info.height)
    scale = min(1.0, most_rows / height)
    return even(width * scale), even(height * scale)


class PreviewWriter:
    """Writes a copy that every browser plays: H.264 of at most 480 rows at 25 frames/s, with sound.

    Takes the grid's pictures one by one, so that it can share a pass over the film. A context manager.
    """

    def __init__(self, source: VideoSource, target: Path, *, sound: Sound | None, threads: int = 1) -> None:
        self._size = shown_size(source.info, most_rows=MOST_ROWS)
        self._reformatter, self._threads = VideoReformatter(), threads
        width, height = self._size
        self._writer = Mp4Writer(
            target, width=width, height=height, source=source, sound=sound,
            colours=source.info.colours, crf=26, threads=threads,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)

    def write(self, planes: Planes) -> None:
        """Append the next grid frame's picture, full size."""
        self._writer.write(scaled(planes, self._size, self._reformatter, threads=self._threads))
