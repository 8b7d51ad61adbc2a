"""Where the results of the one pass over a film's pictures go: frame by frame, and track by track.

``FilmPass`` finds, and knows nothing of files; what takes its findings is a :class:`Findings`. :class:`FilmFiles`
writes them into the output folder.
"""

from __future__ import annotations

from array import array
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

from vidfleet.speakers.crops import CROP_SIDE
from vidfleet.speakers.data import FaceVector, Scores, Track
from vidfleet.speakers.hearing import SAMPLES_PER_FRAME
from vidfleet.speakers.layout import MASKS, crop_name
from vidfleet.speakers.masks.masks_file import GrowingMasks
from vidfleet.speakers.media import AviWriter, write_jpeg
from vidfleet.speakers.portraits import Portrait, PortraitFile
from vidfleet.speakers.seen import Seen, SeenTrack
from vidfleet.speakers.shots import shots_between
from vidfleet.speakers.tables import PickledList, faces_item, track_item, write_shots

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path
    from types import TracebackType

    from vidfleet.speakers.hearing import Hearing
    from vidfleet.speakers.layout import Layout
    from vidfleet.speakers.tables import StageClock
    from vidfleet.speakers.tracks import Followed


@dataclass(frozen=True, slots=True, eq=False)
class EndedTrack:
    """A track that is kept, with all that was found of it."""

    number: int
    """By which the pass knows it: its place among all tracks, also those that are dropped."""
    track: Track
    """Its index, and so the name of its crop, is not known yet."""
    scores: Scores
    vector: FaceVector | None
    """What its face looks like; None where it was never well seen. Its ``track`` is not the index yet."""
    portraits: tuple[Portrait, ...]


class Findings(Protocol):
    """Takes what the pass finds."""

    wants_crops: bool
    """A video of each face is to be written."""

    def frame(self, followed: Followed) -> None:
        """Take the next grid frame: its faces, its time, whether a shot starts with it; and masks, where there are."""
        ...

    def crop_file(self, number: int, start: int) -> AviWriter:
        """Open the video that the crops of a track go to, which begins in grid frame ``start``."""
        ...

    def drop(self, number: int) -> None:
        """Forget a track that has ended and is not kept."""
        ...

    def track(self, ended: EndedTrack) -> None:
        """Take the next track that is kept, in order of appearance; its crop file is closed."""
        ...


class FilmFiles:
    """Writes the findings of a film as the files of its output folder.

    ``writes`` names what is written beside the tables: ``crops``, ``masks``, ``first_frames`` for one picture of each
    shot.
    A context manager; :meth:`finish` ends the film.
    """

    def __init__(self, layout: Layout, *, hearing: Hearing, clock: StageClock, writes: Collection[str] = ()) -> None:
        self._layout, self._hearing, self._clock = layout, hearing, clock
        self.wants_crops = "crops" in writes
        self._wants_first_frames = "first_frames" in writes
        self._cuts: list[int] = []
        self._source_times_s = array("d")
        self._tracks: list[SeenTrack] = []
        self._index_of: dict[int, int] = {}
        """The index of each track that is kept, by its number in the pass."""
        self._vectors: list[FaceVector] = []
        self._files = ExitStack()
        self._wants_masks = "masks" in writes
        self._masks: GrowingMasks | None = None

    def __enter__(self) -> Self:
        work = self._layout.work
        if self._wants_masks:
            self._masks = self._files.enter_context(GrowingMasks(self._layout.folder / MASKS))
        self._faces_file = self._files.enter_context(PickledList(work("faces.pckl")))
        self._tracks_file = self._files.enter_context(PickledList(work("tracks.pckl")))
        self._scores_file = self._files.enter_context(PickledList(work("scores.pckl")))
        self._portraits = self._files.enter_context(PortraitFile(self._layout.portraits))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.__exit__(kind, error, trace)

    @property
    def vectors(self) -> tuple[FaceVector, ...]:
        """What the faces of the kept tracks look like, so far as they were well seen."""
        return tuple(self._vectors)

    def frame(self, followed: Followed) -> None:
        """See :class:`Findings`."""
        looked = followed.looked
        frame = looked.frame
        self._source_times_s.append(frame.source_time_s)
        self._faces_file.append(faces_item(looked.faces))
        if self._masks is not None and followed.masks:
            with self._clock.of("mask_files"):
                self._masks.add(frame.index, followed.masks)
        if looked.starts_shot:
            self._cuts.append(frame.index)
            if self._wants_first_frames:
                with self._clock.of("frames"):
                    write_jpeg(self._layout.frame(frame.index), frame.bgr)

    def crop_file(self, number: int, start: int) -> AviWriter:
        """See :class:`Findings`."""
        return open_crop(self._layout.growing_crop(number), start, self._hearing)

    def drop(self, number: int) -> None:
        """See :class:`Findings`."""
        self._layout.growing_crop(number).unlink(missing_ok=True)

    def track(self, ended: EndedTrack) -> None:
        """See :class:`Findings`: the track gets its index, and is written down."""
        index = len(self._tracks)
        track = replace(ended.track, crop_name=crop_name(index))
        with self._clock.of("files"):
            self._tracks_file.append(track_item(track))
            self._scores_file.append(ended.scores.values)
            scores = ended.scores.values.astype(np.float32)
            self._tracks.append(SeenTrack(index, track.start, track.boxes, scores))
            self._index_of[ended.number] = index
            self._portraits.add(index, ended.portraits)
            if ended.vector is not None:
                self._vectors.append(replace(ended.vector, track=index))
        if self.wants_crops:
            with self._clock.of("crop_files"):
                self._layout.growing_crop(ended.number).rename(self._layout.crop_picture(index))
                self._hearing.write(self._layout.crop_sound(index), track.start, track.end)

    def finish(self) -> Seen:
        """End the film: write its shots."""
        if self._masks is not None:
            with self._clock.of("mask_files"):
                self._masks.finish({number: self._tracks[index] for number, index in self._index_of.items()})
        shots = shots_between(self._cuts, len(self._source_times_s))
        write_shots(shots, pickled=self._layout.work("scene.pckl"), table=self._layout.work("shots.csv"))
        return Seen(np.array(self._source_times_s), shots, tuple(self._tracks))


def open_crop(path: Path, start: int, hearing: Hearing) -> AviWriter:
    """Open the video of a track's face, which begins in grid frame ``start``."""
    return AviWriter(
        path, width=CROP_SIDE, height=CROP_SIDE, sound=hearing.sound, sound_start=start * SAMPLES_PER_FRAME
    )
