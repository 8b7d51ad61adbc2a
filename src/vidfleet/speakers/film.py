"""The one pass over a film's pictures: faces, tracks, crops and scores come out of it together.

::

    GridFrame ──▶ shots ──▶ (is it settled where shots start?) ──▶ faces ──▶ tracks ──▶ crops ──▶ scores
                  (shots.py)                          (tracks.py, or masks/)   └──▶ findings ◀──────┘

Only pictures that an open track still needs are kept: at most 17, or 42 in the second after a burst of cuts, and
with ``--detect-every K`` those K - 1 that wait for the next look. With ``--sam2`` 38 more wait for their doubts, and a
face that masks follow may be unseen for 25 frames instead of 10.
Tracks are handed on in order of appearance, each as soon as all earlier ones have ended. Where all that is found goes
is told by ``findings``.

Looking for faces, scoring, and the files of crops are jobs of a crew (``flow``); all else is done, and decided, by
the thread that brings the pictures. With a crew of N threads, the pictures of N + 2 frames or of two stretches of K
are kept beside those above; 3 more are decoded ahead; each open track has up to 13 crops (2 MB) on their way to its
file; faces of all tracks together, 8 N seconds of them (2.5 N MB), are on theirs to the network; and N + 2 tracks that
have ended may wait for their scores.
"""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from vidfleet.speakers.active_speaker import TrackScores
from vidfleet.speakers.crops import CropRules, TrackCrops, face_of
from vidfleet.speakers.data import FaceVector, Scores
from vidfleet.speakers.findings import EndedTrack
from vidfleet.speakers.flow import Line, read_ahead
from vidfleet.speakers.identity.gallery import TrackGallery
from vidfleet.speakers.looked import Looks
from vidfleet.speakers.masks.tracker import MaskTracker
from vidfleet.speakers.portraits import TrackPortraits
from vidfleet.speakers.tracks import BoxTracker, TrackRules

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from concurrent.futures import Future
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray

    from vidfleet.speakers.active_speaker import TrackScorer
    from vidfleet.speakers.data import Face, GridFrame
    from vidfleet.speakers.findings import Findings
    from vidfleet.speakers.flow import Crew
    from vidfleet.speakers.hearing import Hearing
    from vidfleet.speakers.masks.use import MaskUse
    from vidfleet.speakers.media import AviWriter, MediaInfo
    from vidfleet.speakers.settings import SpeakersSettings
    from vidfleet.speakers.stages import Stages
    from vidfleet.speakers.tables import StageClock
    from vidfleet.speakers.tracks import FaceTracker, Followed, GrowingTrack


FRAMES_AHEAD = 3
"""Pictures that are decoded before they are asked for, where there is more than one thread."""
FACES_AT_ONCE = 25
"""So many go to be scored in one job: the second that LR-ASD takes at a time."""
SECONDS_A_THREAD = 8
"""So many jobs of scoring may be under way for each thread of the crew. Those of one track are done one after another:
with more of them, tracks of several shots are scored at once."""
CROPS_WAITING = 12
"""Of one track, on their way to its file, beside the one that is written."""


def frames_ahead(frames: Iterable[GridFrame], crew: Crew, clock: StageClock) -> Iterator[GridFrame]:
    """The grid's frames with their pixels, some of them before they are asked for; timed as two stages."""

    def shown() -> Iterator[GridFrame]:
        for frame in clock.timed("pictures", frames):
            if not frame.is_repeat:
                with clock.of("pixels"):
                    _ = frame.bgr
            yield frame

    return read_ahead(crew, shown(), most=FRAMES_AHEAD)


@dataclass(frozen=True, slots=True)
class _Judged:
    """What is known of a track that has ended."""

    scores: Scores
    vector: FaceVector | None


