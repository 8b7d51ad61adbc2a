"""The drawn films as they were made before: each picture to BGR, copied, drawn on, and back to planes."""

from __future__ import annotations

from bisect import bisect_right
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange

from vidfleet.speakers.data import GRID_RATE
from vidfleet.speakers.media import AviWriter, add_sound
from vidfleet.speakers.media.mp4 import Mp4Writer
from vidfleet.speakers.media.planes import Colours, Planes
from vidfleet.speakers.page.playable import MOST_ROWS, shown_size
from vidfleet.speakers.palette import OFF_SCREEN, colour_of, rgb_of
from vidfleet.speakers.render import FONT, SILENT, SPEAKING, UNKNOWN, DrawnTrack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from vidfleet.speakers.copies import Take
    from vidfleet.speakers.data import GridFrame
    from vidfleet.speakers.hearing import Hearing
    from vidfleet.speakers.layout import Layout
    from vidfleet.speakers.media import MediaInfo, VideoSource
    from vidfleet.speakers.panel import PanelPainter
    from vidfleet.speakers.seen import Seen

HD = Colours(is_709=True, is_told=True)


@contextmanager
def annotated(layout: Layout, info: MediaInfo, seen: Seen) -> Iterator[Take]:
    """The film with a box and a score for each face, without and with sound."""
    tracks = [DrawnTrack.of(track) for track in seen.tracks]
    with AviWriter(layout.annotated, width=info.width, height=info.height) as writer:
        yield lambda frame: writer.write(painted(frame.bgr, tracks, frame.index))
    add_sound(layout.annotated, layout.sound, layout.annotated_with_sound)


@contextmanager
def preview(layout: Layout, source: VideoSource, hearing: Hearing) -> Iterator[Take]:
    """A small copy that browsers play."""
    size = shown_size(source.info, most_rows=MOST_ROWS)
    with mp4(layout.folder / "pyavi/preview.mp4", size, source, hearing, crf=26) as write:
        yield lambda frame: write(cv2.resize(frame.bgr, size, interpolation=cv2.INTER_AREA))


@contextmanager
def panel(layout: Layout, source: VideoSource, hearing: Hearing, painter: PanelPainter) -> Iterator[Take]:
    """The film with the conversation beside it."""
    canvas = np.zeros((painter.size[1], painter.size[0], 3), np.uint8)
    film, column, scale = painter._film, painter._column, painter._scale
    starts_s = [message.start_s for message in column.messages]
    shown: tuple[int, bool] | None = None
    plates: dict[str, NDArray[np.uint8]] = {}

    def take(frame: GridFrame) -> None:
        nonlocal shown
        picture = np.asarray(cv2.resize(frame.bgr, film, interpolation=cv2.INTER_LINEAR), np.uint8)
        last = bisect_right(starts_s, frame.index / GRID_RATE) - 1
        is_heard = last >= 0 and frame.index / GRID_RATE < column.messages[last].end_s
        if (last, is_heard) != shown:
            canvas[:, film[0] :] = column.draw(last, picture, is_heard=is_heard)
            shown = last, is_heard
        for track, place in painter._boxes.at(frame.index):
            x1, y1, x2, y2 = (round(edge) for edge in (track.boxes[frame.index - track.start] * scale).tolist())
            colour = OFF_SCREEN if place is None else colour_of(place[0])
            thin = min(film) // 240
            thick = 3 * thin if track.shown[frame.index - track.start] > 0 else thin
            cv2.rectangle(picture, (x1, y1), (x2, y2), rgb_of(colour)[::-1], thick)
            if place is not None:
                plate = plates.setdefault(place[1], painter._plate(place[1], colour))
                picture[y1 - plate.shape[0] : y1, x1 : x1 + plate.shape[1]] = plate
        canvas[:, : film[0]] = picture
        write(canvas)

    with mp4(layout.folder / "pyavi/video_with_panel.mp4", painter.size, source, hearing, crf=23) as write:
        yield take


@contextmanager
def mp4(
    target: Path, size: tuple[int, int], source: VideoSource, hearing: Hearing, *, crf: int
) -> Iterator[Callable[[Any], None]]:
    """H.264 of BGR pictures, with sound."""

    def write(bgr: NDArray[np.uint8]) -> None:
        frame = VideoFrame.from_ndarray(bgr, format="bgr24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=HD.matrix, dst_color_range=ColorRange.MPEG, threads=1)
        writer.write(Planes(frame, HD))

    width, height = size
    with Mp4Writer(
        target, width=width, height=height, colours=HD, source=source, sound=hearing.sound, crf=crf
    ) as writer:
        yield write


@contextmanager
def grid_video(layout: Layout, info: MediaInfo, hearing: Hearing) -> Iterator[Take]:
    """The film on the grid, with its sound."""
    with AviWriter(layout.grid_video, width=info.width, height=info.height, sound=hearing.sound) as writer:
        yield lambda frame: writer.write(frame.bgr)


def painted(bgr: NDArray[np.uint8], tracks: Sequence[DrawnTrack], frame: int) -> NDArray[np.uint8]:
    """A copy with the faces of a grid frame marked."""
    picture = bgr.copy()
    unit = max(1, round(min(picture.shape[:2]) / 180))
    for track in tracks:
        if not track.start <= frame < track.end:
            continue
        score = float(track.shown[frame - track.start])
        x1, y1, x2, y2 = (round(edge) for edge in track.boxes[frame - track.start].tolist())
        colour = UNKNOWN if np.isnan(score) else SPEAKING if score > 0 else SILENT
        cv2.rectangle(picture, (x1, y1), (x2, y2), colour, unit)
        text, scale, thick = f"{track.index}: {score:+.1f}", unit * 0.28, max(1, unit // 2)
        (width, height), below = cv2.getTextSize(text, FONT, scale, thick)
        top = y1 - height - below - unit
        cv2.rectangle(picture, (x1, top), (x1 + width + 2 * unit, y1), colour, cv2.FILLED)
        cv2.putText(picture, text, (x1 + unit, y1 - below), FONT, scale, (255, 255, 255), thick, cv2.LINE_AA)
    return picture
