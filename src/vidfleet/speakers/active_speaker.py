"""Who of the faces speaks: a score for each grid frame of a face track, above 0 where its face is speaking.

::

    ActiveSpeaker.track(start, sound, speech) ─▶ TrackScorer.push(face), push(face), ... ─▶ finish() ─▶ Scores
                                                   all tracks of a shot ─▶ ActiveSpeaker.settle ─▶ Scores

LR-ASD looks and listens, at each face by itself; the embedded method (``mouth_motion``) needs no weights, and
lets the faces of a shot compete. Both keep memory flat: LR-ASD takes a second of faces at a time, keeps 1 KB of
features of each, and its windows of 1 to 6 s all begin anew at each full minute of a track, so a track is scored
minute by minute, with the same numbers as in one piece.

N frames give N-1 scores: the sound of N frames has 4N-1 cepstra, of which the network takes whole fours.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from vidfleet.speakers.data import GRID_RATE, SAMPLE_RATE, Method, Scores
from vidfleet.speakers.nets.checkpoint import read_checkpoint
from vidfleet.speakers.nets.lr_asd import FACE_RATE, FACE_SIZE, LrAsdNet
from vidfleet.speakers.nets.lr_asd_windows import WindowScorer, go_together
from vidfleet.speakers.nets.mfcc import STEP_SAMPLES, WINDOW_SAMPLES, mfcc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from vidfleet.speakers.data import Span
    from vidfleet.speakers.nets.session import Device
    from vidfleet.speakers.speech import SoundLike

SAMPLES_PER_FRAME = SAMPLE_RATE // GRID_RATE
BLOCK_FRAMES = 60 * GRID_RATE
"""A minute: the least common multiple of the window lengths 1 to 6 s."""
WEIGHTINGS = {"mean": (1, 1, 1, 1, 1, 1), "whispervideo": (3, 3, 2, 1, 1, 1)}
"""How much the windows of 1 to 6 s count for a score."""
BATCHES = {"cpu": 1, "cuda": 16}
"""How many tracks go through the network at a time. On the processor a second of track takes 101 ms alone, 109 with
another, 138 with three; to a GPU it is so little that starting its work counts."""
NO_SOUND_SCORE = -4.0
"""For every frame of a film without sound: what LR-ASD says, on the mean, of faces in silence."""


class TrackScorer(Protocol):
    """Scores one face track, fed frame by frame."""

    def push(self, face: NDArray[np.uint8]) -> None:
        """Take the next grid frame's face: grey, (112, 112)."""
        ...

    def finish(self) -> Scores:
        """Return the scores of all frames pushed but the last; there is no push after it."""
        ...


@dataclass(frozen=True, slots=True)
class TrackScores:
    """Scores of a track, and where it lies."""

    start: int
    """The grid frame of its first face."""
    scores: Scores


class ActiveSpeaker(Protocol):
    """Tells for face tracks when their face is speaking; of each track one thread asks, of several tracks several."""

    method: Method
    compares_faces: bool
    """A track's scores are not final before :meth:`settle` has seen all tracks of its shot."""

    def track(self, start: int, sound: SoundLike | None, speech: Sequence[Span]) -> TrackScorer:
        """Begin a track whose first face is that of grid frame ``start``.

        ``speech`` says when anybody is heard speaking. Without sound every score is negative.
        """
        ...

    def settle(self, shot: Sequence[TrackScores]) -> Sequence[Scores]:
        """Return the final scores of all tracks of one shot, in their order."""
        ...


class LrAsd:
    """LR-ASD with the authors' checkpoint: tells whether lips move with the speech that is heard.

    ``weighting`` says how the windows of 1 to 6 s count: their plain mean, or as whisperVideo counts them. So many
    tracks go through the network at a time as ``batch`` says; 0: as is best on ``device``.
    Raises :class:`~vidfleet.errors.WeightsError` where the file is not a checkpoint of LR-ASD.
    """

    compares_faces = False

    def __init__(
        self,
        checkpoint: Path,
        *,
        threads: int = 1,
        weighting: Literal["mean", "whispervideo"] = "mean",
        device: Device = "cpu",
        batch: int = 0,
    ) -> None:
        net = LrAsdNet(read_checkpoint(checkpoint), threads=threads, device=device)
        self._begin = partial(WindowScorer, net)
        self._seconds = _Seconds(net, tracks=batch or BATCHES[device])
        self._weights = np.array(WEIGHTINGS[weighting], np.float64)
        self.method = Method(
            "LR-ASD " + checkpoint.stem.removeprefix("LR-ASD_"),
            hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
        )

    def track(self, start: int, sound: SoundLike | None, speech: Sequence[Span]) -> TrackScorer:  # noqa: ARG002
        """See :class:`ActiveSpeaker`; ``speech`` is not needed, the network listens for itself."""
        if sound is None:
            return NothingHeard()
        return _LrAsdTrack(self._begin, self._weights, start, sound, seconds=self._seconds)

    def settle(self, shot: Sequence[TrackScores]) -> Sequence[Scores]:
        """See :class:`ActiveSpeaker`; the network judges each face by itself."""
        return [track.scores for track in shot]


