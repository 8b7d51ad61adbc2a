"""The loaded models, which stay in a lane from video to video."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from vidfleet.speakers import models
from vidfleet.speakers.active_speaker import ActiveSpeaker, LrAsd, MouthMotion
from vidfleet.speakers.faces import HAAR_CONFIDENCE, YUNET_CONFIDENCE, FaceDetector, HaarFaces, YuNet
from vidfleet.speakers.speech import VoiceActivity

if TYPE_CHECKING:
    from vidfleet.speakers.settings import SpeakersSettings


@dataclass(frozen=True)
class Stages:
    """What finds faces, speakers and speech."""

    detector: FaceDetector
    active_speaker: ActiveSpeaker
    voice_activity: VoiceActivity

    @property
    def are_heuristic(self) -> bool:
        """An embedded method is among those that look."""
        return self.detector.method.is_heuristic or self.active_speaker.method.is_heuristic


def load(settings: SpeakersSettings, *, threads: int, device: str) -> Stages:
    """Load the models for ``device``, ``cuda`` or ``cpu``, with so many threads each.

    Raises :class:`~vidfleet.errors.SetupError` where one cannot be had.
    """
    chosen = models.choose(settings)
    voice_activity = VoiceActivity(threads=threads)
    scale, confidence = settings.facedet_scale, settings.face_confidence
    if chosen.are_embedded:
        haar = HaarFaces(scale=scale, confidence=HAAR_CONFIDENCE if confidence is None else confidence)
        return Stages(haar, MouthMotion(), voice_activity)
    on: Literal["cuda", "cpu"] = "cuda" if device == "cuda" else "cpu"
    yunet = YuNet(
        chosen.paths["yunet"],
        threads=threads,
        device=on,
        scale=scale,
        confidence=YUNET_CONFIDENCE if confidence is None else confidence,
    )
    lr_asd = LrAsd(
        chosen.paths[models.asd_weights(settings)],
        threads=threads,
        weighting=settings.score_weighting,
        device=on,
    )
    return Stages(yunet, lr_asd, voice_activity)
