"""The films that are made of a film, each fed with the grid's pictures: all that are wanted share one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vidfleet.speakers.data import GridFrame
from vidfleet.speakers.layout import PREVIEW
from vidfleet.speakers.media import AviWriter, Sound, VideoSource, add_sound
from vidfleet.speakers.page.playable import PreviewWriter
from vidfleet.speakers.render import DrawnTrack, Painter

if TYPE_CHECKING:
    from vidfleet.speakers.layout import Layout
    from vidfleet.speakers.seen import Seen

Take = Callable[[GridFrame], None]
"""Takes the next picture of the grid."""


@contextmanager
def annotated_film(source: VideoSource, layout: Layout, seen: Seen, *, note: str, threads: int) -> Iterator[Take]:
    """The film with a box and a score for each face, without and with sound; ``note`` stands in its corner."""
    painter = Painter([DrawnTrack.of(track) for track in seen.tracks], note=note)
    size = (source.info.width, source.info.height)
    with AviWriter(layout.annotated, width=size[0], height=size[1], threads=threads) as writer:
        yield lambda frame: writer.write(painter.paint(frame.index, frame.bgr))
    add_sound(layout.annotated, layout.sound, layout.annotated_with_sound)


@contextmanager
def preview_film(source: VideoSource, layout: Layout, *, sound: Sound | None, threads: int) -> Iterator[Take]:
    """A small copy that browsers play."""
    with PreviewWriter(source, layout.folder / PREVIEW, sound=sound, threads=threads) as writer:
        yield lambda frame: writer.write(frame.bgr)
