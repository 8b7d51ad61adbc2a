"""Networks on a real GPU give what they give on the processor; and a whole film's log says where it was computed."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.speakers.test_lr_asd import CASES, FILES, scored
from vidfleet.speakers.faces import YuNet
from vidfleet.speakers.media import VideoSource
from vidfleet.speakers.nets.checkpoint import read_checkpoint
from vidfleet.speakers.nets.lr_asd import WINDOWS_S, LrAsdNet
from vidfleet.speakers.nets.lr_asd_windows import WindowScorer
from vidfleet.speakers.nets.mfcc import mfcc
from vidfleet.speakers.nets.session import CUDA, PROCESSOR, cuda_trouble

if TYPE_CHECKING:
    from tests.support.fleet import Fleet
    from vidfleet.data import Device

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("gpu")]

CLIP = "retalking_face2.mp4"
GOLDEN = Path(__file__).resolve().parents[2].parent / "shared" / "golden"


@pytest.fixture(scope="module")
def trouble(gpu: Device) -> str:
    """Why ONNX Runtime cannot compute on the GPU; empty where it can."""
    return cuda_trouble()


@pytest.fixture
def on_gpu(trouble: str) -> None:
    """Skip where ONNX Runtime cannot compute on the GPU."""
    if trouble:
        pytest.skip(trouble)


@pytest.fixture
def clip(media: Path) -> Path:
    if not (media / CLIP).is_file():
        pytest.skip(f"the clip {CLIP} is not here")
    return media / CLIP


@pytest.mark.usefixtures("on_gpu")
@pytest.mark.parametrize("which", FILES)
def test_raw_scores_on_the_gpu_lie_within_a_thousandth_of_the_authors_own(weights: Path, which: str) -> None:
    """The tolerance that the processor is held to."""
    cases = [case for own, case in CASES if own == which and (GOLDEN / f"{case}.npz").is_file()]
    if not cases or not (weights / FILES[which]).is_file():
        pytest.skip("the golden values, or these weights, are not here")
    net, furthest = LrAsdNet(read_checkpoint(weights / FILES[which]), device="cuda"), 0.0
    assert CUDA in net._sound.get_providers()
    for case in cases:
        known = np.load(GOLDEN / f"{case}.npz")
        cepstra = mfcc(known["audio"])
        frames = min(len(cepstra) // 4, len(known["frames"]))
        raw = scored(WindowScorer(net), known["frames"][:frames], cepstra[: 4 * frames])
        for length_s, scores in zip(WINDOWS_S, raw, strict=True):
            furthest = max(furthest, float(np.abs(scores - known[f"{which}_raw_{length_s}s"]).max()))
    print(f"{which}: furthest from the authors' scores {furthest:.2g}")
    assert furthest <= 1e-3


@pytest.mark.usefixtures("on_gpu")
def test_faces_on_the_gpu_are_those_of_the_processor(weights: Path, clip: Path) -> None:
    source, path = VideoSource.open(clip), weights / "libfacedetection_yunet_n_dynamic.onnx"
    by_gpu, by_cpu = YuNet(path, device="cuda"), YuNet(path)
    seen = 0
    for frame in source.frames():
        mine, theirs = (d.find(frame, pixel_aspect=source.info.pixel_aspect) for d in (by_gpu, by_cpu))
        assert len(mine) == len(theirs)
        for one, other in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(one.box, other.box, atol=0.05)
            assert one.confidence == pytest.approx(other.confidence, abs=1e-3)
            seen += 1
        if frame.index == 50:
            break
    assert seen > 25


def _tracks(fleet: Fleet) -> list[dict[str, str]]:
    with (fleet.root / "film" / "pywork" / "tracks.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _told(fleet: Fleet) -> tuple[str, dict[str, str]]:
    """The last line of the film's log, and the device of each stage."""
    log = max((fleet.root / ".vidfleet" / "runs").iterdir()) / "logs" / "film.mp4.log"
    lines = (fleet.root / "film" / "pywork" / "time_log.jsonl").read_text().splitlines()
    stages: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return log.read_text().splitlines()[-1], {str(stage["stage"]): str(stage["device"]) for stage in stages}


@pytest.mark.slow
def test_a_film_on_a_lane_with_a_gpu_comes_out_as_on_the_processor_and_says_what_computed_it(
    fleet: Fleet, weights: Path, clip: Path, trouble: str
) -> None:
    fleet.sees_gpus = True
    shutil.copy(clip, fleet.root / "film.mp4")
    words = ("--words", "none", "--weights", weights, "--models", "full", "--face-embedder", "mobilefacenet", "--lean")
    assert fleet.run(*words, "--devices", "cpu:1", command="speakers").returncode == 0
    theirs, (said, stages) = _tracks(fleet), _told(fleet)
    assert PROCESSOR in said
    assert set(stages.values()) == {"cpu"}
    shutil.rmtree(fleet.root / "film")
    result = fleet.run(*words, "--num-gpus", "1", command="speakers")
    assert result.returncode == 0, result.stdout
    mine, (said, stages) = _tracks(fleet), _told(fleet)
    print(said)
    assert (CUDA in said) == (not trouble)
    assert trouble in said
    assert stages["faces"] == stages["scores"] == ("cpu" if trouble else "cuda")
    assert [(row["track"], row["frame"]) for row in mine] == [(row["track"], row["frame"]) for row in theirs]
    for one, other in zip(mine, theirs, strict=True):
        for side in ("x1", "y1", "x2", "y2"):
            assert float(one[side]) == pytest.approx(float(other[side]), abs=0.1)
        if one["score"]:
            assert float(one["score"]) == pytest.approx(float(other["score"]), abs=0.11), "rounded to 0.1"
