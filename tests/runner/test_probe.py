"""What a video's header says, and that no file can harm more than its own probe."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from tests.support.workshop import ODD_NAMES, make_video, video_bytes
from vidfleet.data import Probe
from vidfleet.errors import BadInputError
from vidfleet.runner import probe as probes
from vidfleet.runner.probe import probe, probe_all
from vidfleet.worker.process import python_module

if TYPE_CHECKING:
    from pathlib import Path

_WHOLE = video_bytes(0.2)


def test_length_frames_size_and_codec_come_from_the_header(tmp_path: Path) -> None:
    found = probe(make_video(tmp_path / "a.mp4", seconds=2.0))
    assert found == Probe(duration_s=2.0, frames=50, width=16, height=16, codec="mpeg4")
    assert found.cost == 50 * 16 * 16


def test_every_odd_name_can_be_probed(tmp_path: Path) -> None:
    paths = [make_video(tmp_path / name) for name in ODD_NAMES]
    assert {type(found) for found in probe_all(paths).values()} == {Probe}


def test_each_bad_file_says_what_is_wrong_and_harms_no_other(tmp_path: Path) -> None:
    good = make_video(tmp_path / "good.mp4")
    content = {"empty": b"", "text": b"no video at all\n" * 99, "cut": video_bytes(0.2)[:300], "zeros": bytes(9999)}
    for name, data in content.items():
        (tmp_path / f"{name}.mp4").write_bytes(data)
    gone = tmp_path / "gone.mp4"
    paths = [good, gone, *(tmp_path / f"{name}.mp4" for name in content), good.with_name("again.mp4")]
    make_video(paths[-1])
    found = probe_all(paths)
    assert isinstance(found[good], Probe)
    assert isinstance(found[paths[-1]], Probe)
    for name in ("empty", "text", "cut", "zeros", "gone"):
        assert isinstance(found[tmp_path / f"{name}.mp4"], BadInputError), name
    assert "empty" in str(found[tmp_path / "empty.mp4"])
    assert str(found[tmp_path / "text.mp4"]).startswith("it is a text, no video")
    assert "cannot be read" in str(found[gone])


def test_sound_without_pictures_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", rate=16000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 16000
        file.mux(stream.encode(sound))
        file.mux(stream.encode(None))
    with pytest.raises(BadInputError, match="no video stream"):
        probe(path)


def test_a_playlist_that_calls_itself_a_video_fetches_nothing(tmp_path: Path) -> None:
    path = tmp_path / "list.mp4"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(BadInputError):
        probe(path)


def test_a_container_without_length_gives_a_guess_of_at_least_one_frame(tmp_path: Path) -> None:
    path = tmp_path / "raw.avi"
    with av.open(str(path), "w", format="mpeg1video") as file:
        stream = file.add_stream("mpeg1video", rate=Fraction(25), width=16, height=16, pix_fmt="yuv420p")
        for shade in range(9):
            picture = np.full((16, 16, 3), shade * 20, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode(None))
    found = probe(path)
    assert found.frames >= 1
    assert (found.width, found.height) == (16, 16)


def test_a_probe_that_dies_or_hangs_costs_its_own_file_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The children end by themselves at the limit, also when nobody is left to end them."""
    module = tmp_path / "hostile.py"
    module.write_text(
        "import os, time\n"
        "from vidfleet.runner import probe as probes\n"
        "real, probes.LIMIT_S = probes.probe, 1.0\n"
        "def probe(path):\n"
        "    if 'dies' in path.name: os.abort()\n"
        "    if 'hangs' in path.name: time.sleep(60)\n"
        "    return real(path)\n"
        "probes.probe = probe\n"
        "main = probes.main\n"
    )
    command = python_module("hostile")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {command[-1]}"
    monkeypatch.setattr(probes, "python_module", lambda _: (*command[:-1], code))
    names = ["a.mp4", "dies.mp4", "b.mp4", "hangs.mp4", "c.mp4"]
    found = probe_all([make_video(tmp_path / name) for name in names])
    kinds = [type(found[tmp_path / name]) for name in names]
    assert kinds == [Probe, BadInputError, Probe, BadInputError, Probe]


def test_nothing_to_probe_starts_nothing() -> None:
    assert probe_all([]) == {}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html><html><body>404</body></html>", "it is a web page, no video: a download that went wrong"),
        (b'{"error": "quota exceeded"}', "it is a text, no video"),
        (bytes(9999), "there is nothing but zeros in it"),
        (b"#EXTM3U\nhttp://127.0.0.1:9/a.ts\n", "it is a list of other files, no video"),
        (b"PK\x03\x04" + video_bytes(0.2), "it is a zip archive, no video"),
        (
            _WHOLE[: _WHOLE.index(b"moov") - 4],
            "its index, moov, is missing: the file is cut off, or its recording did not",
        ),
        (_WHOLE[: _WHOLE.index(b"moov") + 100], "the file is cut off in its index, moov"),
        (
            b"\x93\x8a\x00\xff" * 999,
            "it cannot be opened as a video: it is damaged, cut off, or of an unknown format (",
        ),
    ],
)
def test_what_is_no_video_is_called_by_what_it_is(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(BadInputError) as raised:
        probe(tmp_path / "a.mp4")
    assert str(raised.value).startswith(words)
