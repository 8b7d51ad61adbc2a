"""The films that are made of a film, each fed with the grid's pictures: all that are wanted share one pass.

They take a picture's planes, which none of them writes to.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vidfleet.speakers.layout import PANEL, PREVIEW, Layout
from vidfleet.speakers.media import AviWriter, Sound, VideoSource, add_sound
from vidfleet.speakers.page.playable import PreviewWriter
from vidfleet.speakers.portraits import faces_of
from vidfleet.speakers.render import DrawnTrack, Painter
from vidfleet.speakers.seen import Seen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vidfleet.speakers.copies import Take
    from vidfleet.speakers.data import Conversation
    from vidfleet.speakers.panel_column import PanelStyle


@dataclass(frozen=True)
class Easel:
    """Draws a film's films; each is a context in which it takes the pictures."""

    source: VideoSource
    layout: Layout
    seen: Seen
    sound: Sound | None
    note: str
    """Stands in the corner where it is not empty."""
    threads: int
    """For H.264; its pictures depend on their number, as those of MPEG-4 do, which has one: it is drawn beside it."""

    @contextmanager
    def annotated(self) -> Iterator[Take]:
        """The film with a box and a score for each face, without and with sound."""
        layout, info = self.layout, self.source.info
        painter = Painter([DrawnTrack.of(track) for track in self.seen.tracks], note=self.note)
        with AviWriter(layout.annotated, width=info.width, height=info.height) as writer:
            yield lambda frame: writer.write_planes(painter.paint(frame.index, frame.planes))
        add_sound(layout.annotated, layout.sound, layout.annotated_with_sound)

    @contextmanager
    def preview(self) -> Iterator[Take]:
        """A small copy that browsers play."""
        target = self.layout.folder / PREVIEW
        with PreviewWriter(self.source, target, sound=self.sound, threads=self.threads) as writer:
            yield lambda frame: writer.write(frame.planes)

    @contextmanager
    def panel(self, conversation: Conversation, *, style: PanelStyle, say: Callable[[str], None]) -> Iterator[Take]:
        """The film with the conversation beside it; ``say`` is told what cannot be shown."""
        from vidfleet.speakers.panel import PanelPainter, PanelWriter

        painter = PanelPainter(
            conversation,
            self.seen.tracks,
            info=self.source.info,
            faces=faces_of(self.layout.portraits, conversation.persons),
            style=style,
            note=self.note,
            threads=self.threads,
        )
        for notice in painter.notices():
            say(notice)
        target = self.layout.folder / PANEL[0]
        with PanelWriter(painter, target, source=self.source, sound=self.sound, threads=self.threads) as writer:
            yield lambda frame: writer.write(frame.index, frame.planes)
