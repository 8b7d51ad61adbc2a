"""Who of the faces speaks: a score for each grid frame of a face track, above 0 where its face is speaking.

::

    ActiveSpeaker.track(start, sound, speech) ─▶ TrackScorer.push(face), push(face), ... ─▶ finish() ─▶ Scores

LR-ASD looks and listens; :class:`MouthMotion` is the embedded method without weights. Both keep memory flat:
LR-ASD's windows of 1 to 6 s all begin anew at each full minute of a track, so a track is scored minute by
minute, with the same numbers as in one piece.

N frames give N-1 scores: the sound of N frames has 4N-1 cepstra, of which the network takes whole fours.
"""

from __future__ import annotations

import hashlib
from array import array
from typing import TYPE_CHECKING, Literal, Protocol

import cv2
import numpy as np

from vidfleet.speakers.data import GRID_RATE, SAMPLE_RATE, Method, Scores
from vidfleet.speakers.nets.checkpoint import read_checkpoint
from vidfleet.speakers.nets.lr_asd import FACE_SIZE, LrAsdNet
from vidfleet.speakers.nets.mfcc import STEP_SAMPLES, WINDOW_SAMPLES, mfcc

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from vidfleet.speakers.data import Span
    from vidfleet.speakers.speech import SoundLike

SAMPLES_PER_FRAME = SAMPLE_RATE // GRID_RATE
BLOCK_FRAMES = 60 * GRID_RATE
"""A minute: the least common multiple of the window lengths 1 to 6 s."""
WEIGHTINGS = {"mean": (1, 1, 1, 1, 1, 1), "whispervideo": (3, 3, 2, 1, 1, 1)}
"""How much the windows of 1 to 6 s count for a score."""
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


class ActiveSpeaker(Protocol):
    """Tells for face tracks when their face is speaking."""

    method: Method

    def track(self, start: int, sound: SoundLike | None, speech: Sequence[Span]) -> TrackScorer:
        """Begin a track whose first face is that of grid frame ``start``.

        ``speech`` says when anybody is heard speaking. Without sound every score is negative.
        """
        ...


class LrAsd:
    """LR-ASD with the authors' checkpoint: tells whether lips move with the speech that is heard.

    ``weighting`` says how the windows of 1 to 6 s count: their plain mean, or as whisperVideo counts them.
    Raises :class:`~vidfleet.errors.WeightsError` where the file is not a checkpoint of LR-ASD.
    """

    def __init__(
        self,
        checkpoint: Path,
        *,
        threads: int = 1,
        weighting: Literal["mean", "whispervideo"] = "mean",
        device: Literal["cpu", "cuda"] = "cpu",
    ) -> None:
        self._net = LrAsdNet(read_checkpoint(checkpoint), threads=threads, device=device)
        self._weights = np.array(WEIGHTINGS[weighting], np.float64)
        self.method = Method(
            "LR-ASD " + checkpoint.stem.removeprefix("LR-ASD_"),
            hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
        )

    def track(self, start: int, sound: SoundLike | None, speech: Sequence[Span]) -> TrackScorer:  # noqa: ARG002
        """See :class:`ActiveSpeaker`; ``speech`` is not needed, the network listens for itself."""
        if sound is None:
            return _NothingHeard()
        return _LrAsdTrack(self._net, self._weights, start, sound)


class _NothingHeard:
    """A track of a film without sound."""

    def __init__(self) -> None:
        self._frames = 0

    def push(self, face: NDArray[np.uint8]) -> None:
        _check(face)
        self._frames += 1

    def finish(self) -> Scores:
        return Scores(np.full(max(self._frames - 1, 0), NO_SOUND_SCORE))


class _LrAsdTrack:
    """One track, scored a minute at a time."""

    def __init__(self, net: LrAsdNet, weights: NDArray[np.float64], start: int, sound: SoundLike) -> None:
        self._net, self._weights, self._sound = net, weights, sound
        self._start = start
        # Pages that are not written yet take no memory: a short track stays small.
        self._faces = np.empty((BLOCK_FRAMES, FACE_SIZE, FACE_SIZE), np.uint8)
        self._held = 0
        self._scored: list[NDArray[np.float64]] = []

    def push(self, face: NDArray[np.uint8]) -> None:
        _check(face)
        if self._held == BLOCK_FRAMES:
            # Only now is it known that the track goes on, and so that its minute is whole.
            self._score(BLOCK_FRAMES)
            self._held = 0
        self._faces[self._held] = face
        self._held += 1

    def finish(self) -> Scores:
        self._score(max(self._held - 1, 0))
        self._held = 0
        return Scores(np.concatenate(self._scored))

    def _score(self, frames: int) -> None:
        done = len(self._scored) * BLOCK_FRAMES
        raw = self._net.score_windows(self._faces[:frames], self._cepstra(done, frames))
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


class MouthMotion:
    """The embedded method, without weights: the mouth moves while speech is heard.

    Between two frames the face is first held still by the upper face's shift. What still changes around the
    mouth, against what changes around the eyes and nose, and how it goes with the loudness of the sound, says
    how much the mouth speaks; where no speech is heard nobody does. The numbers were fitted to LR-ASD's scores
    and to silent faces on real clips, each clip judged by what the others taught
    (benchmarks/active_speaker_accuracy.py). It is wrong on chewing and laughing, and on heads that turn.
    """

    def __init__(self) -> None:
        self.method = Method("heuristic: mouth motion", "")

    def track(self, start: int, sound: SoundLike | None, speech: Sequence[Span]) -> TrackScorer:
        """See :class:`ActiveSpeaker`."""
        if sound is None:
            return _NothingHeard()
        return _MouthTrack(start, sound, speech)


