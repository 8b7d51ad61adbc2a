"""The drawn films as they were made before: each picture to BGR, copied, drawn on, and back to planes."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import cv2
import numpy as np

from vidfleet.speakers.media import AviWriter, add_sound
from vidfleet.speakers.media.mp4 import Mp4Writer
from vidfleet.speakers.page.playable import MOST_ROWS, shown_size
from vidfleet.speakers.render import FONT, SILENT, SPEAKING, UNKNOWN, DrawnTrack

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from vidfleet.speakers.copies import Take
    from vidfleet.speakers.film import Hearing
    from vidfleet.speakers.layout import Layout
    from vidfleet.speakers.media import MediaInfo, VideoSource
    from vidfleet.speakers.seen import Seen


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
    target, (width, height) = layout.folder / "pyavi/preview.mp4", size
    with Mp4Writer(target, width=width, height=height, source=source, sound=hearing.sound, crf=26) as writer:
        yield lambda frame: writer.write(
            np.asarray(cv2.resize(frame.bgr, size, interpolation=cv2.INTER_AREA), np.uint8)
        )


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
