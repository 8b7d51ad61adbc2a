"""Scripts and classes of PyTorch on lanes of a real GPU: what they see, what is known of them, what is left of them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from vidfleet.worker.gpus import installed

if TYPE_CHECKING:
    from tests.support.fleet import Fleet
    from vidfleet.data import Device

pytestmark = pytest.mark.gpu

GIB = 1 << 30
CONTEXT_BYTES = 2 * GIB
"""What CUDA, cuBLAS and PyTorch take beside a process's own numbers: at most this."""

_COMPUTES = """
    import json, torch
    a = torch.arange(65536.0, device="cuda").reshape(256, 256) / 65536
    away = ((a @ a).cpu() - a.cpu() @ a.cpu()).abs().max().item()
"""
_HOLDS = """
    from vidfleet.worker.gpus import installed
    held = torch.ones({gib} << 30, dtype=torch.uint8, device="cuda")
    torch.cuda.synchronize()
    time.sleep({seconds})
    memory = installed().memory(os.environ["CUDA_VISIBLE_DEVICES"])
"""
_TELLS = """
    said = {
        "away": away, "visible": os.environ["CUDA_VISIBLE_DEVICES"], "gpus": torch.cuda.device_count(),
        "uuid": "GPU-" + str(torch.cuda.get_device_properties(0).uuid).removeprefix("GPU-"), "pid": os.getpid(),
        "parent": os.getppid(),
    }
"""
_LEAVES = """
    leave("said.json", json.dumps(said))
"""
_CLASS = """
import json, os
import torch

class Multiplies:
    def setup(self, device):
        assert device == "cuda"
        self.weights = torch.full((256, 256), 0.5, device=device)

    def process(self, video, out):
        os.makedirs(out, exist_ok=True)
        said = {"pid": os.getpid(), "sum": (self.weights @ self.weights).sum().item()}
        with open(os.path.join(out, "said.json"), "w") as file:
            json.dump(said, file)
"""

_ASK_TORCH = "import torch; torch.zeros(3, device='cuda').sum().item()"


@pytest.fixture(scope="module")
def torch_works(gpu: Device) -> None:
    """Skip where PyTorch cannot compute on the GPU; asked of another process, so that this one has no context."""
    if find_spec("torch") is None:
        pytest.skip("PyTorch is not installed")
    asked = subprocess.run([sys.executable, "-c", _ASK_TORCH], capture_output=True, text=True, timeout=120)
    if asked.returncode:
        pytest.skip(f"this PyTorch cannot compute on {gpu.name}: {asked.stderr.strip().splitlines()[-1]}")


