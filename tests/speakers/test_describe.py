"""What the pipeline says of itself before the first video, and which flags it takes."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from vidfleet.errors import UsageError, WeightsError
from vidfleet.speakers.pipeline import Speakers

if TYPE_CHECKING:
    from pathlib import Path


def test_describe_leaves_nothing_open(weights: Path) -> None:
    said = Speakers.describe(["--minTrack", "5"])
    assert json.loads(json.dumps(said)) == said
    decided = ["--models", "full", "--face-embedder", "mobilefacenet", "--weights", str(weights.resolve())]
    assert said["arguments"] == ["--minTrack", "5", *decided, "--words", "sidecar"]
    again = Speakers.describe(said["arguments"])
    assert again["fingerprint"] == said["fingerprint"]
    assert again["arguments"][-8:] == said["arguments"][-8:]


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
        "words": stages.words.method,
    }
    if stages.embedder is not None:
        used["identity"] = stages.embedder.method
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
        (["--words", "none"], False),
        (["--same-person", "0.4"], False),
        (["--no-page"], False),
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
    assert any("heuristic" in notice for notice in said["notices"])
    assert "no network" in said["fallback"]
    assert said["method"]["active_speaker"]["name"].startswith("heuristic")
    assert said["arguments"] == ["--models", "embedded", "--words", "sidecar"]
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
