"""What is copied out of a film's pictures: frames, the film on the grid, a crop of each face.

Each is a context in which it takes the grid's pictures, as a film that is drawn is (see ``drawing``). So it is
written in the pass that looks for faces where there is one, and else shares the one that draws.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from vidfleet.speakers.crops import CROP_SIDE, cut, square_at
from vidfleet.speakers.data import GridFrame
from vidfleet.speakers.film import SAMPLES_PER_FRAME
from vidfleet.speakers.media import AviWriter, write_jpeg

if TYPE_CHECKING:
    from vidfleet.speakers.crops import CropRules
    from vidfleet.speakers.film import Hearing
    from vidfleet.speakers.layout import Layout
    from vidfleet.speakers.media import MediaInfo
    from vidfleet.speakers.seen import Seen, SeenTrack

Take = Callable[[GridFrame], None]
"""Takes the next picture of the grid."""


@contextmanager
def all_frames(layout: Layout) -> Iterator[Take]:
    """Every picture of the grid as a JPEG."""

    def take(frame: GridFrame) -> None:
        target = layout.frame(frame.index)
        if frame.is_repeat and frame.index:
            shutil.copyfile(layout.frame(frame.index - 1), target)
        else:
            write_jpeg(target, frame.bgr)

    yield take


@contextmanager
def first_frames(layout: Layout, seen: Seen) -> Iterator[Take]:
    """The first picture of each shot as a JPEG."""
    firsts = {shot.start for shot in seen.shots}

    def take(frame: GridFrame) -> None:
        if frame.index in firsts:
            write_jpeg(layout.frame(frame.index), frame.bgr)

    yield take


@contextmanager
def grid_video(layout: Layout, info: MediaInfo, hearing: Hearing) -> Iterator[Take]:
    """The film on the grid, with its sound; takes planes."""
    with AviWriter(layout.grid_video, width=info.width, height=info.height, sound=hearing.sound) as writer:
        yield lambda frame: writer.write_planes(frame.planes)


@contextmanager
def crops(layout: Layout, seen: Seen, hearing: Hearing, rules: CropRules) -> Iterator[Take]:
    """A video of each face, and its sound: to the pixel what the first pass cuts."""
    with ExitStack() as files:
        open_now: dict[int, tuple[SeenTrack, AviWriter, ExitStack]] = {}
        coming = sorted(seen.tracks, key=lambda track: -track.start)

        def take(frame: GridFrame) -> None:
            while coming and coming[-1].start == frame.index:
                track = coming.pop()
                file = files.enter_context(ExitStack())
                open_now[track.index] = (track, file.enter_context(crop_writer(layout, track, hearing)), file)
            for track, writer, file in list(open_now.values()):
                square = square_at(track.boxes, frame.index - track.start, rules)
                writer.write(cut(frame.bgr, square, rules))
                if frame.index == track.end - 1:
                    file.close()
                    hearing.write(layout.crop_sound(track.index), track.start, track.end)
                    del open_now[track.index]

        yield take


def crop_writer(layout: Layout, track: SeenTrack, hearing: Hearing) -> AviWriter:
    """The file that a track's crops go to."""
    return AviWriter(
        layout.crop_picture(track.index),
        width=CROP_SIDE,
        height=CROP_SIDE,
        sound=hearing.sound,
        sound_start=track.start * SAMPLES_PER_FRAME,
    )
