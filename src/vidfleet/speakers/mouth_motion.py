"""The embedded active speaker, without weights: a mouth that moves with the speech that is heard.

Evidence, face by face. Between two frames the face is first held still by the shift of its upper half, then the
mouth by its own: nods and leans move both, speech only the lips. What still changes around the mouth, less what
changes around the eyes and nose, and how it goes with the loudness of the sound, says how much the mouth speaks;
where no speech is heard nobody does.

Competition, when a shot is over. In each frame nobody in the picture speaks (the voice is off screen, or there is
none), or one face does, or two do at once; each of these is as likely as its evidence says. So a listener who
smiles loses to the one whose lips go with the voice, while a voice alone makes no face a speaker.

The numbers were fitted to composites of other people than those on whom they were measured, and to drawn clips
(benchmarks/mouth_motion_fit.py, benchmarks/who_spoke_when.py). It is wrong where somebody chews or laughs while a
voice is heard, and on faces seen from the side.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from vidfleet.speakers.active_speaker import BLOCK_FRAMES, SAMPLES_PER_FRAME, NothingHeard, check_face
from vidfleet.speakers.data import GRID_RATE, Method, Scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vidfleet.speakers.active_speaker import TrackScorer, TrackScores
    from vidfleet.speakers.data import Span
    from vidfleet.speakers.speech import SoundLike

MOUTH = np.s_[52:94, 28:84]
AROUND_MOUTH = np.s_[52:92, 24:88]
UPPER_FACE = np.s_[8:48, 24:88]
"""Where they are in a face of 112 x 112, cut as the tracks' faces are.

OpenCV's phase correlation pads to the next good length for its transform, and is half a pixel wrong where that
is odd (42 becomes 45): 40 and 64 are good lengths.
"""
LARGEST_SHIFT_PX, LARGEST_MOUTH_SHIFT_PX = 8, 3
"""Beyond them a shift that is found is taken for a mistake."""
STILL = 0.2
"""Grey values: added before logarithms, so that a frozen face counts as still."""
NEAR_FRAMES, WIDE_FRAMES = 15, 75
"""Windows for motion (a few syllables), and for its going with the loudness (a phrase)."""
LARGEST_LAG_FRAMES = 5
"""Sound may be so much early or late: 0.2 s."""
LAG_COST = 0.004
"""A frame of lag has to better the mean squared correlation by so much."""
CONTROL = 0.4
"""Of the upper face's motion so much is taken from the mouth's before it is compared with the loudness."""
EDGE_SCORE, EDGE_SCORE_PER_S, LARGEST_SCORE = 0.5, 20.0, 5.0
"""A frame's score lies within that much of 0 at the edges of heard speech, and grows with the distance."""


@dataclass(frozen=True, slots=True)
class Gains:
    """What counts how much; by default as fitted."""

    mouth: float = 4.6
    upper_face: float = 1.5
    loudness: float = 5.4
    bias: float = -3.6
    most_by_motion: float = 2.0
    """Motion alone tells no more than this: beyond it only those win whose motion goes with the voice."""
    two_at_once: float = 0.1
    """How likely it is that two speak rather than one, were their evidence alike."""


@dataclass(frozen=True, slots=True)
class Cues:
    """What is seen and heard of one track; (M,) each, one for each score."""

    mouth: NDArray[np.float64]
    """Log of how much the mouth changes, on the mean near by."""
    upper_face: NDArray[np.float64]
    """Log of how much the upper face does."""
    fits: NDArray[np.float64]
    """-1..1: how the mouth's motion goes with the loudness."""
    heard: NDArray[np.float64]
    """The most that a score may be, by whether speech is heard."""

    def evidence(self, gains: Gains) -> NDArray[np.float64]:
        """Logits that the face speaks, had it no rivals."""
        motion = gains.mouth * self.mouth - gains.upper_face * self.upper_face + gains.bias
        motion = gains.most_by_motion - np.logaddexp(0.0, gains.most_by_motion - motion)
        values = np.minimum(motion + gains.loudness * self.fits, self.heard)
        return np.asarray(np.clip(values, -2 * LARGEST_SCORE, 2 * LARGEST_SCORE), np.float64)


