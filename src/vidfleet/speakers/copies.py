"""What is copied out of a film's pictures: frames, the film on the grid, a crop of each face.

Each is a context in which it takes the grid's pictures, as a film that is drawn is (see ``drawing``). So it is
written in the pass that looks for faces where there is one, and else shares the one that draws. All of them are
written behind whoever brings the pictures, side by side where there is more than one thread.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING

from vidfleet.speakers.crops import cut, square_at
from vidfleet.speakers.data import GridFrame
from vidfleet.speakers.findings import open_crop
from vidfleet.speakers.flow import Line
from vidfleet.speakers.media import AviWriter, write_jpeg

if TYPE_CHECKING:
    from concurrent.futures import Future

    from vidfleet.speakers.crops import CropRules
    from vidfleet.speakers.flow import Crew
    from vidfleet.speakers.hearing import Hearing
    from vidfleet.speakers.layout import Layout
    from vidfleet.speakers.media import MediaInfo
    from vidfleet.speakers.seen import Seen, SeenTrack
    from vidfleet.speakers.tables import StageClock

Take = Callable[[GridFrame], None]
"""Takes the next picture of the grid."""


FRAMES_BEHIND = 2
"""Pictures that wait to be taken, beside those that are."""


@contextmanager
def behind(film: AbstractContextManager[Take], *, stage: str, crew: Crew, clock: StageClock) -> Iterator[Take]:
    """Let ``film`` take its pictures in a line of the crew's jobs, a few behind; ``clock`` counts them as ``stage``."""
    with film as take, Line(crew, most=FRAMES_BEHIND) as line:
        counted = clock.counted(stage, take)

        def hand(frame: GridFrame) -> None:
            line.start(counted, frame)

        yield hand


@contextmanager
def all_frames(layout: Layout, *, crew: Crew, clock: StageClock) -> Iterator[Take]:
    """Every picture of the grid as a JPEG; as many at once as the crew has threads."""
    last: Future[None] | None = None

    def write(frame: GridFrame, before: Future[None] | None) -> None:
        target = layout.frame(frame.index)
        if before is None:
            write_jpeg(target, frame.bgr)
        else:
            before.result()  # its job was begun before this
            shutil.copyfile(layout.frame(frame.index - 1), target)

    with Line(crew, most=FRAMES_BEHIND, at_once=crew.threads) as line:
        counted = clock.counted("frames", write)

        def hand(frame: GridFrame) -> None:
            nonlocal last
            last = line.start(counted, frame, last if frame.is_repeat else None)

        yield hand


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

    def writer_of(track: SeenTrack) -> AviWriter:
        return open_crop(layout.crop_picture(track.index), track.start, hearing)

    with ExitStack() as files:
        open_now: dict[int, tuple[SeenTrack, AviWriter, ExitStack]] = {}
        coming = sorted(seen.tracks, key=lambda track: -track.start)

        def take(frame: GridFrame) -> None:
            while coming and coming[-1].start == frame.index:
                track = coming.pop()
                file = files.enter_context(ExitStack())
                open_now[track.index] = (track, file.enter_context(writer_of(track)), file)
            for track, writer, file in list(open_now.values()):
                square = square_at(track.boxes, frame.index - track.start, rules)
                writer.write(cut(frame.bgr, square, rules))
                if frame.index == track.end - 1:
                    file.close()
                    hearing.write(layout.crop_sound(track.index), track.start, track.end)
                    del open_now[track.index]

        yield take