class _TrackRun:
    """One track on its way through crops and scores."""

    def __init__(self, crops: TrackCrops, scorer: TrackScorer, gallery: TrackGallery, crew: Crew) -> None:
        self.crops = crops
        self.scorer: TrackScorer | None = scorer
        self.gallery: TrackGallery | None = gallery
        self.portraits = TrackPortraits()
        self.faces: list[NDArray[np.uint8]] = []
        """Those that are to be scored next."""
        self.scoring = Line(crew, most=SECONDS_A_THREAD * crew.threads)
        self.judged: Future[_Judged] | None = None
        """Of a track that has ended and is kept."""
        self.scores: Scores | None = None
        """The final ones."""
        self.filming = Line(crew, most=CROPS_WAITING)
        self.files = ExitStack()
        self.writer: AviWriter | None = None

    @property
    def track(self) -> GrowingTrack:
        """The track itself."""
        return self.crops.track

    @property
    def ended(self) -> bool:
        """Nothing more is to be done here but to hand it on, or to drop it."""
        return self.scorer is None

    @property
    def is_late(self) -> bool:
        """It has ended, and its scores are on their way."""
        return self.judged is not None and not self.judged.done()

    def end(self) -> None:
        """Let go of all that is only needed while it grows; its crops are all in their file."""
        self.filming.finish()
        self.files.close()
        self.writer = self.scorer = self.gallery = None

    def abandon(self) -> None:
        """Leave it as it is, after an error."""
        self.scoring.close()
        self.filming.close()
        self.files.close()


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
        crew: Crew,
    ) -> None:
        self._info, self._hearing, self._crew = info, hearing, crew
        self._stages, self._clock, self._findings = stages, clock, findings
        self._track_rules = TrackRules(
            missed=settings.num_failed_det, detections=settings.min_track, side=settings.min_face_size
        )
        self._crop_rules = CropRules(pixel_aspect=info.pixel_aspect, scale=settings.crop_scale)
        self._tracker = self._new_tracker(settings)
        self._looks = Looks(self._find, every=settings.detect_every, crew=crew, clock=clock)
        self._pictures: deque[GridFrame] = deque()
        self._growing: list[_TrackRun] = []
        self._unwritten: deque[_TrackRun] = deque()
        self._scoring: deque[Future[None]] = deque()
        """Jobs that are under way, of all tracks."""

    def _new_tracker(self, settings: SpeakersSettings) -> FaceTracker:
        segmenter, when = self._stages.segmenter, settings.sam2_when
        if segmenter is None or when == "never":
            return BoxTracker(self._track_rules, clock=self._clock)
        return MaskTracker(self._track_rules, segmenter, when=when, clock=self._clock)

    @property
    def mask_use(self) -> MaskUse | None:
        """How much masks were asked so far; None where there are none to be asked."""
        return self._tracker.mask_use

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as runs:  # all of them, also where a file cannot be closed on a full disk
            for run in self._unwritten:
                runs.callback(run.abandon)

    def take(self, frame: GridFrame, *, starts_shot: bool) -> None:
        """See the next grid frame; the first one starts a shot."""
        for looked in self._looks.push(frame, starts_shot=starts_shot):
            for followed in self._tracker.push(looked):
                self._follow(followed)

    def finish(self) -> None:
        """End the film: all that waits is done, and all that is found handed on."""
        for looked in self._looks.finish():
            for followed in self._tracker.push(looked):
                self._follow(followed)
        for followed in self._tracker.finish():
            self._follow(followed)
        self._advance(shot_over=True)
        self._hand_on(most_late=0)

    def _find(self, frame: GridFrame) -> tuple[Face, ...]:
        return self._stages.detector.find(frame, pixel_aspect=self._info.pixel_aspect)

    def _follow(self, followed: Followed) -> None:
        """Go on with the next frame, whose faces belong to tracks."""
        frame, starts_shot = followed.looked.frame, followed.looked.starts_shot
        self._findings.frame(followed)
        self._pictures.append(frame)
        runs = [self._begin(track) for track in followed.begun]
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
        return _TrackRun(TrackCrops(track, self._crop_rules), scorer, gallery, self._crew)

    def _advance(self, *, shot_over: bool) -> None:
        """Bring all open tracks as far as they can go, hand on the ended ones, forget what none needs."""
        for run in self._growing:
            if run.track.closed and not run.track.qualifies(self._track_rules):
                self._drop(run)
            else:
                self._crop(run)
                if run.track.closed:
                    self._end(run)
        self._growing = [run for run in self._growing if not run.ended]
        if shot_over and self._stages.active_speaker.compares_faces:
            self._settle()
        self._hand_on(most_late=self._crew.threads + 2)
        needed = min((run.crops.next_frame for run in self._growing), default=None)
        while self._pictures and (needed is None or self._pictures[0].index < needed):
            self._pictures.popleft()

    def _picture(self, index: int) -> GridFrame:
        return self._pictures[index - self._pictures[0].index]

    def _crop(self, run: _TrackRun) -> None:
        for crop in self._clock.timed("crops", run.crops.ready(self._picture)):
            if self._findings.wants_crops:
                run.filming.start(self._film, self._crop_file(run), crop)
            with self._clock.of("portraits"):
                run.portraits.push(crop, side_px=2 * run.crops.half_size)
            run.faces.append(face_of(crop))
            if len(run.faces) == FACES_AT_ONCE:
                self._hand_faces(run)

    def _crop_file(self, run: _TrackRun) -> AviWriter:
        if run.writer is None:
            run.writer = run.files.enter_context(self._findings.crop_file(run.track.number, run.track.start))
        return run.writer

    def _film(self, writer: AviWriter, crop: NDArray[np.uint8]) -> None:
        with self._clock.of("crop_files"):
            writer.write(crop)

    def _hand_faces(self, run: _TrackRun) -> None:
        assert run.scorer is not None
        faces, run.faces = run.faces, []
        self._scoring.append(run.scoring.start(self._score, run.scorer, faces))
        if len(self._scoring) > SECONDS_A_THREAD * self._crew.threads:
            oldest = self._scoring.popleft()
            if not oldest.cancelled():  # its track was dropped
                oldest.result()

    def _score(self, scorer: TrackScorer, faces: Sequence[NDArray[np.uint8]]) -> None:
        with self._clock.of("scores"):
            for face in faces:
                scorer.push(face)

    def _end(self, run: _TrackRun) -> None:
        assert run.scorer is not None
        assert run.gallery is not None
        self._hand_faces(run)
        run.judged = run.scoring.start(self._judge, run.scorer, run.gallery)
        run.end()

    def _judge(self, scorer: TrackScorer, gallery: TrackGallery) -> _Judged:
        with self._clock.of("scores"):
            scores = scorer.finish()
        if self._stages.embedder is None:
            return _Judged(scores, None)
        with self._clock.of("identity"):
            return _Judged(scores, gallery.vector(self._stages.embedder, scores))

    def _settle(self) -> None:
        """Let the faces of a shot that is over compete."""
        runs = [(run, run.judged.result().scores) for run in self._unwritten if run.judged and run.scores is None]
        with self._clock.of("scores"):
            tracks = [TrackScores(run.track.start, scores) for run, scores in runs]
            for (run, _), scores in zip(runs, self._stages.active_speaker.settle(tracks), strict=True):
                run.scores = scores

    def _drop(self, run: _TrackRun) -> None:
        run.scoring.close()
        run.end()
        self._findings.drop(run.track.number)

    def _hand_on(self, *, most_late: int) -> None:
        """Hand on what is known in full, in order of appearance; wait until at most so many tracks are late."""
        late = [run for run in self._unwritten if run.is_late]
        for run in late[: max(len(late) - most_late, 0)]:
            assert run.judged is not None
            run.judged.result()
        while self._unwritten and self._is_next(self._unwritten[0]):
            self._write(self._unwritten.popleft())

    def _is_next(self, run: _TrackRun) -> bool:
        """It can be handed on, or be forgotten."""
        is_settled = run.scores is not None or not self._stages.active_speaker.compares_faces
        return run.ended and not run.is_late and (run.judged is None or is_settled)

    def _write(self, run: _TrackRun) -> None:
        """Hand on an ended track, if it is kept."""
        if run.judged is not None:
            judged, track = run.judged.result(), run.crops.finished()
            scores = run.scores or judged.scores
            self._findings.track(EndedTrack(run.track.number, track, scores, judged.vector, run.portraits.best))
