"""The loaded models, which stay in a lane from video to video."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vidfleet.speakers import models
from vidfleet.speakers.active_speaker import ActiveSpeaker, LrAsd
from vidfleet.speakers.faces import HAAR_CONFIDENCE, YUNET_CONFIDENCE, FaceDetector, HaarFaces, YuNet
from vidfleet.speakers.identity.embed import EMBEDDERS, FaceEmbedder
from vidfleet.speakers.masks.segmenter import Segmenter
from vidfleet.speakers.mouth_motion import MouthMotion
from vidfleet.speakers.nets.session import Device, cuda_trouble
from vidfleet.speakers.speech import VoiceActivity
from vidfleet.speakers.words.choice import WordSource

if TYPE_CHECKING:
    from vidfleet.speakers.settings import SpeakersSettings
    from vidfleet.speakers.weights import Models


@dataclass(frozen=True)
class Stages:
    """What finds faces, speakers and speech."""

    detector: FaceDetector
    active_speaker: ActiveSpeaker
    voice_activity: VoiceActivity
    words: WordSource
    embedder: FaceEmbedder | None = None
    """None: faces are not compared, and each track is a person of its own."""
    segmenter: Segmenter | None = None
    """What follows faces by their pixels; None: boxes alone make tracks."""
    device: Device = "cpu"
    """Where the networks compute, all but Whisper."""
    trouble: str = ""
    """Why that is not the GPU, though the lane has one; else empty."""
    decode_on: Device = "cpu"
    """Where pictures are decoded, where that can be done."""

    @property
    def are_heuristic(self) -> bool:
        """An embedded method is among those that look."""
        return self.detector.method.is_heuristic or self.active_speaker.method.is_heuristic


def load(settings: SpeakersSettings, *, threads: int, device: str) -> Stages:
    """Load the models for ``device``, ``cuda`` or ``cpu``.

    What listens has so many threads each. What looks has one: several threads ask it at once, for one picture or
    track each, which is faster, and gives the same numbers however many they are.
    Raises :class:`~vidfleet.errors.SetupError` where one cannot be had.
    """
    chosen = models.choose(settings)
    voice_activity = VoiceActivity(threads=threads)
    words = WordSource(models.choose_words(settings), threads=threads, device=device)
    lane: Device = "cuda" if device == "cuda" else "cpu"
    segmenter = _segmenter(settings, threads=threads, device=lane)
    scale, confidence = settings.facedet_scale, settings.face_confidence
    if chosen.are_embedded:
        haar = HaarFaces(scale=scale, confidence=HAAR_CONFIDENCE if confidence is None else confidence)
        return Stages(haar, MouthMotion(), voice_activity, words, segmenter=segmenter, decode_on=settings.decoder)
    trouble = cuda_trouble() if lane == "cuda" else ""
    on: Device = "cpu" if trouble else lane
    yunet = YuNet(
        chosen.paths["yunet"],
        device=on,
        scale=scale,
        confidence=YUNET_CONFIDENCE if confidence is None else confidence,
    )
    lr_asd = LrAsd(
        chosen.paths[models.asd_weights(settings)],
        weighting=settings.score_weighting,
        device=on,
    )
    embedder = _embedder(chosen, device=on)
    return Stages(
        yunet, lr_asd, voice_activity, words, embedder, segmenter, device=on, trouble=trouble,
        decode_on=settings.decoder,
    )  # fmt: skip


def _embedder(chosen: Models, *, device: Device) -> FaceEmbedder | None:
    name = models.embedder_of(chosen)
    return None if name == "none" else EMBEDDERS[name](chosen.paths[name], device=device)


def _segmenter(settings: SpeakersSettings, *, threads: int, device: Device) -> Segmenter | None:
    files = models.choose_sam2(settings)
    if files is None:
        return None
    from vidfleet.speakers.nets.sam2 import Sam2Segmenter

    return Sam2Segmenter(files, threads=threads, device=device)
