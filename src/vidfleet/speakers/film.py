"""The one pass over a film's pictures: shots, faces, tracks, crops and scores come out of it together.

::

    GridFrame ──▶ shots ──▶ (is it settled where shots start?) ──▶ faces ──▶ tracks ──▶ crops ──▶ scores
                                                                                          └─▶ pycrop

Only pictures that an open track still needs are kept: at most 17, or 42 in the second after a burst of cuts, and
with ``--detect-every K`` those K - 1 that wait for the next look.
Tracks are written in order of appearance, each as soon as all earlier ones have ended.
"""

from __future__ import annotations

import wave
from array import array
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np

from vidfleet.speakers.active_speaker import TrackScores
from vidfleet.speakers.crops import CROP_SIDE, CropRules, TrackCrops, face_of
from vidfleet.speakers.data import GRID_RATE, SAMPLE_RATE, Span
from vidfleet.speakers.identity.gallery import TrackGallery
from vidfleet.speakers.layout import crop_name
from vidfleet.speakers.looked import Looked, Looks
from vidfleet.speakers.media import AviWriter, Sound, write_jpeg
from vidfleet.speakers.portraits import PortraitFile, TrackPortraits
from vidfleet.speakers.seen import Seen, SeenTrack
from vidfleet.speakers.shots import ContentShots, shots_between
from vidfleet.speakers.tables import PickledList, faces_item, track_item, write_shots
from vidfleet.speakers.tracks import Tracker, TrackRules

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path
    from types import TracebackType

    from vidfleet.speakers.active_speaker import TrackScorer
    from vidfleet.speakers.data import Face, FaceVector, GridFrame, Scores
    from vidfleet.speakers.layout import Layout
    from vidfleet.speakers.media import MediaInfo
    from vidfleet.speakers.settings import SpeakersSettings
    from vidfleet.speakers.stages import Stages
    from vidfleet.speakers.tables import StageClock
    from vidfleet.speakers.tracks import GrowingTrack

CUTS_LOOKED_AT = 64
"""Cuts among which a settled frame may still be; they lie at least a minimum shot apart."""
SECONDS_AT_ONCE = 60
SAMPLES_PER_FRAME = SAMPLE_RATE // GRID_RATE


@dataclass(frozen=True, slots=True)
class Hearing:
    """What is known of the sound before the first picture."""

    sound: Sound | None
    speech: tuple[Span, ...]

    def write(self, path: Path, start: int, end: int) -> None:
        """Write the sound of grid frames [start, end) as a WAV file, minute by minute; silence where there is none."""
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
            for first in range(start, end, SECONDS_AT_ONCE * GRID_RATE):
                last = min(end, first + SECONDS_AT_ONCE * GRID_RATE)
                samples = np.zeros((last - first) * SAMPLES_PER_FRAME, dtype="<i2")
                if self.sound is not None:
                    samples[:] = self.sound.read(first * SAMPLES_PER_FRAME, last * SAMPLES_PER_FRAME)
                file.writeframesraw(samples.tobytes())


class _TrackRun:
    """One track on its way through crops and scores."""

    def __init__(self, crops: TrackCrops, scorer: TrackScorer, gallery: TrackGallery) -> None:
        self.crops = crops
        self.scorer: TrackScorer | None = scorer
        self.gallery: TrackGallery | None = gallery
        self.vector: FaceVector | None = None
        self.portraits = TrackPortraits()
        self.scores: Scores | None = None
        """Of a track that has ended and is kept."""
        self.settled = False
        """Its scores are final."""
        self.files = ExitStack()
        self.writer: AviWriter | None = None

    @property
    def track(self) -> GrowingTrack:
        """The track itself."""
        return self.crops.track

    @property
    def ended(self) -> bool:
        """Nothing more is to be done but to write it down, or to drop it."""
        return self.scorer is None

    @property
    def written_next(self) -> bool:
        """It can be written down, or be forgotten."""
        return self.ended and (self.settled or self.scores is None)

    def end(self) -> None:
        """Let go of all that is only needed while it grows."""
        self.files.close()
        self.writer = self.scorer = self.gallery = None


