"""One video in, the original's folders out: complete, readable by old tools, on the right clock."""

from __future__ import annotations

import csv
import json
import pickle
import subprocess
import sys
import wave
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np
import pytest

from vidfleet.errors import BadInputError, UsageError, WeightsError
from vidfleet.speakers.pipeline import Speakers
from vidfleet.speakers.tables import TRACKS_HEADER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

TOP = Path(__file__).resolve().parents[2]
SIZE = (320, 256)
"""Width and height of the clips."""


@cache
def face() -> NDArray[np.uint8]:
    """A real face: 130 x 130 pixels of the portrait that scikit-image carries, from hair to chin."""
    data = pytest.importorskip("skimage.data")
    portrait: NDArray[np.uint8] = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR)[30:230, 120:320]
    smaller: NDArray[np.uint8] = cv2.resize(portrait, (150, 150), interpolation=cv2.INTER_AREA)
    return smaller


BLUE, GREEN = (160, 60, 60), (60, 100, 60)


def scene(x: int | None, background: tuple[int, int, int]) -> NDArray[np.uint8]:
    """A picture with the face at column ``x``, or none."""
    picture = np.full((SIZE[1], SIZE[0], 3), background, np.uint8)
    if x is not None:
        picture[60:210, x : x + 150] = face()
    return picture


