"""Networks compute on the GPU where that can be done; where it cannot, on the processor, and it is known why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import pytest

from vidfleet.speakers.nets import session
from vidfleet.speakers.nets.session import CUDA, PROCESSOR, cuda_trouble, open_session
from vidfleet.speakers.settings import SpeakersSettings
from vidfleet.speakers.stages import load

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)


@pytest.fixture
def for_the_processor() -> None:
    """Skip where ONNX Runtime is the one with CUDA."""
    if CUDA in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has a CUDA provider")


@pytest.mark.usefixtures("for_the_processor")
def test_a_runtime_without_cuda_is_named_with_the_way_to_change_it() -> None:
    trouble = cuda_trouble()
    assert onnxruntime.__version__ in trouble
    assert "vidfleet doctor" in trouble


@pytest.mark.usefixtures("for_the_processor")
def test_a_network_for_a_gpu_that_is_not_there_computes_on_the_processor() -> None:
    asked, plain = (open_session(session._probe(), threads=1, device=device) for device in ("cuda", "cpu"))
    assert asked.get_providers() == plain.get_providers() == [PROCESSOR]
    np.testing.assert_array_equal(asked.run(None, {"image": IMAGE})[0], plain.run(None, {"image": IMAGE})[0])


def listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this ONNX Runtime name the CUDA provider, as its wheel for GPUs does on machines without one."""
    names = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)


@pytest.mark.usefixtures("for_the_processor")
def test_a_provider_that_is_listed_but_not_there_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    listed(monkeypatch)
    with pytest.warns(UserWarning, match="CUDAExecutionProvider"):  # by this runtime; that for GPUs says it on stderr
        trouble = cuda_trouble()
    assert trouble == f"ONNX Runtime {onnxruntime.__version__} cannot load its CUDA provider"


@pytest.mark.parametrize("error", ["CUDA failure 100: no CUDA-capable device is detected ; GPU=-1\nmore", "x"])
def test_a_provider_that_cannot_be_made_is_found_out(monkeypatch: pytest.MonkeyPatch, error: str) -> None:
    def raises(*_: object, **__: object) -> None:
        raise RuntimeError(error)

    listed(monkeypatch)
    monkeypatch.setattr(onnxruntime, "InferenceSession", raises)
    assert cuda_trouble() == f"ONNX Runtime {onnxruntime.__version__}: {error.splitlines()[0]}"


def test_a_full_gpu_is_no_reason_to_stay_on_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA failure 2: out of memory ; GPU=0")

    listed(monkeypatch)
    monkeypatch.setattr(onnxruntime, "InferenceSession", raises)
    with pytest.raises(RuntimeError, match="out of memory"):
        cuda_trouble()


@pytest.mark.usefixtures("for_the_processor")
@pytest.mark.parametrize(("decoder", "decode_on"), [("cpu", "cpu"), ("cuda", "cuda")])
def test_a_lane_with_a_gpu_that_the_runtime_cannot_use_still_works(weights: Path, decoder: str, decode_on: str) -> None:
    settings = SpeakersSettings(models="full", weights=weights, words="none", decoder=decoder)  # type: ignore[arg-type]
    stages = load(settings, threads=1, device="cuda")
    assert (stages.device, stages.words.device, stages.decode_on) == ("cpu", "cpu", decode_on)
    assert "vidfleet doctor" in stages.trouble


def test_a_lane_of_the_processor_asks_for_no_gpu(weights: Path) -> None:
    stages = load(SpeakersSettings(models="full", weights=weights, words="none"), threads=1, device="cpu")
    assert (stages.device, stages.trouble, stages.decode_on) == ("cpu", "", "cpu")
