"""The demo's clips: people that every detector finds, who are heard, and whose mouths follow their voices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tools.sample_clips.__main__ import CAST
from tools.sample_clips.film import FRAME_RATE, Scene, Spoken, Studio, Turn
from tools.sample_clips.speech import Speech


@dataclass(frozen=True)
class Clip:
    """A clip, read back."""

    pictures: list[NDArray[np.uint8]]
    sound: NDArray[np.float32]
    """16 kHz."""
    spoken: tuple[Spoken, ...]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """Ann speaks, then somebody who is not seen; Bea listens; then a cut to Bea, who speaks."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    scenes = (
        Scene(
            ("Ann", "Bea"),
            (Turn("Ann", "Good evening from the control room."), Turn("Control", "We hear you.")),
        ),
        Scene(("Bea",), (Turn("Bea", "Then we are ready to go."),)),
    )
    spoken = Studio(CAST, Speech()).shoot(path, scenes)
    with av.open(str(path)) as container:
        pictures = [np.asarray(frame.to_ndarray(format="bgr24"), np.uint8) for frame in container.decode(video=0)]
    resampler = av.AudioResampler("flt", "mono", 16_000)
    with av.open(str(path)) as container:
        parts = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    return Clip(pictures, np.concatenate([part.to_ndarray()[0] for part in parts]), spoken)


def mouth_darkness(picture: NDArray[np.uint8], face: tuple[int, int, int, int]) -> float:
    """How much of the lower middle of a face is dark: an open mouth."""
    x, y, width, height = face
    mouth = picture[y + int(0.68 * height) : y + height, x + width // 4 : x + 3 * width // 4]
    return float((mouth.max(axis=2) < 90).mean())


def faces_in(picture: NDArray[np.uint8]) -> list[tuple[int, int, int, int]]:
    """Faces from left to right, found by the cascade that OpenCV carries."""
    folder = Path(cv2.__file__).parent / "data"
    cascade = cv2.CascadeClassifier(str(folder / "haarcascade_frontalface_alt2.xml"))
    found = cascade.detectMultiScale(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), 1.1, 3)
    return sorted((int(x), int(y), int(w), int(h)) for x, y, w, h in found)


def test_every_face_is_found_in_every_shot(clip: Clip) -> None:
    cut = clip.spoken[-1].start_s - 0.5
    for index in range(0, len(clip.pictures), 10):
        assert len(faces_in(clip.pictures[index])) == (2 if index / FRAME_RATE < cut else 1), index


def test_the_voice_is_heard_where_somebody_speaks(clip: Clip) -> None:
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    heard = get_speech_timestamps(clip.sound, VadOptions(min_silence_duration_ms=300, speech_pad_ms=0))
    is_heard = np.zeros(len(clip.sound), bool)
    for span in heard:
        is_heard[span["start"] : span["end"]] = True
    truth = np.zeros(len(clip.sound), bool)
    for turn in clip.spoken:
        truth[round(turn.start_s * 16_000) : round(turn.end_s * 16_000)] = True
    assert (is_heard == truth).mean() > 0.85


def test_only_the_speaker_moves_the_mouth(clip: Clip) -> None:
    ann, control = clip.spoken[:2]
    middle = clip.pictures[round(control.start_s * FRAME_RATE)]
    left, right = faces_in(middle)
    talking = clip.pictures[round(ann.start_s * FRAME_RATE) : round(ann.end_s * FRAME_RATE)]
    away = clip.pictures[round(control.start_s * FRAME_RATE) : round(control.end_s * FRAME_RATE)]
    assert np.std([mouth_darkness(picture, left) for picture in talking]) > 0.02
    assert np.std([mouth_darkness(picture, right) for picture in talking]) < 0.01
    assert np.std([mouth_darkness(picture, left) for picture in away]) < 0.01


def test_the_mouth_follows_the_sound(clip: Clip) -> None:
    ann = clip.spoken[0]
    first, last = round(ann.start_s * FRAME_RATE) + 1, round(ann.end_s * FRAME_RATE)
    face = faces_in(clip.pictures[first])[0]
    darkness = [mouth_darkness(picture, face) for picture in clip.pictures[first:last]]
    per_frame = clip.sound[first * 640 : last * 640].reshape(last - first, 640)
    loudness = np.sqrt((per_frame**2).mean(axis=1))
    assert np.corrcoef(darkness, loudness)[0, 1] > 0.6