def write_video(
    path: Path,
    pictures: Sequence[NDArray[np.uint8]],
    *,
    rate: int = 25,
    sound: NDArray[np.int16] | None = None,
) -> Path:
    """Encode a clip; ``sound`` is 16 kHz mono."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "crf": "12"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, rate)
        stream.codec_context.thread_count = 1
        audio: Any = None if sound is None else container.add_stream("aac", rate=16_000, layout="mono")
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            for start in range(0, len(sound), 1024):
                samples = (sound[None, start : start + 1024] / 32768).astype(np.float32)
                block = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
                block.sample_rate, block.pts, block.time_base = 16_000, start, Fraction(1, 16_000)
                container.mux(audio.encode(block))
            container.mux(audio.encode(None))
    return path


def noise(seconds: float) -> NDArray[np.int16]:
    return np.random.default_rng(0).normal(0, 3000, int(seconds * 16_000)).astype(np.int16)


def two_shots(*, rate: int = 25, seconds: float = 2.4) -> list[NDArray[np.uint8]]:
    """The face wanders to the right; half way there is a cut, and it wanders to the left."""
    count = int(rate * seconds)
    places = (np.linspace(0, 1, count // 2) * 40).astype(int)
    return [scene(10 + x, BLUE) for x in places] + [scene(160 - x, GREEN) for x in places]


@dataclass(frozen=True)
class Run:
    """A processed video."""

    out: Path
    reports: list[tuple[str, float]]

    def load(self, name: str) -> Any:  # noqa: ANN401
        with (self.out / "pywork" / name).open("rb") as file:
            return pickle.load(file)

    def table(self, name: str) -> list[dict[str, str]]:
        with (self.out / "pywork" / name).open(newline="") as file:
            return list(csv.DictReader(file))

    def names(self, folder: str) -> list[str]:
        return sorted(path.name for path in (self.out / folder).iterdir())


FAST = ("--models", "embedded", "--threads", "1", "--facedetScale", "0.6")


def process(video: Path, out: Path, *arguments: str) -> Run:
    speakers = Speakers.from_arguments([*FAST, *arguments])
    speakers.setup("cpu")
    reports: list[tuple[str, float]] = []
    speakers.process(str(video), str(out), lambda stage, share: reports.append((stage, share)))
    return Run(out, reports)


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
    assert sorted(path.name for path in run.out.iterdir()) == ["pyavi", "pycrop", "pyframes", "pywork"]


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
        assert list(line) == ["stage", "ts_start", "ts_end", "elapsed_sec", "pid", "video_name"]
        assert line["video_name"] == "two shots"
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


def test_describe_leaves_nothing_open(weights: Path) -> None:
    said = Speakers.describe(["--minTrack", "5"])
    assert json.loads(json.dumps(said)) == said
    assert said["arguments"] == ["--minTrack", "5", "--models", "full", "--weights", str(weights.resolve())]
    again = Speakers.describe(said["arguments"])
    assert again["fingerprint"] == said["fingerprint"]
    assert again["arguments"][-4:] == said["arguments"][-4:]


@pytest.mark.parametrize("mode", ["full", "embedded"])
def test_the_methods_named_are_the_methods_used(mode: str, weights: Path) -> None:
    said = Speakers.describe(["--models", mode, "--weights", str(weights)])["method"]
    speakers = Speakers.from_arguments(["--models", mode, "--weights", str(weights)])
    speakers.setup("cpu")
    stages = speakers.stages
    used = {
        "faces": stages.detector.method,
        "active_speaker": stages.active_speaker.method,
        "speech": stages.voice_activity.method,
    }
    for stage, method in used.items():
        assert said[stage] == {"name": method.name, "sha256": method.sha256}


@pytest.mark.parametrize(
    ("arguments", "same"),
    [
        (["--minTrack", "12"], False),
        (["--cropScale", "0.5"], False),
        (["--no-crops"], False),
        (["--threads", "3"], True),
        (["--nDataLoaderThread", "10"], True),
        (["--idBatch", "64"], True),
    ],
)
def test_the_fingerprint_holds_what_results_depend_on(arguments: list[str], same: bool) -> None:
    plain = Speakers.describe(["--models", "embedded"])["fingerprint"]
    changed = Speakers.describe(["--models", "embedded", *arguments])["fingerprint"]
    assert (changed == plain) is same


def test_falling_back_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unreachable(*_: object, **__: object) -> Path:
        raise WeightsError("the weights could not be fetched: no network")

    monkeypatch.setenv("VIDFLEET_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("vidfleet.speakers.weights.fetch_weight", unreachable)
    said = Speakers.describe([])
    assert "heuristic" in said["notices"][0]
    assert said["method"]["active_speaker"]["name"].startswith("heuristic")
    assert said["arguments"] == ["--models", "embedded"]
    with pytest.raises(WeightsError):
        Speakers.describe(["--models", "full"])


def test_old_flags_are_taken_and_those_without_effect_are_named() -> None:
    old = "--pretrainModel x.model --nDataLoaderThread -1 --facedetScale 0.25 --minTrack 10 --numFailedDet 10"
    old += " --minFaceSize 1 --cropScale 0.40 --start 0 --duration 0 --facedetBatch 128 --idBatch 9 --asdBatch 9"
    old += " --cropWorkers 8 --sceneWorkers 6 --sceneMinSec 1.0 --renderPanel --panelWidthRatio 0.28"
    old += " --panelMaxItems 6 --panelTheme glass --panelCompose raw"
    (notice,) = Speakers.describe(["--models", "embedded", *old.split()])["notices"]
    assert "--pretrainModel" in notice
    assert "--minTrack" not in notice


@pytest.mark.parametrize("arguments", [["--minTracks", "5"], ["--start", "3"], ["--cropScale", "-1"], ["x"]])
def test_wrong_flags_are_refused(arguments: list[str]) -> None:
    with pytest.raises(UsageError):
        Speakers.describe(["--models", "embedded", *arguments])


def test_describing_loads_no_heavy_library() -> None:
    code = (
        "import sys; from vidfleet.speakers.pipeline import Speakers; Speakers.describe(['--models', 'embedded']);"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"cv2", "av", "onnxruntime", "scenedetect", "scipy", "onnx"} & set(done.stdout.split())


def call_script(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = TOP / "inference_folder" / "inference_folder.py"
    argv = [sys.executable, str(script), "--videoFolder", str(folder), *FAST, *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_the_script_does_a_folder_and_one_broken_video_harms_no_other(tmp_path: Path) -> None:
    write_video(tmp_path / "a b.mp4", two_shots())
    (tmp_path / "broken.mkv").write_bytes(b"nothing")
    write_video(tmp_path / "z.MP4", [scene(None, BLUE)] * 5)
    done = call_script(tmp_path, "--minTrack", "12", "--frames", "none")
    assert done.returncode == 1, done.stderr
    assert "broken.mkv" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["a b", "z"]
    assert (tmp_path / "a b" / "pywork" / "scores.pckl").is_file()
    assert (tmp_path / "z" / "pyavi" / "video_out.avi").is_file()


def test_the_script_leaves_folders_of_others_alone(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", [scene(None, BLUE)] * 5)
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "diary.txt").write_text("dear diary")
    done = call_script(tmp_path)
    assert done.returncode == 1
    assert [path.name for path in (tmp_path / "v").iterdir()] == ["diary.txt"]


def test_the_script_refuses_a_wrong_flag(tmp_path: Path) -> None:
    done = call_script(tmp_path, "--minTracks", "12")
    assert done.returncode == 2
    assert "--minTracks" in done.stderr


@dataclass(frozen=True)
class Turn:
    """A stretch of speech by one face."""

    start_s: float
    end_s: float
    x: float
    """Its face's centre, in pixels."""


