"""The film with the conversation beside it: boxes with names and colours, and the last lines with faces.

The column of lines is drawn anew only when another line begins; in between it stays. Like the annotated film, all is
drawn on the planes that go to the encoder.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from typing import TYPE_CHECKING, Self

import numpy as np
from av.video.reformatter import VideoReformatter
from PIL import Image, ImageDraw

from vidfleet.speakers.data import GRID_RATE
from vidfleet.speakers.fonts import Fonts
from vidfleet.speakers.media.mp4 import Mp4Writer, even
from vidfleet.speakers.media.planes import blank, pixels, scaled
from vidfleet.speakers.palette import OFF_SCREEN, colour_of, ink_on, rgb_of
from vidfleet.speakers.panel_column import Column, PanelStyle, clipped
from vidfleet.speakers.render import STEPS, DrawnTrack, put_frame, put_plate, up_to_even
from vidfleet.speakers.results.text import shown_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

    from vidfleet.speakers.data import Conversation
    from vidfleet.speakers.media import MediaInfo, Sound, VideoSource
    from vidfleet.speakers.media.planes import Planes
    from vidfleet.speakers.render import Parts
    from vidfleet.speakers.seen import SeenTrack

__all__ = ["PanelPainter", "PanelStyle", "PanelWriter"]

LEAST_ROWS, MOST_ROWS = 360, 1080
"""The film is made larger or smaller until it has so many rows: text must be read, and the file be played."""
LEAST_PANEL_PX = 240
_BACKDROP = (16, 16)
"""Width and height of what shines through glass: it is softer than that."""


class PanelPainter:
    """Draws the frames of a film with its conversation, asked for in order of time.

    ``faces`` holds JPEGs of each person by name, the best first; who has none gets a letter.
    """

    def __init__(
        self,
        conversation: Conversation,
        tracks: Sequence[SeenTrack],
        *,
        info: MediaInfo,
        faces: Mapping[str, Sequence[bytes]],
        style: PanelStyle | None = None,
        note: str = "",
        fonts: Fonts | None = None,
        threads: int = 1,
    ) -> None:
        style = style or PanelStyle()
        self._fonts, self._note = fonts or Fonts(), note
        self._film, panel_px = film_and_panel(info, style.width_ratio)
        self._column = Column(conversation, faces, size=(panel_px, self._film[1]), style=style, fonts=self._fonts)
        self._starts_s = [message.start_s for message in self._column.messages]
        self._names = shown_names(conversation)
        self._scale = (self._film[0] / info.width, self._film[1] / info.height) * 2
        self._boxes = _Boxes(conversation, tracks)
        self._plates: dict[tuple[str, str], Parts] = {}
        self._shown: tuple[int, bool] | None = None
        self._colours = info.colours
        self._canvas = blank(self._film[0] + panel_px, self._film[1], info.colours)
        self._to_film, self._to_backdrop, self._threads = VideoReformatter(), VideoReformatter(), threads

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the painted pictures, both even."""
        return self._canvas.size

    def notices(self) -> tuple[str, ...]:
        """What a person should know: that no font here has some characters. None of them stands in the sentence."""
        text = "".join([*self._names.values(), *(message.text for message in self._column.messages)])
        missing = sorted(self._fonts.missing(text))
        if not missing:
            return ()
        scripts = sorted({unicodedata.name(char, "UNNAMED").split()[0] for char in missing})  # nothing that was said
        what = f"{len(missing)} of the characters that were said or named ({', '.join(scripts[:8])})"
        remedy = "Install fonts that have them, such as Debian's fonts-noto-core and fonts-noto-cjk."
        return (f"No font on this machine has {what}: the panel shows boxes for them. {remedy}",)

    def paint(self, frame: int, planes: Planes) -> Planes:
        """The picture of a grid frame with the panel beside it; overwritten by the next call."""
        now_s = frame / GRID_RATE + 1e-6
        last = bisect_right(self._starts_s, now_s) - 1
        is_heard = last >= 0 and now_s < self._column.messages[last].end_s
        if (last, is_heard) != self._shown:
            self._draw_column(last, planes, is_heard=is_heard)
            self._shown = (last, is_heard)
        y, u, v = (array[:, : self._film[0] // step] for array, step in zip(self._canvas.arrays, STEPS, strict=True))
        film = y, u, v
        for to, part in zip(film, self._scaled(planes).arrays, strict=True):
            to[:] = part
        for track, place in self._boxes.at(frame):
            self._mark(film, track, place, frame - track.start)
        if self._note:
            self._put(film, self._note, OFF_SCREEN, left=self._column.letters_px, bottom=self._film[1])
        return self._canvas

    def _scaled(self, planes: Planes) -> Planes:
        return scaled(planes, self._film, self._to_film, threads=self._threads)

    def _draw_column(self, last: int, planes: Planes, *, is_heard: bool) -> None:
        backdrop = pixels(planes, _BACKDROP, self._to_backdrop, threads=self._threads)
        column = self._colours.planes_of(self._column.draw(last, backdrop, is_heard=is_heard))
        for to, part, step in zip(self._canvas.arrays, column, STEPS, strict=True):
            to[:, self._film[0] // step :] = part

    def _mark(self, film: Parts, track: DrawnTrack, place: tuple[int, str] | None, at: int) -> None:
        """A box in the person's colour, thick while it speaks, with the name on it."""
        unit = min(self._film) // 240
        colour = OFF_SCREEN if place is None else colour_of(place[0])
        thick = max(2, 2 * round(unit * (3 if track.shown[at] > 0 else 1) / 2))
        red, green, blue = rgb_of(colour)
        left, top = put_frame(film, track.boxes[at] * self._scale, thick, (blue, green, red), colours=self._colours)
        if place is not None:
            self._put(film, self._names[place[1]], colour, left=left, bottom=top + thick)

    def _put(self, film: Parts, text: str, colour: str, *, left: int, bottom: int) -> None:
        """A text on a plate of a colour, moved where needed so that it stays in the film."""
        if (text, colour) not in self._plates:
            self._plates[text, colour] = self._colours.planes_of(self._plate(text, colour))
        put_plate(film, self._plates[text, colour], left=left, bottom=bottom)

    def _plate(self, text: str, colour: str) -> NDArray[np.uint8]:
        size = max(11, min(self._film) // 30)
        pad = size // 3
        shown = clipped(self._fonts, text, size, self._film[0] / 3)
        width = round(self._fonts.width(shown, size, bold=True)) + 2 * pad
        image = Image.new("RGB", (up_to_even(width), up_to_even(round(size * 1.45))), colour)
        pen = ImageDraw.Draw(image)
        self._fonts.draw(pen, (pad, round(size * 1.07)), shown, size, fill=ink_on(colour), bold=True)
        return np.ascontiguousarray(np.asarray(image)[:, :, ::-1])


class PanelWriter:
    """Writes ``video_with_panel.mp4``: H.264, with sound, drawn and encoded once.

    Takes the grid's pictures one by one, so that it can share a pass over the film. A context manager.
    """

    def __init__(
        self, painter: PanelPainter, target: Path, *, source: VideoSource, sound: Sound | None, threads: int = 1
    ) -> None:
        self._painter = painter
        width, height = painter.size
        self._writer = Mp4Writer(
            target, width=width, height=height, source=source, sound=sound,
            colours=source.info.colours, threads=threads,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)

    def write(self, frame: int, planes: Planes) -> None:
        """Append a grid frame: its index, and its picture, full size."""
        self._writer.write(self._painter.paint(frame, planes))


def film_and_panel(info: MediaInfo, width_ratio: float) -> tuple[tuple[int, int], int]:
    """The film's width and height in the picture, in square pixels, and the panel's width; all even."""
    width, height = float(info.width * info.pixel_aspect), float(info.height)
    scale = min(max(height, LEAST_ROWS), MOST_ROWS) / height
    film = even(width * scale), even(height * scale)
    return film, even(max(film[0] * width_ratio, film[1] * 0.36, LEAST_PANEL_PX))


class _Boxes:
    """Which tracks are in the picture, and whose they are."""

    def __init__(self, conversation: Conversation, tracks: Sequence[SeenTrack]) -> None:
        self._place_of = {
            track: (row, person.name) for row, person in enumerate(conversation.persons) for track in person.tracks
        }
        self._waiting: Iterator[SeenTrack] = iter(sorted(tracks, key=lambda track: track.start))
        self._next = next(self._waiting, None)
        self._now: list[DrawnTrack] = []

    def at(self, frame: int) -> Iterator[tuple[DrawnTrack, tuple[int, str] | None]]:
        """The tracks of a grid frame, each with its person's place and name; frames are asked for in order."""
        while self._next is not None and self._next.start <= frame:
            self._now.append(DrawnTrack.of(self._next))
            self._next = next(self._waiting, None)
        self._now = [track for track in self._now if track.end > frame]
        for track in self._now:
            yield track, self._place_of.get(track.index)