class NothingHeard:
    """A track of a film without sound."""

    def __init__(self) -> None:
        self._frames = 0

    def push(self, face: NDArray[np.uint8]) -> None:
        """See :class:`TrackScorer`."""
        check_face(face)
        self._frames += 1

    def finish(self) -> Scores:
        """See :class:`TrackScorer`."""
        return Scores(np.full(max(self._frames - 1, 0), NO_SOUND_SCORE))


class _Seconds:
    """Seconds of faces that wait for the network, so that those of several tracks go through it together.

    None waits longer than for the next second of one that waits. Several threads may come.
    """

    def __init__(self, net: LrAsdNet, *, tracks: int) -> None:
        self._net, self._tracks = net, tracks
        self._waiting: dict[WindowScorer, NDArray[np.uint8]] = {}
        self._lock = Lock()

    def see(self, scorer: WindowScorer, faces: NDArray[np.uint8]) -> None:
        """Let ``scorer`` see the next second of its track: now, or before it is asked for anything else."""
        if self._tracks == 1:
            scorer.see(faces)
            return
        with self._lock:
            if scorer in self._waiting:
                self._go()
            self._waiting[scorer] = faces.copy()
            if len(self._waiting) >= self._tracks:
                self._go()

    def settle(self, scorer: WindowScorer) -> None:
        """Return when ``scorer`` has seen all that it was given."""
        with self._lock:
            if scorer in self._waiting:
                self._go()

    def _go(self) -> None:
        waiting, self._waiting = self._waiting, {}
        go_together(self._net, [scorer.seeing(faces) for scorer, faces in waiting.items()])


class _LrAsdTrack:
    """One track: its faces are looked at a second at a time, and scored a minute at a time."""

    def __init__(
        self,
        begin: Callable[[], WindowScorer],
        weights: NDArray[np.float64],
        start: int,
        sound: SoundLike,
        *,
        seconds: _Seconds,
    ) -> None:
        self._begin, self._weights, self._sound, self._seconds = begin, weights, sound, seconds
        self._seen = 0
        self._start = start
        self._scorer = begin()
        self._faces = np.empty((FACE_RATE, FACE_SIZE, FACE_SIZE), np.uint8)
        self._held = 0
        self._scored: list[NDArray[np.float64]] = []

    def push(self, face: NDArray[np.uint8]) -> None:
        check_face(face)
        if self._held == FACE_RATE:
            # Only now is it known that the track goes on, and so that its second is whole.
            if self._seen + FACE_RATE < BLOCK_FRAMES:
                self._seconds.see(self._scorer, self._faces)
                self._seen += FACE_RATE
            else:
                self._score(FACE_RATE)
            self._held = 0
        self._faces[self._held] = face
        self._held += 1

    def finish(self) -> Scores:
        self._score(max(self._held - 1, 0))
        self._held = 0
        return Scores(np.concatenate(self._scored))

    def _score(self, last: int) -> None:
        """Score what was seen since the last full minute, and the first ``last`` of the faces that are held."""
        done, frames = len(self._scored) * BLOCK_FRAMES, self._seen + last
        self._seconds.settle(self._scorer)
        raw = self._scorer.finish(self._faces[:last], self._cepstra(done, frames))
        self._scorer, self._seen = self._begin(), 0
        mean = np.average(np.array(raw, np.float64), axis=0, weights=self._weights)
        self._scored.append(np.round(mean, 1) + 0.0)  # + 0.0: no minus zero in files

    def _cepstra(self, done: int, frames: int) -> NDArray[np.float32]:
        """(4 x frames, 13) from the track's frame ``done`` on, as if computed over the whole track."""
        if not frames:
            return np.zeros((0, 13), np.float32)
        first = (self._start + done) * SAMPLES_PER_FRAME
        last = first + frames * SAMPLES_PER_FRAME + WINDOW_SAMPLES - STEP_SAMPLES
        before = float(self._sound.read(first - 1, first)[0]) if done else None
        return mfcc(self._sound.read(first, last), before=before)


def check_face(face: NDArray[np.uint8]) -> None:
    """Raise ValueError for a face that is not (112, 112)."""
    if face.shape != (FACE_SIZE, FACE_SIZE):
        raise ValueError(f"a face of shape {face.shape} instead of {(FACE_SIZE, FACE_SIZE)}")
