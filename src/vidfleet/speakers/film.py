"""The one pass over a film's pictures: faces, tracks, crops and scores come out of it together.

::

    GridFrame ──▶ shots ──▶ (is it settled where shots start?) ──▶ faces ──▶ tracks ──▶ crops ──▶ scores
                  (shots.py)                                         └─────────┴──▶ findings ◀──────┘

Only pictures that an open track still needs are kept: at most 17, or 42 in the second after a burst of cuts, and
with ``--detect-every K`` those K - 1 that wait for the next look.
Tracks are handed on in order of appearance, each as soon as all earlier ones have ended. Where all that is found goes
is told by ``findings``.
"""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from vidfleet.speakers.active_speaker import TrackScores
from vidfleet.speakers.crops import CropRules, TrackCrops, face_of
from vidfleet.speakers.findings import EndedTrack
from vidfleet.speakers.identity.gallery import TrackGallery
from vidfleet.speakers.looked import Looked, Looks
from vidfleet.speakers.portraits import TrackPortraits
from vidfleet.speakers.tracks import Tracker, TrackRules

if TYPE_CHECKING:
    from types import TracebackType

    from vidfleet.speakers.active_speaker import TrackScorer
    from vidfleet.speakers.data import Face, FaceVector, GridFrame, Scores
    from vidfleet.speakers.findings import Findings
    from vidfleet.speakers.hearing import Hearing
    from vidfleet.speakers.media import AviWriter, MediaInfo
    from vidfleet.speakers.settings import SpeakersSettings
    from vidfleet.speakers.stages import Stages
    from vidfleet.speakers.tables import StageClock
    from vidfleet.speakers.tracks import GrowingTrack


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
    """Takes the grid frames of one film in order, of which it is settled where shots start, and finds what they show.

    ``findings`` takes what is found. A context manager; :meth:`finish` ends the film.
    """

    def __init__(
        self,
        settings: SpeakersSettings,
        *,
        info: MediaInfo,
        hearing: Hearing,
        stages: Stages,
        clock: StageClock,
        findings: Findings,
    ) -> None:
        self._info, self._hearing = info, hearing
        self._stages, self._clock, self._findings = stages, clock, findings
        self._track_rules = TrackRules(
            missed=settings.num_failed_det, detections=settings.min_track, side=settings.min_face_size
        )
        self._crop_rules = CropRules(pixel_aspect=info.pixel_aspect, scale=settings.crop_scale)
        self._tracker = Tracker(self._track_rules)
        self._looks = Looks(self._find, every=settings.detect_every)
        self._pictures: deque[GridFrame] = deque()
        self._growing: list[_TrackRun] = []
        self._unwritten: deque[_TrackRun] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for run in self._growing:
            run.end()

    def take(self, frame: GridFrame, *, starts_shot: bool) -> None:
        """See the next grid frame; the first one starts a shot."""
        for looked in self._clock.timed("faces", self._looks.push(frame, starts_shot=starts_shot)):
            self._follow(looked)

    def finish(self) -> None:
        """End the film: all that waits is done, and all that is found handed on."""
        for looked in self._clock.timed("faces", self._looks.finish()):
            self._follow(looked)
        self._tracker.close()
        self._advance(shot_over=True)

    def _find(self, frame: GridFrame) -> tuple[Face, ...]:
        return self._stages.detector.find(frame, pixel_aspect=self._info.pixel_aspect)

    def _follow(self, looked: Looked) -> None:
        """Continue the tracks with the next frame and its faces."""
        frame, faces, starts_shot = looked.frame, looked.faces, looked.starts_shot
        self._findings.frame(looked)
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
        needed = min((run.crops.next_frame for run in self._growing), default=None)
        while self._pictures and (needed is None or self._pictures[0].index < needed):
            self._pictures.popleft()

    def _picture(self, index: int) -> GridFrame:
        return self._pictures[index - self._pictures[0].index]

    def _crop(self, run: _TrackRun) -> None:
        assert run.scorer is not None
        for crop in self._clock.timed("crops", run.crops.ready(self._picture)):
            if self._findings.wants_crops:
                with self._clock.of("crop_files"):
                    self._crop_file(run).write(crop)
            with self._clock.of("scores"):
                run.scorer.push(face_of(crop))
            with self._clock.of("portraits"):
                run.portraits.push(crop, side_px=2 * run.crops.half_size)

    def _crop_file(self, run: _TrackRun) -> AviWriter:
        if run.writer is None:
            run.writer = run.files.enter_context(self._findings.crop_file(run.track.number, run.track.start))
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
        self._findings.drop(run.track.number)

    def _write(self, run: _TrackRun) -> None:
        """Hand on an ended track, if it is kept."""
        if run.scores is not None:
            track = run.crops.finished()
            self._findings.track(EndedTrack(run.track.number, track, run.scores, run.vector, run.portraits.best))