class FilmPass:
    """Takes the grid frames of one film in order, and writes what they show.

    ``writes`` names what is written on the way: ``crops``, and ``frames`` where one of each shot is asked for.
    A context manager; :meth:`finish` ends the film.
    """

    def __init__(
        self,
        settings: SpeakersSettings,
        layout: Layout,
        *,
        info: MediaInfo,
        hearing: Hearing,
        stages: Stages,
        clock: StageClock,
        writes: Collection[str] = (),
    ) -> None:
        self._writes_crops = "crops" in writes
        self._writes_first_frames = "frames" in writes and settings.frames == "shot"
        self._settings, self._layout, self._info, self._hearing = settings, layout, info, hearing
        self._stages, self._clock = stages, clock
        self._track_rules = TrackRules(
            missed=settings.num_failed_det, detections=settings.min_track, side=settings.min_face_size
        )
        self._crop_rules = CropRules(pixel_aspect=info.pixel_aspect, scale=settings.crop_scale)
        self._shots = ContentShots(minimum_s=settings.scene_min_sec)
        self._tracker = Tracker(self._track_rules)
        self._cuts: list[int] = []
        self._source_times_s = array("d")
        self._looks = Looks(self._find, every=settings.detect_every)
        self._waiting: deque[GridFrame] = deque()
        self._pictures: deque[GridFrame] = deque()
        self._growing: list[_TrackRun] = []
        self._unwritten: deque[_TrackRun] = deque()
        self._written: list[SeenTrack] = []
        self._vectors: list[FaceVector] = []
        self._files = ExitStack()

    def __enter__(self) -> Self:
        work = self._layout.work
        self._faces_file = self._files.enter_context(PickledList(work("faces.pckl")))
        self._tracks_file = self._files.enter_context(PickledList(work("tracks.pckl")))
        self._scores_file = self._files.enter_context(PickledList(work("scores.pckl")))
        self._portraits = self._files.enter_context(PortraitFile(self._layout.portraits))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for run in self._growing:
            run.end()
        self._files.__exit__(kind, error, trace)

    def take(self, frame: GridFrame) -> None:
        """See the next grid frame."""
        self._source_times_s.append(frame.source_time_s)
        if not frame.is_repeat:
            with self._clock.of("pixels"):
                _ = frame.bgr  # the shot detector is the first to ask for them; counted apart
        with self._clock.of("shots"):
            self._cuts.extend(self._shots.push(frame))
        self._waiting.append(frame)
        while self._waiting and self._waiting[0].index < self._shots.settled:
            self._look(self._waiting.popleft())

    @property
    def vectors(self) -> tuple[FaceVector, ...]:
        """What the faces of the kept tracks look like, so far as they were well seen."""
        return tuple(self._vectors)

    def finish(self) -> Seen:
        """End the film: all that waits is done, and all files are written."""
        while self._waiting:
            self._look(self._waiting.popleft())
        for looked in self._clock.timed("faces", self._looks.finish()):
            self._follow(looked)
        self._tracker.close()
        self._advance(shot_over=True)
        shots = shots_between(self._cuts, len(self._source_times_s))
        write_shots(shots, pickled=self._layout.work("scene.pckl"), table=self._layout.work("shots.csv"))
        return Seen(np.array(self._source_times_s), tuple(shots), tuple(self._written))

    def _find(self, frame: GridFrame) -> tuple[Face, ...]:
        return self._stages.detector.find(frame, pixel_aspect=self._info.pixel_aspect)

    def _look(self, frame: GridFrame) -> None:
        """Find the faces of a frame of which it is settled whether a shot starts there, and of what waited for it."""
        starts_shot = frame.index == 0 or frame.index in self._cuts[-CUTS_LOOKED_AT:]
        for looked in self._clock.timed("faces", self._looks.push(frame, starts_shot=starts_shot)):
            self._follow(looked)

    def _follow(self, looked: Looked) -> None:
        """Continue the tracks with the next frame and its faces."""
        frame, faces, starts_shot = looked.frame, looked.faces, looked.starts_shot
        self._faces_file.append(faces_item(faces))
        if starts_shot and self._writes_first_frames:
            with self._clock.of("frames"):
                write_jpeg(self._layout.frame(frame.index), frame.bgr)
        self._pictures.append(frame)
        with self._clock.of("tracks"):
            begun = self._tracker.push(frame.index, faces, starts_shot=starts_shot)
        runs = [self._begin(track) for track in begun]
        self._growing += runs
        self._unwritten.extend(runs)
        with self._clock.of("views"):
            for run in self._growing if self._stages.embedder is not None else ():
                face = run.track.face
                if run.gallery is not None and face.frame == frame.index and face.is_found:
                    run.gallery.take(frame, face)
        self._advance(shot_over=starts_shot)

    def _begin(self, track: GrowingTrack) -> _TrackRun:
        scorer = self._stages.active_speaker.track(track.start, self._hearing.sound, self._hearing.speech)
        gallery = TrackGallery(track.number, track.start, pixel_aspect=self._info.pixel_aspect)
        return _TrackRun(TrackCrops(track, self._crop_rules), scorer, gallery)

    def _advance(self, *, shot_over: bool) -> None:
        """Bring all open tracks as far as they can go, write the ended ones, forget what none needs."""
        for run in self._growing:
            if run.track.closed and not run.track.qualifies(self._track_rules):
                self._drop(run)
            else:
                self._crop(run)
                if run.track.closed:
                    self._score(run)
        self._growing = [run for run in self._growing if not run.ended]
        if shot_over:
            self._settle()
        while self._unwritten and self._unwritten[0].written_next:
            self._write(self._unwritten.popleft())
        needed = min((run.crops.next_frame for run in self._growing), default=len(self._source_times_s))
        while self._pictures and self._pictures[0].index < needed:
            self._pictures.popleft()

    def _picture(self, index: int) -> GridFrame:
        return self._pictures[index - self._pictures[0].index]

    def _crop(self, run: _TrackRun) -> None:
        assert run.scorer is not None
        for crop in self._clock.timed("crops", run.crops.ready(self._picture)):
            if self._writes_crops:
                with self._clock.of("crop_files"):
                    self._crop_file(run).write(crop)
            with self._clock.of("scores"):
                run.scorer.push(face_of(crop))
            with self._clock.of("portraits"):
                run.portraits.push(crop, side_px=2 * run.crops.half_size)

    def _crop_file(self, run: _TrackRun) -> AviWriter:
        if run.writer is None:
            writer = AviWriter(
                self._layout.growing_crop(run.track.number),
                width=CROP_SIDE,
                height=CROP_SIDE,
                sound=self._hearing.sound,
                sound_start=run.track.start * SAMPLES_PER_FRAME,
            )
            run.writer = run.files.enter_context(writer)
        return run.writer

    def _score(self, run: _TrackRun) -> None:
        assert run.scorer is not None
        with self._clock.of("scores"):
            run.scores = run.scorer.finish()
        run.settled = not self._stages.active_speaker.compares_faces
        if self._stages.embedder is not None:
            with self._clock.of("identity"):
                assert run.gallery is not None
                run.vector = run.gallery.vector(self._stages.embedder, run.scores)
        run.end()

    def _settle(self) -> None:
        """Let the faces of a shot that is over compete, where the active speaker compares them."""
        runs = [run for run in self._unwritten if run.scores is not None and not run.settled]
        with self._clock.of("scores"):
            tracks = [TrackScores(run.track.start, run.scores) for run in runs if run.scores is not None]
            for run, scores in zip(runs, self._stages.active_speaker.settle(tracks), strict=True):
                run.scores, run.settled = scores, True

    def _drop(self, run: _TrackRun) -> None:
        run.end()
        self._layout.growing_crop(run.track.number).unlink(missing_ok=True)

    def _write(self, run: _TrackRun) -> None:
        """Give an ended track its index, and write it down; one that is not kept gets none."""
        if run.scores is None:
            return
        index = len(self._written)
        track = run.crops.finished(crop_name(index))
        with self._clock.of("files"):
            self._tracks_file.append(track_item(track))
            self._scores_file.append(run.scores.values)
            scores = run.scores.values.astype(np.float32)
            self._written.append(SeenTrack(index, track.start, track.boxes, scores))
            self._portraits.add(index, run.portraits.best)
            if run.vector is not None:
                self._vectors.append(replace(run.vector, track=index))
        if self._writes_crops:
            with self._clock.of("crop_files"):
                self._layout.growing_crop(run.track.number).rename(self._layout.crop_picture(index))
                self._hearing.write(self._layout.crop_sound(index), track.start, track.end)
