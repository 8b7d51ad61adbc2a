"""``vidfleet doctor``: what is here, what is missing, and the command that mends it."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

from vidfleet.data import Device
from vidfleet.runner.care import doctor_packages
from vidfleet.runner.care.doctor import examine_machine, print_findings, to_plain
from vidfleet.runner.care.doctor_machine import Finding, examine_disk, examine_gpus, examine_system
from vidfleet.runner.care.doctor_packages import examine_packages, examine_weights, installed_version
from vidfleet.worker.gpus import GpuMemory

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import pytest


class TwoGpus:
    """Two GPUs, or none."""

    def __init__(self, count: int) -> None:
        self._count = count

    def devices(self) -> tuple[Device, ...]:
        return tuple(Device("gpu", str(n), "NVIDIA H200", f"GPU-{n}", "570.1") for n in range(self._count))

    def memory(self, visible: str) -> GpuMemory | None:
        return GpuMemory(2 << 30, {}, 80 << 30) if visible == "0" else None

    def near_cores(self, visible: str) -> frozenset[int]:
        return frozenset()


def grades(findings: Iterable[Finding]) -> dict[str, str]:
    return {finding.name: finding.grade for finding in findings}


def test_this_machine_is_fit_for_runs(tmp_path: Path) -> None:
    findings = examine_machine(tmp_path)
    assert not [finding for finding in findings if finding.grade == "bad"]
    assert {"Python", "cores", "memory", "room", "inodes", "hard links", "exchange of names", "ONNX Runtime"} <= set(
        grades(findings)
    )
    assert list(tmp_path.iterdir()) == []
    assert to_plain(findings)["works"] is True


def test_gpus_are_named_with_their_driver_and_memory_as_far_as_it_is_told(tmp_path: Path) -> None:
    found = list(examine_gpus(TwoGpus(2), tmp_path))
    assert [finding.value for finding in found if finding.name == "GPU"] == [
        "0  NVIDIA H200, 78.0 GiB of 80.0 GiB free, driver 570.1, GPU-0",
        "1  NVIDIA H200, driver 570.1, GPU-1",
    ]


def test_no_gpu_is_a_note_and_a_silent_driver_is_a_fault(tmp_path: Path) -> None:
    assert grades(examine_gpus(TwoGpus(0), tmp_path))["driver"] == "note"
    (tmp_path / "nvidia0").touch()
    assert grades(examine_gpus(TwoGpus(0), tmp_path))["driver"] == "bad"


def test_a_missing_folder_and_one_that_cannot_be_written_are_faults(tmp_path: Path) -> None:
    (finding,) = examine_disk(tmp_path / "not there")
    assert (finding.grade, finding.mend) == ("bad", f"mkdir -p '{tmp_path / 'not there'}'")
    if sys.platform == "linux":
        from pathlib import Path as AnyPath

        assert grades(examine_disk(AnyPath("/proc")))["writing"] == "bad"


def test_a_cuda_provider_that_cannot_compute_is_a_note_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheel for GPUs names it on every machine; so on one with a GPU it is tried."""

    def answers(argv: Sequence[str]) -> object:
        return ["CUDAExecutionProvider"] if "get_available_providers" in argv[-1] else "libcublasLt.so.13 is missing"

    monkeypatch.setattr(doctor_packages, "_ask", answers)
    found = {f.name: f for f in examine_packages(has_gpu=True, version_of=lambda name: "1" * name.endswith("-gpu"))}
    assert found["ONNX Runtime"].grade == "note"
    assert "libcublasLt.so.13 is missing: the networks" in found["ONNX Runtime"].value
    assert found["ONNX Runtime"].mend.endswith("-m pip install 'onnxruntime-gpu[cuda,cudnn]'")


def test_the_two_wheels_of_onnxruntime_are_a_fault_with_its_cure() -> None:
    def both(name: str) -> str:
        return "1.32" if name.startswith("onnxruntime") else installed_version(name)

    (fault,) = [f for f in examine_packages(has_gpu=True, version_of=both) if f.grade == "bad"]
    remove, install = fault.mend.splitlines()
    assert remove.endswith("-m pip uninstall -y onnxruntime onnxruntime-gpu")
    assert install.endswith("-m pip install onnxruntime-gpu")


def test_missing_packages_are_named_with_the_command() -> None:
    found = list(examine_packages(has_gpu=False, version_of=lambda name: "" if name in ("av", "scipy") else "1"))
    missing = {f.name: (f.grade, f.value) for f in found if f.value.startswith("not installed")}
    assert missing == {
        "vidfleet needs": ("bad", "not installed: av"),
        "vidfleet[speakers]": ("note", "not installed: scipy"),
    }
    assert any(f.mend.endswith("-m pip install 'vidfleet[speakers]'") for f in found)


def test_missing_weights_come_with_the_command_that_fetches_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDFLEET_WEIGHTS", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = examine_weights()
    assert {finding.grade for finding in found} == {"note"}
    assert all(finding.mend.startswith(f"curl -fL --create-dirs -o {tmp_path}/cache/") for finding in found)


def test_a_wrong_weight_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pretrain_AVA.model").write_text("not the weights")
    monkeypatch.setenv("VIDFLEET_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = {finding.name: finding for finding in examine_weights()}
    assert found["lr-asd"].grade == "bad"
    assert "SHA-256" in found["lr-asd"].value


def test_where_nobody_answers_it_says_so() -> None:
    (finding,) = examine_weights((sys.executable, "-c", "raise SystemExit(1)"))
    assert finding.grade == "note"


def test_the_system_is_described() -> None:
    assert grades(examine_system())["Python"] == "ok"


def test_findings_are_printed_with_their_cures_and_a_verdict() -> None:
    stream = io.StringIO()
    print_findings(
        [Finding("Disk", "room", "ok", "much"), Finding("Disk", "links\x1b", "bad", "none", "mend\nit")], stream
    )
    assert stream.getvalue().splitlines() == [
        "Disk",
        "  ok   room: much",
        r"  BAD  links\x1b: none",
        "         mend",
        "         it",
        "",
        "1 of these will keep runs from working; what mends it stands below each.",
    ]
