"""The pipeline the naive way, as published programs for active speakers do it: one pass over the film for each stage.

Decode for shots; decode again and look for a face in each picture; join them; decode again and cut the faces out;
score each track in six lengths of windows, window by window (``benchmarks.naive_scores``). Detector, tracker, cutter
and network are the program's own, so the numbers that come out must be the same, and only the order of the work
differs. Where it may do with less than published programs it does: it writes neither pictures nor crops and reads none
back but holds faces in memory (of a film of an hour 1.1 GB for each face in view), it cuts the faces of all tracks in
one pass, and on ONNX Runtime a pass of the network takes a third of what it takes in PyTorch. It finds no speech, no
persons and no portraits, and writes no page; the program's own run does.
"""

from __future__ import annotations

import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.naive_scores import NaiveLrAsd
from vidfleet.speakers.crops import CropRules, cut, face_of, square_at
from vidfleet.speakers.media import VideoSource, extract_sound
from vidfleet.speakers.nets.checkpoint import read_checkpoint
from vidfleet.speakers.nets.lr_asd import MFCC_PER_FACE
from vidfleet.speakers.nets.mfcc import mfcc
from vidfleet.speakers.shots import ContentShots
from vidfleet.speakers.tracks import Tracker, TrackRules

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from vidfleet.speakers.data import Face, GridFrame
    from vidfleet.speakers.faces import FaceDetector
    from vidfleet.speakers.media import Sound
    from vidfleet.speakers.tracks import GrowingTrack

T = TypeVar("T")
_NONE_LEFT = object()
SAMPLES_PER_FRAME = 640


@dataclass(frozen=True)
class ScoredTrack:
    """What is known of a track in the end."""

    start: int
    """Its first grid frame."""
    boxes: NDArray[np.float64]
    """(N, 4)"""
    scores: NDArray[np.float64]
    """(N - 1,), rounded to 0.1."""


class ProcessorClock:
    """Processor seconds of this process, by stage."""

    def __init__(self) -> None:
        self.spent_s: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        began = time.process_time()
        try:
            yield
        finally:
            self.spent_s[stage] += time.process_time() - began

    def timed(self, stage: str, items: Iterable[T]) -> Iterator[T]:
        """Count for ``stage`` what it takes ``items`` to give each item."""
        iterator = iter(items)
        while True:
            with self.of(stage):
                item = next(iterator, _NONE_LEFT)
            if item is _NONE_LEFT:
                return
            yield item  # type: ignore[misc]


class NaivePipeline:
    """Its models are loaded; ``run`` takes one film after the other."""

    def __init__(self, detector: FaceDetector, lr_asd: Path) -> None:
        self._detector, self._net = detector, NaiveLrAsd(read_checkpoint(lr_asd))

    def run(self, film: Path, wav: Path, clock: ProcessorClock) -> list[ScoredTrack]:
        """All kept tracks by order of appearance; the film's sound goes to ``wav``."""
        source = VideoSource.open(film)
        with clock.of("sound"):
            sound = extract_sound(film, wav, zero=source.zero)
        starts = _shot_starts(_decoded(source, clock), clock)
        faces = self._faces(source, clock)
        with clock.of("tracks"):
            tracks = _tracks(faces, starts)
        crops = _crops(_decoded(source, clock), tracks, CropRules(pixel_aspect=source.info.pixel_aspect), clock)
        scored = []
        for track, cropped in zip(tracks, crops, strict=True):
            with clock.of("scores"):
                scored.append(ScoredTrack(track.start, track.boxes(), self._scores(track.start, cropped, sound)))
        return scored

    def _faces(self, source: VideoSource, clock: ProcessorClock) -> list[tuple[Face, ...]]:
        """Those of each grid frame; a picture that is shown again has the same."""
        found: list[tuple[Face, ...]] = []
        for frame in _decoded(source, clock):
            if frame.is_repeat:
                found.append(tuple(replace(face, frame=frame.index) for face in found[-1]))
            else:
                with clock.of("faces"):
                    found.append(self._detector.find(frame, pixel_aspect=source.info.pixel_aspect))
        return found

    def _scores(self, start: int, faces: NDArray[np.uint8], sound: Sound | None) -> NDArray[np.float64]:
        assert sound is not None
        first, last = start * SAMPLES_PER_FRAME, (start + len(faces)) * SAMPLES_PER_FRAME
        cepstra = mfcc(sound.read(first, last))
        frames = min(len(faces), len(cepstra) // MFCC_PER_FACE)
        raw = self._net.score_windows(faces[:frames], cepstra[: MFCC_PER_FACE * frames])
        mean: NDArray[np.float64] = np.average(np.array(raw, np.float64), axis=0)
        return np.round(mean, 1) + 0.0


def decode(film: Path) -> int:
    """Decode all pictures and make nothing of them: the floor. Returns how many there are."""
    return sum(1 for _ in VideoSource.open(film).frames())


def _decoded(source: VideoSource, clock: ProcessorClock) -> Iterator[GridFrame]:
    """The grid's pictures, each with its pixels, as OpenCV's reader or a folder of JPEGs would give them."""
    for frame in clock.timed("pictures", source.frames()):
        with clock.of("pixels"):
            _ = frame.bgr
        yield frame


def _shot_starts(frames: Iterable[GridFrame], clock: ProcessorClock) -> set[int]:
    shots, starts = ContentShots(), {0}
    for frame in frames:
        with clock.of("shots"):
            starts.update(shots.push(frame))
    return starts


def _tracks(faces: list[tuple[Face, ...]], starts: set[int]) -> list[GrowingTrack]:
    rules = TrackRules()
    tracker, begun = Tracker(rules), []
    for index, found in enumerate(faces):
        begun += tracker.push(index, found, starts_shot=index in starts)
    tracker.close()
    return [track for track in begun if track.qualifies(rules)]


def _crops(
    frames: Iterable[GridFrame], tracks: list[GrowingTrack], rules: CropRules, clock: ProcessorClock
) -> list[NDArray[np.uint8]]:
    """Of each track its faces (N, 112, 112)."""
    boxes = [track.boxes() for track in tracks]
    faces: list[NDArray[np.uint8]] = [np.empty((len(own), 112, 112), np.uint8) for own in boxes]
    for frame in frames:
        with clock.of("crops"):
            for track, own, seen in zip(tracks, boxes, faces, strict=True):
                index = frame.index - track.start
                if 0 <= index < len(own):
                    seen[index] = face_of(cut(frame.bgr, square_at(own, index, rules), rules))
    return faces