@pytest.fixture
def gpu_fleet(fleet: Fleet, torch_works: None, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """An empty root whose runs may use the GPUs."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    fleet.sees_gpus = True
    return fleet


def _said(fleet: Fleet, stem: str = "v00") -> dict[str, Any]:
    plain: dict[str, Any] = json.loads((fleet.root / stem / "said.json").read_text())
    return plain


def _peak_bytes(fleet: Fleet, stem: str = "v00") -> int | None:
    record = json.loads((fleet.root / stem / "vidfleet.json").read_text())
    peak: int | None = record["attempts"][-1]["peak_gpu_memory_bytes"]
    return peak


def _needs_told(fleet: Fleet, stem: str = "v00") -> None:
    """Skip where the driver does not tell this machine's numbers of processes, as in some containers."""
    said = _said(fleet, stem)
    if str(said["pid"]) not in said["told"]:
        pytest.skip(f"the driver does not tell what process {said['pid']} holds; it tells {said['told']}")


def _most_at_a_time(fleet: Fleet) -> int:
    ledger = max((fleet.root / ".vidfleet" / "runs").iterdir()) / "events.jsonl"
    now = most = 0
    for line in map(json.loads, ledger.read_text().splitlines()):
        now += {"attempt_started": 1, "attempt_ended": -1}.get(line["type"], 0)
        most = max(most, now)
    return most


def _script(*, gib: int = 0, seconds: float = 0.0) -> str:
    """A body that computes, holds so much for so long, and tells of it."""
    if not gib:
        return _COMPUTES + _TELLS + _LEAVES
    told = '    said["told"] = dict(memory.by_process)\n'
    return _COMPUTES + _HOLDS.format(gib=gib, seconds=seconds) + _TELLS + told + _LEAVES


def test_a_lanes_script_sees_its_one_gpu_and_computes_on_it(gpu_fleet: Fleet, gpu: Device) -> None:
    """By the index that its driver gives it; PyTorch sees the GPU of that UUID."""
    gpu_fleet.videos(1)
    result = gpu_fleet.run("--script", gpu_fleet.script(_script()), "--num-gpus", "1")
    assert result.returncode == 0, result.stdout
    said = _said(gpu_fleet)
    assert (said["visible"], said["gpus"], said["uuid"]) == (gpu.visible, 1, gpu.uuid)
    assert said["away"] < 1e-3


def test_the_gpu_memory_that_a_script_held_is_in_its_record(gpu_fleet: Fleet, gpu: Device) -> None:
    """On a GPU that was named by its UUID."""
    gpu_fleet.videos(1)
    result = gpu_fleet.run("--script", gpu_fleet.script(_script(gib=3, seconds=2.5)), "--gpus", gpu.uuid)
    assert result.returncode == 0, result.stdout
    assert _said(gpu_fleet)["visible"] == gpu.uuid
    _needs_told(gpu_fleet)
    peak_bytes = _peak_bytes(gpu_fleet)
    assert peak_bytes is not None
    assert 3 * GIB <= peak_bytes <= 3 * GIB + CONTEXT_BYTES


def test_a_script_that_runs_out_of_gpu_memory_is_told_so_and_the_next_video_goes_on(gpu_fleet: Fleet) -> None:
    gpu_fleet.videos(2)
    script = gpu_fleet.script("""
        import torch
        if stem == "v00":
            torch.ones(2 * torch.cuda.get_device_properties(0).total_memory, dtype=torch.uint8, device="cuda")
        torch.ones(1 << 20, device="cuda").sum().item()
        leave()
    """)
    result = gpu_fleet.run("--script", script, "--num-gpus", "1", "--schedule", "name", "--warm")
    assert result.returncode == 1, result.stdout
    assert gpu_fleet.outcomes() == {"v00.mp4": ("failed", "gpu_memory"), "v01.mp4": ("done", "")}
    assert "out of memory" in result.stdout
    tried = [event["kind"] for event in gpu_fleet.events("attempt_ended") if event["video"] == "v00.mp4"]
    assert tried == ["gpu_memory", "gpu_memory"], "tried once more, with the GPU for itself"


def test_a_script_whose_pytorch_is_loaded_ahead_computes_on_the_gpu_in_each_fork(gpu_fleet: Fleet) -> None:
    """Loading it makes no context: that would be of no use in a fork."""
    gpu_fleet.videos(3)
    script = gpu_fleet.script(_script())
    result = gpu_fleet.run("--script", script, "--num-gpus", "1", "--warm")
    assert result.returncode == 0, result.stdout
    assert "no warm start" not in result.stdout
    assert [event["evidence"].get("warm") for event in gpu_fleet.events("attempt_ended")] == [True] * 3
    said = [_said(gpu_fleet, f"v{index:02d}") for index in range(3)]
    assert len({one["parent"] for one in said}) == 1, "forks of one process"
    assert len({one["pid"] for one in said}) == 3
    assert max(one["away"] for one in said) < 1e-3


def test_a_class_that_stays_keeps_its_model_on_the_gpu(gpu_fleet: Fleet) -> None:
    gpu_fleet.videos(3)
    (gpu_fleet.scripts / "multiplies.py").write_text(_CLASS)
    result = gpu_fleet.run("--worker", "multiplies:Multiplies", "--num-gpus", "1")
    assert result.returncode == 0, result.stdout
    said = [_said(gpu_fleet, f"v{index:02d}") for index in range(3)]
    assert len({one["pid"] for one in said}) == 1
    assert {one["sum"] for one in said} == {256**3 / 4}


def test_of_two_on_one_gpu_each_is_told_its_own_memory(gpu_fleet: Fleet) -> None:
    gpu_fleet.videos(2)
    script = gpu_fleet.script(_script(gib=4, seconds=3.5))
    result = gpu_fleet.run("--script", script, "--num-gpus", "1", "--per-gpu", "2")
    assert result.returncode == 0, result.stdout
    assert _most_at_a_time(gpu_fleet) == 2
    _needs_told(gpu_fleet)
    for peak_bytes in (_peak_bytes(gpu_fleet, stem) for stem in ("v00", "v01")):
        assert peak_bytes is not None
        assert 4 * GIB <= peak_bytes <= 4 * GIB + CONTEXT_BYTES


@pytest.mark.ray
def test_on_ray_a_lanes_script_sees_the_gpu_that_ray_gives_it(gpu_fleet: Fleet, gpu: Device) -> None:
    """On a cluster of this machine alone, which is started for the run; its memory is told as on a lane of ours."""
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed here: pip install 'vidfleet[ray]'")
    gpu_fleet.videos(1)
    script = gpu_fleet.script(_script(gib=2, seconds=2.5))
    result = gpu_fleet.run("--script", script, "--executor", "ray", "--num-gpus", "1")
    assert result.returncode == 0, result.stdout
    said = _said(gpu_fleet)
    assert (said["gpus"], said["uuid"]) == (1, gpu.uuid)
    assert said["away"] < 1e-3
    assert "gpu:0 v00.mp4" in result.stdout
    _needs_told(gpu_fleet)
    peak_bytes = _peak_bytes(gpu_fleet)
    assert peak_bytes is not None
    assert 2 * GIB <= peak_bytes <= 2 * GIB + CONTEXT_BYTES


@pytest.mark.slow
def test_auto_finds_that_scripts_which_mostly_wait_share_a_gpu(gpu_fleet: Fleet) -> None:
    """It is kept for the next run, with what one of them held."""
    gpu_fleet.videos(24)
    script = gpu_fleet.script("""
        import torch
        a = torch.ones(1 << 28, device="cuda")
        for _ in range(20):
            a.mul_(1.5).sum().item()
            time.sleep(0.04)
        leave()
    """)
    result = gpu_fleet.run("--script", script, "--num-gpus", "1", "--per-gpu", "auto", "--warm")
    assert result.returncode == 0, result.stdout
    print(*(line for line in result.stdout.splitlines() if "at a time" in line), sep="\n")
    (mine,) = json.loads((gpu_fleet.root / ".vidfleet" / "room.json").read_text())["workloads"].values()
    (found,) = mine["gpus"].values()
    assert found["at_once"] >= 2, result.stdout
    assert GIB <= found["peak_bytes"] <= GIB + CONTEXT_BYTES
    assert _most_at_a_time(gpu_fleet) >= found["at_once"]


@pytest.mark.parametrize("way", ["cold", "warm", "class"])
def test_a_killed_runner_leaves_nothing_on_the_gpu(gpu_fleet: Fleet, gpu: Device, way: str) -> None:
    gpus = installed()
    before = gpus.memory(gpu.visible)
    gpu_fleet.videos(1)
    script = gpu_fleet.script("""
        import torch
        held = torch.ones(4 << 30, dtype=torch.uint8, device="cuda")
        torch.cuda.synchronize()
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "holds"), "w") as file:
            file.write(str(os.getpid()))
        time.sleep(100)
    """)
    words = gpu_fleet.way("class" if way == "class" else "script", script)
    runner = gpu_fleet.start(*words, "--num-gpus", "1", *(["--warm"] if way == "warm" else []))
    gpu_fleet.wait_for(lambda: (gpu_fleet.scripts / "holds").exists() or runner.poll() is not None, within_s=60)
    assert runner.poll() is None, runner.communicate()[0]
    held = gpus.memory(gpu.visible)
    assert before is not None
    assert held is not None
    assert held.used_bytes - before.used_bytes >= 4 * GIB
    runner.send_signal(signal.SIGKILL)
    gpu_fleet.wait_for(lambda: not gpu_fleet.processes())

    def is_free() -> bool:
        after = gpus.memory(gpu.visible)
        return after is not None and after.used_bytes - before.used_bytes < GIB

    gpu_fleet.wait_for(is_free)
    after = gpus.memory(gpu.visible)
    assert after is not None
    with suppress(ValueError):  # the file is there before its text
        assert int((gpu_fleet.scripts / "holds").read_text()) not in after.by_process


def test_doctor_names_the_gpu_with_its_driver(gpu_fleet: Fleet, gpu: Device) -> None:
    result = gpu_fleet.run("--json", command="doctor")
    findings = json.loads(result.stdout)["findings"]
    (found,) = (finding for finding in findings if finding["name"] == "GPU" and gpu.uuid in finding["value"])
    assert found["grade"] == "ok"
    assert gpu.name in found["value"]
    assert f"driver {gpu.driver}" in found["value"]
    assert " free" in found["value"]
