"""Sound: one 16 kHz track on the video's clock; gaps are silence, overlaps are cut, damage is no end."""

from __future__ import annotations

import wave
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from vidfleet.errors import BadInputError
from vidfleet.speakers.data import SAMPLE_RATE
from vidfleet.speakers.media import Sound, VideoSource, extract_sound, write_wav

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.speakers.conftest import MakeClip

LEVEL = 8000
ZERO = Fraction(0)


def read_all(sound: Sound | None) -> NDArray[np.int16]:
    """A whole track."""
    assert sound is not None
    return sound.read(0, sound.length_samples)


class TestSlices:
    """Sound is read in slices."""

    def test_slices_are_padded_with_silence_on_both_sides(self, tmp_path: Path) -> None:
        sound = write_wav(tmp_path / "a.wav", np.arange(1, 101, dtype=np.int16))
        assert sound.read(-2, 3).tolist() == [0, 0, 1, 2, 3]
        assert sound.read(98, 102).tolist() == [99, 100, 0, 0]
        assert sound.read(-3, 103).tolist() == [0, 0, 0, *range(1, 101), 0, 0, 0]
        assert sound.read(200, 203).tolist() == sound.read(-9, -6).tolist() == [0, 0, 0]
        assert len(sound.read(5, 5)) == 0
        assert sound.read(0, 1).dtype == np.int16

    def test_a_written_file_is_what_wave_and_open_read(self, tmp_path: Path) -> None:
        path = tmp_path / "a.wav"
        written = write_wav(path, np.arange(-50, 50, dtype=np.int16))
        with wave.open(str(path)) as file:
            assert file.getparams()[:4] == (1, 2, SAMPLE_RATE, 100)
            assert np.frombuffer(file.readframes(100), "<i2").tolist() == list(range(-50, 50))
        assert Sound.open(path) == written

    def test_no_samples_are_a_file_too(self, tmp_path: Path) -> None:
        assert write_wav(tmp_path / "a.wav", np.zeros(0, np.int16)).length_samples == 0
        assert Sound.open(tmp_path / "a.wav").read(0, 2).tolist() == [0, 0]

    @pytest.mark.parametrize("content", [b"", b"RIFF", b"\0" * 100])
    def test_other_files_are_refused(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "a.wav").write_bytes(content)
        with pytest.raises(ValueError, match="not a WAV file of ours"):
            Sound.open(tmp_path / "a.wav")


class TestTracks:
    """What a video's sound track becomes."""

    def test_no_track_is_a_result(self, make_clip: MakeClip, tmp_path: Path) -> None:
        path, _ = make_clip("a.mp4", sound_s=None)
        source = VideoSource.open(path)
        assert not source.info.has_sound
        assert extract_sound(path, tmp_path / "a.wav", zero=source.zero) is None
        assert not (tmp_path / "a.wav").exists()

    @pytest.mark.parametrize(
        ("rate", "layout"), [(8000, "mono"), (11_025, "stereo"), (44_100, "5.1"), (96_000, "stereo"), (16_000, "mono")]
    )
    def test_every_rate_and_layout_keeps_its_length_and_level(self, tmp_path: Path, rate: int, layout: str) -> None:
        path = write_track(tmp_path / "a.mkv", [(0, rate)], rate=rate, layout=layout)
        heard = read_all(extract_sound(path, tmp_path / "a.wav", zero=ZERO))
        assert abs(len(heard) - SAMPLE_RATE) <= 1
        assert np.abs(heard[500:-500].astype(int) - LEVEL).max() < 20

    def test_gaps_are_silence_and_the_rest_stays_in_place(self, tmp_path: Path) -> None:
        path = write_track(tmp_path / "a.mkv", [(0, 8000), (16_000, 24_000)])
        heard = read_all(extract_sound(path, tmp_path / "a.wav", zero=ZERO))
        assert loud_parts(heard) == [(0, 8000), (16_000, 24_000)]

    def test_overlaps_are_cut(self, tmp_path: Path) -> None:
        path = write_track(tmp_path / "a.mkv", [(0, 16_000), (8000, 24_000)])
        heard = read_all(extract_sound(path, tmp_path / "a.wav", zero=ZERO))
        assert loud_parts(heard) == [(0, 24_000)]

    def test_small_errors_of_the_clock_leave_no_seam(self, tmp_path: Path) -> None:
        runs = [(start + shift, start + 1600) for start, shift in zip(range(0, 16_000, 1600), [0, 80] * 5, strict=True)]
        path = write_track(tmp_path / "a.mkv", [(first, first + 1600) for first, _ in runs])
        heard = read_all(extract_sound(path, tmp_path / "a.wav", zero=ZERO))
        assert loud_parts(heard) == [(0, 16_000)]

    def test_sound_before_zero_is_cut_and_a_late_one_is_preceded_by_silence(self, tmp_path: Path) -> None:
        path = write_track(tmp_path / "a.mkv", [(0, 16_000)])
        late = read_all(extract_sound(path, tmp_path / "a.wav", zero=Fraction(-1, 2)))
        assert loud_parts(late) == [(8000, 24_000)]
        early = read_all(extract_sound(path, tmp_path / "a.wav", zero=Fraction(1, 4)))
        assert loud_parts(early) == [(0, 12_000)]

    def test_a_jump_of_more_than_a_minute_is_bad_input(self, tmp_path: Path) -> None:
        ends = 16_000 + 61 * SAMPLE_RATE
        path = write_track(tmp_path / "a.mkv", [(0, 16_000), (ends, ends + 16_000)])
        with pytest.raises(BadInputError, match=r"jumps by 62\.0 s at 0\.0 s"):
            extract_sound(path, tmp_path / "a.wav", zero=ZERO)


