"""Speech is found where it is, and nowhere else, however long the sound."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from vidfleet.speakers import speech as module
from vidfleet.speakers.data import Span
from vidfleet.speakers.media import VideoSource, extract_sound
from vidfleet.speakers.speech import VoiceActivity, join_windows

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Samples:
    """A sound in memory, which notes how much is read of it at once."""

    values: NDArray[np.int16]
    largest: int = field(default=0)

    @property
    def length_samples(self) -> int:
        return len(self.values)

    def read(self, start: int, end: int) -> NDArray[np.int16]:
        self.largest = max(self.largest, end - start)
        found = self.values[max(start, 0) : max(end, 0)]
        return np.pad(found, (max(-start, 0), max(end - max(start, 0) - len(found), 0)))


def babble(seconds: float) -> NDArray[np.int16]:
    """A buzz through moving resonances, which the network takes for speech in part."""
    time_s = np.arange(int(seconds * 16_000)) / 16_000
    source = np.sign(np.sin(2 * np.pi * (120 + 20 * np.sin(2 * np.pi * 0.7 * time_s)) * time_s))
    envelope = 0.5 + 0.5 * np.sin(2 * np.pi * 3 * time_s)
    formant = np.sin(2 * np.pi * (500 + 300 * np.sin(2 * np.pi * 2 * time_s)) * time_s)
    return np.asarray(6000 * envelope * (source + formant) / 2, np.int16)


def test_neither_silence_nor_noise_nor_a_tone_nor_nothing_is_speech() -> None:
    activity = VoiceActivity()
    noise = np.random.default_rng(1).normal(0, 300, 32_000).astype(np.int16)
    tone = np.asarray(8000 * np.sin(np.arange(32_000) * 0.3), np.int16)
    for values in (np.zeros(32_000, np.int16), noise, tone, np.zeros(0, np.int16), np.zeros(5, np.int16)):
        assert activity.find(Samples(values)) == ()


def test_a_long_sound_is_heard_in_pieces_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    activity, values = VoiceActivity(), babble(4.1)
    whole = np.concatenate([piece for _, piece in activity._probabilities(Samples(values))])
    monkeypatch.setattr(module, "WINDOWS_PER_RUN", 10)
    sound = Samples(values)
    pieces = np.concatenate([piece for _, piece in activity._probabilities(sound)])
    assert np.ptp(whole) > 0.01, "a sound on which the network says always the same proves nothing"
    np.testing.assert_allclose(pieces, whole, rtol=0, atol=1e-4)
    assert len(whole) == -(-len(values) // 512)
    assert sound.largest <= 10 * 512


def test_short_gaps_are_closed_and_short_spans_dropped() -> None:
    assert join_windows([]) == ()
    assert join_windows([3, 4]) == (), "64 ms are no speech"
    assert join_windows([10, 11, 12, 13]) == (Span(0.32, 0.448),)
    closed = join_windows([0, 1, 2, 3, 8, 9])
    assert closed == (Span(0.0, 0.32),), "a gap of 128 ms is closed, and the short end counts with it"
    assert join_windows([0, 1, 2, 3, 9, 10, 11, 12]) == (Span(0.0, 0.128), Span(0.288, 0.416))


def test_the_method_is_named_with_its_checksum() -> None:
    method = VoiceActivity().method
    assert method.name == "Silero VAD v6"
    assert len(method.sha256) == 64
    assert not method.is_heuristic


def test_speech_is_found_within_a_tenth_of_a_second(media: Path, tmp_path: Path) -> None:
    activity = VoiceActivity()
    for clip, spans in json.loads((media / "speech_truth.json").read_text("utf-8"))["spans"].items():
        source = VideoSource.open(media / clip)
        sound = extract_sound(media / clip, tmp_path / "sound.wav", zero=source.zero)
        assert sound is not None
        found = activity.find(sound)
        assert len(found) == len(spans)
        for span, (start_s, end_s) in zip(found, spans, strict=True):
            assert span.start_s == pytest.approx(start_s, abs=0.1)
            assert span.end_s == pytest.approx(end_s, abs=0.1)