MOUTH = np.s_[52:94, 28:84]
UPPER_FACE = np.s_[8:48, 24:88]
"""Where they are in a face of 112 x 112, cut as the tracks' faces are.

OpenCV's phase correlation pads to the next good length for its transform, and is half a pixel wrong where that
is odd (42 becomes 45): 40 and 64 are good lengths.
"""
LARGEST_SHIFT_PX = 8
"""Beyond it the shift found between two frames is taken for a mistake."""
STILL = 0.2
"""Grey values: added before logarithms, so that a frozen face counts as still."""
NEAR_FRAMES, WIDE_FRAMES = 15, 75
"""Windows for motion (a few syllables), and for its going with the loudness (a phrase)."""
MOUTH_GAIN, UPPER_FACE_GAIN, LOUDNESS_GAIN, BIAS = 2.8, 1.15, 1.0, -2.2
EDGE_SCORE, EDGE_SCORE_PER_S, LARGEST_SCORE = 0.5, 20.0, 5.0
"""A frame's score lies within that much of 0 at the edges of heard speech, and grows with the distance."""


class _MouthTrack:
    """One track: two numbers are kept of each frame."""

    def __init__(self, start: int, sound: SoundLike, speech: Sequence[Span]) -> None:
        self._start, self._sound, self._speech = start, sound, speech
        self._before: NDArray[np.float32] | None = None
        self._hann = cv2.createHanningWindow((64, 40), cv2.CV_32F)
        self._motion = array("f")

    def push(self, face: NDArray[np.uint8]) -> None:
        _check(face)
        now = cv2.GaussianBlur(face, (0, 0), 1.0).astype(np.float32)
        if self._before is not None:
            change = np.abs(self._held_still(now, self._before) - self._before)
            self._motion.extend((float(change[MOUTH].mean()), float(np.median(change[UPPER_FACE]))))
        self._before = now

    def finish(self) -> Scores:
        # Motion stands between two frames, and the last frame has no score: one for each.
        mouth, upper = np.log(np.array(self._motion, np.float64).reshape(-1, 2).T + STILL)
        if not mouth.size:
            return Scores(np.zeros(0))
        loudness = self._loudness(len(mouth))
        moves = MOUTH_GAIN * _mean_near(mouth, NEAR_FRAMES) - UPPER_FACE_GAIN * _mean_near(upper, NEAR_FRAMES)
        fits = LOUDNESS_GAIN * _correlation(mouth - 0.4 * upper, loudness, WIDE_FRAMES)
        score = np.minimum(moves + fits + BIAS, self._heard(len(mouth)))
        return Scores(np.round(np.clip(score, -LARGEST_SCORE, LARGEST_SCORE), 1) + 0.0)

    def _held_still(self, now: NDArray[np.float32], before: NDArray[np.float32]) -> NDArray[np.float32]:
        """This frame, shifted so that the upper face lies where it was."""
        (x, y), _ = cv2.phaseCorrelate(before[UPPER_FACE].copy(), now[UPPER_FACE].copy(), self._hann)
        if not max(abs(x), abs(y)) < LARGEST_SHIFT_PX:
            return now
        matrix = np.array([[1, 0, x], [0, 1, y]], np.float32)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        shifted: NDArray[np.float32] = cv2.warpAffine(
            now, matrix, now.shape[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        return shifted

    def _heard(self, frames: int) -> NDArray[np.float64]:
        """(frames,) above 0 where speech is heard, by the distance to its nearest edge."""
        time_s = (self._start + np.arange(frames) + 0.5) / GRID_RATE
        inside = np.full(frames, -np.inf)
        for span in self._speech:
            inside = np.maximum(inside, np.minimum(time_s - span.start_s, span.end_s - time_s))
        return np.asarray(np.where(inside > 0, EDGE_SCORE, -EDGE_SCORE) + EDGE_SCORE_PER_S * inside)

    def _loudness(self, frames: int) -> NDArray[np.float64]:
        """(frames,) log of the sound's power in each frame."""
        power = []
        for first in range(0, frames, BLOCK_FRAMES):
            last = min(first + BLOCK_FRAMES, frames)
            start, end = ((self._start + frame) * SAMPLES_PER_FRAME for frame in (first, last))
            samples = self._sound.read(start, end).reshape(-1, SAMPLES_PER_FRAME).astype(np.float64)
            power.append(np.square(samples).mean(axis=1))
        # 100: a power that nobody hears, so that digital silence is no more silent than a quiet room.
        return np.asarray(np.log(np.concatenate(power) + 100))


def _mean_near(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """The mean over a window around each value, shorter at the ends."""
    total = np.concatenate(([0.0], np.cumsum(values)))
    index = np.arange(len(values))
    first = np.maximum(index - width // 2, 0)
    last = np.minimum(index + width // 2 + 1, len(values))
    return np.asarray((total[last] - total[first]) / (last - first))


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """The correlation over a window around each value; near 0 where either hardly varies."""
    means = [_mean_near(values, width) for values in (first, second)]
    together = _mean_near(first * second, width) - means[0] * means[1]
    spreads = [
        np.maximum(_mean_near(values * values, width) - mean * mean, 0)
        for values, mean in zip((first, second), means, strict=True)
    ]
    return np.asarray(together / np.sqrt((spreads[0] + 0.02) * (spreads[1] + 0.05)))


def _check(face: NDArray[np.uint8]) -> None:
    if face.shape != (FACE_SIZE, FACE_SIZE):
        raise ValueError(f"a face of shape {face.shape} instead of {(FACE_SIZE, FACE_SIZE)}")