def turns(run: Run) -> list[Turn]:
    """When each track's scores are above 0, gaps of a fifth of a second closed."""
    found: list[Turn] = []
    for index, track in enumerate(run.load("tracks.pckl")):
        frames = track["track"]["frame"][: len(run.load("scores.pckl")[index])]
        loud = frames[run.load("scores.pckl")[index] > 0]
        for stretch in np.split(loud, np.flatnonzero(np.diff(loud) > 5) + 1) if len(loud) else []:
            centre = float(np.mean(track["proc_track"]["x"]))
            found.append(Turn(stretch[0] / 25, (stretch[-1] + 1) / 25, centre))
    return sorted(found, key=lambda turn: turn.start_s)


@pytest.mark.slow
def test_two_people_who_take_turns_are_told_apart(media: Path, weights: Path, tmp_path: Path) -> None:
    video = media / "grid_2people_turns_cut.mp4"
    found = process(video, tmp_path / "out", "--models", "full", "--weights", str(weights), "--frames", "none")
    assert [row["start_frame"] for row in found.table("shots.csv")] == ["0", "150"]
    first, second, third = turns(found)
    assert (first.start_s, first.end_s) == pytest.approx((0.49, 2.21), abs=0.2)
    assert (second.start_s, second.end_s) == pytest.approx((3.5, 5.1), abs=0.2)
    assert (third.start_s, third.end_s) == pytest.approx((6.5, 8.3), abs=0.2)
    assert first.x < 640 < second.x


@pytest.mark.slow
def test_the_talkers_of_grid_are_right_in_97_5_percent_of_frames(media: Path, weights: Path, tmp_path: Path) -> None:
    truth = json.loads((media / "speech_truth.json").read_text())["spans"]
    right = []
    for name, spans in truth.items():
        more = ("--models", "full", "--weights", str(weights), "--frames", "none", "--no-annotated")
        found = process(media / name, tmp_path / name, *more)
        rows = [row for row in found.table("tracks.csv") if row["score"]]
        assert {row["track"] for row in rows} == {"0"}
        for row in rows:
            middle_s = float(row["time_s"]) + 0.02
            speaks = any(start <= middle_s < end for start, end in spans)
            right.append((float(row["score"]) > 0) == speaks)
    assert len(right) == 5 * 74
    assert np.mean(right) >= 0.975


PEAK_OF = """
import resource, sys
from vidfleet.speakers.pipeline import Speakers
speakers = Speakers.from_arguments(sys.argv[3:])
speakers.setup("cpu")
speakers.process(sys.argv[1], sys.argv[2], lambda stage, share: None)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_kib(video: Path, out: Path) -> int:
    """The largest resident set of a process that does one video."""
    argv = [sys.executable, "-c", PEAK_OF, str(video), str(out), *FAST, "--facedetScale", "0.25"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    # Shots, faces, tracks and frames of four minutes instead of one; small, so that it takes seconds.
    minute = [cv2.resize(picture, (256, 192)) for picture in two_shots(seconds=4)] * 15
    sound = noise(60)
    short = write_video(tmp_path / "short.mp4", minute, sound=sound)
    long = write_video(tmp_path / "long.mp4", minute * 4, sound=np.tile(sound, 4))
    assert peak_kib(long, tmp_path / "b") <= 1.2 * peak_kib(short, tmp_path / "a")