class MouthMotion:
    """The embedded method; see the module."""

    compares_faces = True

    def __init__(self, gains: Gains | None = None) -> None:
        self.method = Method("heuristic: mouth motion", "")
        self._gains = gains or Gains()

    def track(self, start: int, sound: SoundLike | None, speech: Sequence[Span]) -> TrackScorer:
        """See :class:`~vidfleet.speakers.active_speaker.ActiveSpeaker`."""
        if sound is None:
            return NothingHeard()
        return MouthTrack(start, sound, speech, gains=self._gains)

    def settle(self, shot: Sequence[TrackScores]) -> Sequence[Scores]:
        """Let the faces of a shot compete; memory goes with the shot's length, not with the number of tracks.

        With w = exp(evidence), the weights of all that may be are 1 for nobody, w for each face, and
        ``two_at_once`` w v for each pair: a face's score is the log odds of all in which it speaks.
        """
        first = min((track.start for track in shot), default=0)
        last = max((track.start + len(track.scores.values) for track in shot), default=0)
        total, squares = np.zeros(last - first), np.zeros(last - first)
        weights = [np.exp(track.scores.values) for track in shot]
        places = [slice(track.start - first, track.start - first + len(track.scores.values)) for track in shot]
        for place, weight in zip(places, weights, strict=True):
            total[place] += weight
            squares[place] += weight * weight
        return [
            _rounded(self._log_odds(weight, total[place] - weight, squares[place] - weight * weight))
            for place, weight in zip(places, weights, strict=True)
        ]

    def _log_odds(
        self, weight: NDArray[np.float64], rivals: NDArray[np.float64], squares: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Of a face, from its weight, its rivals' weights, and the squares of these, summed."""
        rivals = np.maximum(rivals, 0.0)  # sums that were taken apart again are exact but for rounding
        pairs = np.maximum(rivals * rivals - squares, 0.0) / 2
        together = self._gains.two_at_once
        return np.asarray(np.log(weight) + np.log1p(together * rivals) - np.log1p(rivals + together * pairs))


def _rounded(scores: NDArray[np.float64]) -> Scores:
    clipped = np.clip(scores, -LARGEST_SCORE, LARGEST_SCORE)
    return Scores(np.asarray(np.round(clipped, 1) + 0.0, np.float64))  # + 0.0: no minus zero in files


class MouthTrack:
    """One track: two numbers are kept of each frame."""

    def __init__(self, start: int, sound: SoundLike, speech: Sequence[Span], *, gains: Gains) -> None:
        self._start, self._sound, self._speech, self._gains = start, sound, speech, gains
        self._before: NDArray[np.float32] | None = None
        self._hann = cv2.createHanningWindow((64, 40), cv2.CV_32F)
        self._motion = array("f")

    def push(self, face: NDArray[np.uint8]) -> None:
        """See :class:`~vidfleet.speakers.active_speaker.TrackScorer`."""
        check_face(face)
        now = cv2.GaussianBlur(face, (0, 0), 1.0).astype(np.float32)
        if self._before is not None:
            held = self._held_still(now, UPPER_FACE, LARGEST_SHIFT_PX)
            upper = np.abs(held[UPPER_FACE] - self._before[UPPER_FACE])
            lips = self._held_still(held, AROUND_MOUTH, LARGEST_MOUTH_SHIFT_PX)
            mouth = np.abs(lips[MOUTH] - self._before[MOUTH])
            self._motion.extend((float(mouth.mean()), float(np.median(upper))))
        self._before = now

    def finish(self) -> Scores:
        """The evidence, as logits had the face no rivals."""
        return Scores(self.cues().evidence(self._gains))

    def cues(self) -> Cues:
        """What is seen and heard of all frames pushed but the last."""
        # Motion stands between two frames, and the last frame has no score: one for each.
        mouth, upper = np.log(np.array(self._motion, np.float64).reshape(-1, 2).T + STILL)
        if not mouth.size:
            return Cues(mouth, upper, mouth, upper)
        return Cues(
            _mean_near(mouth, NEAR_FRAMES),
            _mean_near(upper, NEAR_FRAMES),
            _best_correlation(mouth - CONTROL * upper, self._loudness(len(mouth))),
            self._heard(len(mouth)),
        )

    def _held_still(
        self, now: NDArray[np.float32], region: tuple[slice, slice], largest_px: float
    ) -> NDArray[np.float32]:
        """This frame, shifted so that a region lies where it was."""
        assert self._before is not None
        (x, y), _ = cv2.phaseCorrelate(self._before[region].copy(), now[region].copy(), self._hann)
        if not max(abs(x), abs(y)) < largest_px:
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
        """(frames + 2 LARGEST_LAG_FRAMES,) log of the sound's power in each frame, and in those on either side."""
        power = []
        begin, end = self._start - LARGEST_LAG_FRAMES, self._start + frames + LARGEST_LAG_FRAMES
        for first in range(begin, end, BLOCK_FRAMES):
            last = min(first + BLOCK_FRAMES, end)
            samples = self._sound.read(first * SAMPLES_PER_FRAME, last * SAMPLES_PER_FRAME)
            power.append(np.square(samples.reshape(-1, SAMPLES_PER_FRAME).astype(np.float64)).mean(axis=1))
        # 100: a power that nobody hears, so that digital silence is no more silent than a quiet room.
        return np.asarray(np.log(np.concatenate(power) + 100))


def _best_correlation(motion: NDArray[np.float64], loudness: NDArray[np.float64]) -> NDArray[np.float64]:
    """How motion goes with loudness around each frame, at the lag at which it does so best over the track."""
    best, best_value = np.zeros_like(motion), -np.inf
    for first in range(2 * LARGEST_LAG_FRAMES + 1):
        found = _correlation(motion, loudness[first : first + len(motion)], WIDE_FRAMES)
        value = float(np.square(np.maximum(found, 0)).mean()) - LAG_COST * abs(first - LARGEST_LAG_FRAMES)
        if value > best_value:
            best, best_value = found, value
    return best


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
