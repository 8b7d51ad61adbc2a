"""Fit the numbers of the embedded active speaker anew (``Gains`` of vidfleet/speakers/mouth_motion.py).

    python -m benchmarks.mouth_motion_fit --work DIR

takes the composites that benchmarks/who_spoke_when.py made into DIR, those for fitting and every second of the hard
ones, finds faces and cues with the embedded methods, and looks for the gains with the smallest logarithmic loss over
all frames in which speech is heard. How much of the frames is right is printed of all clips, and of each clip by what
the others taught. Two numbers are set and not fitted: how much motion alone can tell, and how often two speak at
once; the composites have more overlap, and fewer listeners who laugh or chew, than most films.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from benchmarks.active_speaker_accuracy import OUTPUTS
from benchmarks.composites import FIT_SEED, HARD_SEED, Composite
from benchmarks.who_spoke_when import METHODS, read_tracks
from vidfleet.speakers.active_speaker import NothingHeard, TrackScores
from vidfleet.speakers.data import Scores
from vidfleet.speakers.mouth_motion import Cues, Gains, MouthMotion, MouthTrack
from vidfleet.speakers.pipeline import Speakers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vidfleet.speakers.active_speaker import TrackScorer
    from vidfleet.speakers.data import Span
    from vidfleet.speakers.speech import SoundLike

FITTED = 4
"""The first so many of the gains."""
SMALL = 0.0003
"""What large gains cost, so that they stay where the data say nothing."""


@dataclass(frozen=True)
class SeenTrack:
    """A track, what is seen and heard of it, and when its face really speaks."""

    clip: str
    start: int
    cues: Cues
    speaks: NDArray[np.bool_]


class Keeping(MouthMotion):
    """The embedded method, which keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.tracks: list[tuple[int, MouthTrack]] = []

    def track(self, start: int, sound: SoundLike | None, speech: Sequence[Span]) -> TrackScorer:
        """See :class:`MouthMotion`."""
        if sound is None:
            return NothingHeard()
        scorer = MouthTrack(start, sound, speech, gains=Gains())
        self.tracks.append((start, scorer))
        return scorer


def tracks_of(truth: Composite, speakers: Speakers) -> list[SeenTrack]:
    """All tracks of a clip that were kept."""
    keeping = Keeping()
    speakers.stages = replace(speakers.stages, active_speaker=keeping)
    with tempfile.TemporaryDirectory() as folder:
        speakers.process(str(truth.video), folder, lambda _stage, _share: None)
        found = read_tracks(Path(folder, "pywork", "tracks.csv"))
        cues = [(start, track.cues()) for start, track in keeping.tracks]  # while the sound is still there
    seen = []
    for track in found:
        start, length = int(track.frames[0]), len(track.scores)
        # Both lists are in order of appearance; of those that begin together the first one is meant.
        place = next(i for i, (first, each) in enumerate(cues) if first == start and len(each.mouth) == length)
        _start, fitting = cues.pop(place)
        pairs = zip(track.times_s, track.persons(truth), strict=True)
        speaks = [person in truth.speaking(time_s) for time_s, person in pairs]
        seen.append(SeenTrack(truth.name, start, fitting, np.array(speaks)))
    return seen


def settled(tracks: Sequence[SeenTrack], gains: Gains) -> list[NDArray[np.float64]]:
    """Scores of all tracks of several clips."""
    scores: list[NDArray[np.float64]] = []
    for clip in dict.fromkeys(track.clip for track in tracks):
        own = [TrackScores(t.start, Scores(t.cues.evidence(gains))) for t in tracks if t.clip == clip]
        scores += [each.values for each in MouthMotion(gains).settle(own)]
    return scores


def loss(numbers: Sequence[float], tracks: Sequence[SeenTrack]) -> float:
    """Mean logarithmic loss where speech is heard, and what large gains cost."""
    gains = Gains(*map(float, numbers))
    total, frames = 0.0, 0
    for track, scores in zip(tracks, settled(tracks, gains), strict=True):
        heard = track.cues.heard > 0
        signs = np.where(track.speaks[heard], 1, -1)
        total += float(np.logaddexp(0, -signs * scores[heard]).sum())
        frames += int(heard.sum())
    return total / max(frames, 1) + SMALL * float(np.square(numbers[:3]).sum())


def fit(tracks: Sequence[SeenTrack]) -> Gains:
    """The gains with the smallest loss, looked for from those that are in use."""
    first = astuple(Gains())[:FITTED]
    found = minimize(loss, first, args=(tracks,), method="Powell", options={"maxiter": 3, "ftol": 1e-3})
    return Gains(*(round(float(value), 2) for value in found.x))


def right(tracks: Sequence[SeenTrack], gains: Gains) -> float:
    """The share of frames in which a score above 0 means speech."""
    said = np.concatenate([scores > 0 for scores in settled(tracks, gains)])
    return float((said == np.concatenate([track.speaks for track in tracks])).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--work", type=Path, required=True)
    options = parser.parse_args()
    clips = options.work / "clips"
    written = sorted(clips.glob(f"composite_{FIT_SEED}_*.truth.json"))
    written += sorted(clips.glob(f"composite_{HARD_SEED}_*.truth.json"))[1::2]
    speakers = Speakers.from_arguments([*METHODS["embedded"], *OUTPUTS])
    speakers.setup("cpu")
    tracks = [track for path in written for track in tracks_of(Composite.read(path), speakers)]
    print(f"in use: {Gains()}, right {right(tracks, Gains()):.1%}")
    gains = fit(tracks)
    print(f"fitted: {gains}, right {right(tracks, gains):.1%}")
    for clip in dict.fromkeys(track.clip for track in tracks):
        taught = fit([track for track in tracks if track.clip != clip])
        print(f"{clip}: right {right([track for track in tracks if track.clip == clip], taught):.1%} by the others")


if __name__ == "__main__":
    main()