class TestDamage:
    """What decodes is kept."""

    def test_damaged_sound_becomes_silence(self, make_clip: MakeClip, tmp_path: Path) -> None:
        path, clip = make_clip("a.mp4", seconds=4, events_at=(Fraction(1), Fraction(3)))
        spoil_sound(path, range(70, 100))
        heard = read_all(extract_sound(path, tmp_path / "a.wav", zero=ZERO))
        begins = [first / SAMPLE_RATE for first, last in loud_parts(heard) if last - first > 2000]
        assert begins == pytest.approx(clip.expected_s, abs=0.005)
        assert abs(len(heard) - 4 * SAMPLE_RATE) < 400
        assert not heard[SAMPLE_RATE * 17 // 10 : SAMPLE_RATE * 2].any()

    def test_a_track_that_does_not_decode_at_all_is_no_sound(self, make_clip: MakeClip, tmp_path: Path) -> None:
        path, _ = make_clip("a.mp4", seconds=2, events_at=())
        spoil_sound(path, range(1000))
        source = VideoSource.open(path)
        assert source.info.has_sound
        assert extract_sound(path, tmp_path / "a.wav", zero=source.zero) is None
        assert len(list(source.frames())) == 50


def write_track(path: Path, runs: list[tuple[int, int]], *, rate: int = SAMPLE_RATE, layout: str = "mono") -> Path:
    """Constant sound in runs of samples [start, end), each one packet of an uncompressed track."""
    with av.open(path, "w") as out:
        stream = out.add_stream("pcm_s16le", rate=rate, layout=layout)
        channels = stream.codec_context.layout.nb_channels
        for start, end in runs:
            samples = np.full((1, (end - start) * channels), LEVEL, np.int16)
            frame = av.AudioFrame.from_ndarray(samples, "s16", layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            out.mux(stream.encode(frame))
    return path


def loud_parts(samples: NDArray[np.int16]) -> list[tuple[int, int]]:
    """Where sound is, as [start, end) in samples; quiet of under 1 ms does not count."""
    loud = np.flatnonzero(np.abs(samples.astype(int)) > LEVEL // 8)
    breaks = np.flatnonzero(np.diff(loud) > SAMPLE_RATE // 1000)
    starts = [loud[0], *loud[breaks + 1]]
    ends = [*loud[breaks], loud[-1]]
    return [(int(first), int(last) + 1) for first, last in zip(starts, ends, strict=True)]


def spoil_sound(path: Path, numbers: range) -> None:
    """Overwrite packets of the sound track, by their number."""
    with av.open(path) as opened:
        places = [(packet.pos, packet.size) for packet in opened.demux(audio=0) if packet.size]
    with path.open("r+b") as file:
        for number, (position, size) in enumerate(places):
            if number in numbers and position is not None:
                file.seek(position)
                file.write(b"\xff" * size)
