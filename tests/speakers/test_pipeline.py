"""One video in, the original's folders out: complete, readable by old tools, on the right clock."""

from __future__ import annotations

import json
import wave
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np
import pytest

from tests.speakers.films import BLUE, FAST, SIZE, Run, noise, process, scene, two_shots, write_video
from vidfleet.errors import BadInputError
from vidfleet.speakers.pipeline import Speakers
from vidfleet.speakers.tables import TRACKS_HEADER

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The embedded methods on 2.4 s with one face, a cut at 1.2 s, and sound."""
    folder = tmp_path_factory.mktemp("run")
    video = write_video(folder / "two shots.mp4", two_shots(), sound=noise(2.4))
    return process(video, folder / "out", "--grid-video")


def streams(path: Path) -> tuple[int, float, tuple[int, int], int]:
    """Pictures, rate, size and sound samples of a file."""
    with av.open(path) as container:
        video = container.streams.video[0]
        size = (video.width, video.height)
        rate = video.average_rate
        assert rate is not None
        pictures = sum(1 for _ in container.decode(video))
    samples = 0
    with av.open(path) as container:
        if container.streams.audio:
            samples = sum(frame.samples for frame in container.decode(audio=0))
    return pictures, float(rate), size, samples


def test_every_promised_file_is_there(run: Run) -> None:
    said = Speakers.describe(["--models", "embedded", "--grid-video"])
    for name in said["expected"]:
        assert (run.out / name).stat().st_size > 0, name
    for folder in said["counted"]:
        assert run.names(folder)
    assert sorted(path.name for path in run.out.iterdir() if path.is_dir()) == ["pyavi", "pycrop", "pyframes", "pywork"]


def test_pictures_count_from_one_and_are_full_size(run: Run) -> None:
    assert run.names("pyframes") == [f"{number:06d}.jpg" for number in range(1, 61)]
    picture = cv2.imread(str(run.out / "pyframes" / "000001.jpg"))
    assert picture is not None
    assert picture.shape == (SIZE[1], SIZE[0], 3)
    assert np.abs(picture.astype(int) - two_shots()[0]).mean() < 4


def test_the_sound_is_16_khz_mono(run: Run) -> None:
    with wave.open(str(run.out / "pyavi" / "audio.wav")) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (16_000, 1, 2)
        assert sound.getnframes() == pytest.approx(38_400, abs=1100)


def test_shots_are_pairs_of_frame_timecodes(run: Run) -> None:
    shots = run.load("scene.pckl")
    assert [(start.frame_num, end.frame_num) for start, end in shots] == [(0, 30), (30, 60)]
    assert [float(start.frame_rate) for start, _ in shots] == [25.0, 25.0]
    assert [row["start_s"] for row in run.table("shots.csv")] == ["0.00", "1.20"]


def test_faces_are_listed_by_frame(run: Run) -> None:
    frames = run.load("faces.pckl")
    assert len(frames) == 60
    assert sum(map(bool, frames)) > 50
    for index, faces in enumerate(frames):
        for found in faces:
            assert list(found) == ["frame", "bbox", "conf"]
            assert found["frame"] == index
            assert type(found["conf"]) is float
            assert [type(edge) for edge in found["bbox"]] == [float] * 4


def test_tracks_have_the_originals_structure(run: Run) -> None:
    tracks = run.load("tracks.pckl")
    assert [track["cropFile"] for track in tracks] == ["pycrop/00000", "pycrop/00001"]
    for track in tracks:
        assert sorted(track) == ["cropFile", "proc_track", "track"]
        frames, boxes = track["track"]["frame"], track["track"]["bbox"]
        assert (frames.dtype, boxes.dtype) == (np.int64, np.float64)
        assert boxes.shape == (len(frames), 4)
        assert (np.diff(frames) == 1).all()
        assert {key: value.shape for key, value in track["proc_track"].items()} == dict.fromkeys("xys", frames.shape)
    assert tracks[0]["track"]["frame"][-1] == 29
    assert tracks[1]["track"]["frame"][0] >= 30


def test_scores_go_with_the_tracks(run: Run) -> None:
    tracks, scores = run.load("tracks.pckl"), run.load("scores.pckl")
    assert len(scores) == len(tracks)
    for track, values in zip(tracks, scores, strict=True):
        assert values.dtype.kind == "f"
        assert len(track["track"]["frame"]) - len(values) in (0, 1)
        np.testing.assert_allclose(values, np.round(values, 1))


@pytest.mark.parametrize("name", ["faces.pckl", "tracks.pckl", "scores.pckl", "scene.pckl"])
def test_pickles_are_protocol_4_and_name_no_module_of_numpy_2(run: Run, name: str) -> None:
    data = (run.out / "pywork" / name).read_bytes()
    assert data[:2] == b"\x80\x04"
    assert b"numpy._core" not in data


def test_the_table_has_a_row_for_each_face_and_frame(run: Run) -> None:
    rows, tracks, scores = run.table("tracks.csv"), run.load("tracks.pckl"), run.load("scores.pckl")
    assert tuple(rows[0]) == TRACKS_HEADER
    assert len(rows) == sum(len(track["track"]["frame"]) for track in tracks)
    for row in rows:
        at = int(row["frame"]) - int(tracks[int(row["track"])]["track"]["frame"][0])
        values = scores[int(row["track"])]
        assert float(row["time_s"]) == pytest.approx(int(row["frame"]) / 25)
        assert float(row["source_time_s"]) == pytest.approx(int(row["frame"]) / 25, abs=1e-3)
        assert row["person"] == ""
        if at < len(values):
            assert float(row["score"]) == pytest.approx(values[at])
            assert row["speaking"] == str(int(values[at] > 0))
        else:
            assert (row["score"], row["speaking"]) == ("", "")


def test_what_embedded_methods_found_is_marked(run: Run) -> None:
    for row in run.table("tracks.csv"):
        assert row["face_method"].startswith("heuristic")
        assert row["score_method"].startswith("heuristic")


def test_crops_are_videos_with_their_sound(run: Run) -> None:
    tracks = run.load("tracks.pckl")
    assert run.names("pycrop") == ["00000.avi", "00000.wav", "00001.avi", "00001.wav"]
    for index, track in enumerate(tracks):
        count = len(track["track"]["frame"])
        path = run.out / "pycrop" / f"{index:05d}.avi"
        assert streams(path) == (count, 25, (224, 224), count * 640)
        with wave.open(str(path.with_suffix(".wav"))) as sound:
            assert sound.getnframes() == count * 640


def test_a_crop_shows_the_face(run: Run) -> None:
    with av.open(run.out / "pycrop" / "00000.avi") as container:
        crop = next(container.decode(video=0)).to_ndarray(format="bgr24")
    track = run.load("tracks.pckl")[0]
    s, x, y = (track["proc_track"][key][0] for key in "sxy")
    picture = two_shots()[int(track["track"]["frame"][0])]
    expected = picture[int(y) - 20 : int(y) + 20, int(x) - 20 : int(x) + 20]
    scale = 224 / (2.8 * s)
    row, column, reach = round(s * scale), 112, round(20 * scale)
    seen = cv2.resize(crop[row - reach : row + reach, column - reach : column + reach], (40, 40))
    assert np.abs(seen.astype(int) - expected).mean() < 12


def test_the_annotated_video_has_all_frames_and_the_sound(run: Run) -> None:
    pictures, rate, size, samples = streams(run.out / "pyavi" / "video_out.avi")
    assert (pictures, rate, size) == (60, 25, SIZE)
    assert samples == pytest.approx(38_400, abs=1100)
    assert streams(run.out / "pyavi" / "video_only.avi") == (60, 25, SIZE, 0)
    assert streams(run.out / "pyavi" / "video.avi")[:3] == (60, 25, SIZE)


def test_the_time_log_has_a_line_for_each_stage(run: Run) -> None:
    lines = [json.loads(line) for line in (run.out / "pywork" / "time_log.jsonl").read_text().splitlines()]
    assert {"sound", "shots", "faces", "tracks", "crops", "scores"} <= {line["stage"] for line in lines}
    for line in lines:
        assert list(line) == ["stage", "ts_start", "ts_end", "elapsed_sec", "cpu_sec", "device", "pid", "video_name"]
        assert (line["video_name"], line["device"]) == ("two shots", "cpu")
        assert line["elapsed_sec"] >= 0


def test_progress_only_grows_and_ends_at_one(run: Run) -> None:
    shares = [share for _, share in run.reports]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)


@pytest.mark.parametrize("rate", [24, 30, 60])
def test_a_cut_is_on_the_clock_at_any_rate(tmp_path: Path, rate: int) -> None:
    video = write_video(tmp_path / "v.mp4", two_shots(rate=rate), rate=rate)
    run = process(video, tmp_path / "out", "--no-annotated", "--no-crops", "--frames", "none")
    cut_s = (int(2.4 * rate) // 2) / rate
    assert [float(row["start_s"]) for row in run.table("shots.csv")] == pytest.approx([0, cut_s], abs=0.04)


def test_options_leave_out_what_is_not_wanted(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mp4", two_shots())
    run = process(video, tmp_path / "out", "--frames", "shot", "--no-crops", "--no-annotated")
    assert run.names("pyframes") == ["000001.jpg", "000031.jpg"]
    assert run.names("pycrop") == []
    assert run.names("pyavi") == ["audio.wav"]
    assert run.load("tracks.pckl")[0]["cropFile"] == "pycrop/00000"


def empty_results(run: Run, frames: int) -> None:
    assert len(run.load("faces.pckl")) == frames
    assert run.load("tracks.pckl") == []
    assert run.load("scores.pckl") == []
    assert len(run.load("scene.pckl")) == 1
    assert run.table("tracks.csv") == []
    assert (run.out / "pywork" / "tracks.csv").read_text().strip() == ",".join(TRACKS_HEADER)
    for name in Speakers.describe(["--models", "embedded"])["expected"]:
        assert (run.out / name).stat().st_size > 0, name


def test_no_face_and_no_sound_are_a_result(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mp4", [scene(None, BLUE)] * 30)
    run = process(video, tmp_path / "out")
    empty_results(run, frames=30)
    with wave.open(str(run.out / "pyavi" / "audio.wav")) as sound:
        assert sound.getnframes() == 30 * 640
        assert not any(sound.readframes(sound.getnframes()))


def test_one_picture_is_a_result(tmp_path: Path) -> None:
    run = process(write_video(tmp_path / "v.mp4", [scene(50, BLUE)]), tmp_path / "out")
    empty_results(run, frames=1)


def test_a_still_picture_named_as_a_video_is_a_result(tmp_path: Path) -> None:
    still = tmp_path / "still.mp4"
    still.write_bytes(cv2.imencode(".png", scene(50, BLUE))[1].tobytes())
    run = process(still, tmp_path / "out")
    empty_results(run, frames=1)


def test_a_still_face_in_silence_does_not_speak(tmp_path: Path) -> None:
    silence = np.zeros(2 * 16_000, np.int16)
    run = process(write_video(tmp_path / "v.mp4", [scene(50, BLUE)] * 50, sound=silence), tmp_path / "out")
    (values,) = run.load("scores.pckl")
    assert (values <= 0).all()


def test_an_unreadable_file_is_bad_input(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"this is no video" * 100)
    with pytest.raises(BadInputError):
        process(broken, tmp_path / "out")


def test_one_set_up_serves_many_videos(tmp_path: Path) -> None:
    speakers = Speakers.from_arguments([*FAST, "--no-annotated", "--frames", "none"])
    speakers.setup("cpu")
    video = write_video(tmp_path / "v.mp4", two_shots(), sound=noise(2.4))
    for name in ("a", "b"):
        speakers.process(str(video), str(tmp_path / name), lambda _stage, _share: None)
    for name in ("tracks.csv", "scores.pckl", "tracks.pckl", "faces.pckl", "scene.pckl"):
        first, second = (tmp_path / run / "pywork" / name for run in "ab")
        assert first.read_bytes() == second.read_bytes()
