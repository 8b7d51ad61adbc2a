"""What an attempt gets of its GPU, and what is known of it afterwards. The GPUs are simulated."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fleet import Fleet

_HOLD_MEMORY = """
    import json
    path = os.environ["VIDFLEET_SIMULATED_GPUS"]
    def use(by_process):
        with open(path + ".new", "w") as file:
            json.dump([{"by_process": by_process}], file)
        os.replace(path + ".new", path)
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)
    use({"1": 8 << 30, str(child.pid): 3 << 30, str(os.getpid()): 1 << 30})
    time.sleep(3)  # longer than between two looks
    child.kill()
    use({"1": 8 << 30, str(os.getpid()): 1 << 30})
    leave()
"""


def _simulate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *gpus: dict[str, Any]) -> None:
    path = tmp_path / "gpus.json"
    path.write_text(json.dumps(gpus))
    monkeypatch.setenv("VIDFLEET_SIMULATED_GPUS", str(path))
    for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)


def _record(fleet: Fleet, stem: str = "v00") -> dict[str, Any]:
    plain: dict[str, Any] = json.loads((fleet.root / stem / "vidfleet.json").read_text())
    return plain


@pytest.mark.parametrize("contract", ["script", "class"])
def test_the_most_gpu_memory_that_an_attempt_held_is_recorded(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, contract: str
) -> None:
    """Its children's too, also in a session of their own; nobody else's."""
    _simulate(monkeypatch, tmp_path, {})
    fleet.videos(1)
    result = fleet.run(*fleet.way(contract, fleet.script(_HOLD_MEMORY)))
    assert result.returncode == 0, result.stdout
    assert _record(fleet)["attempts"][0]["peak_gpu_memory_bytes"] == 4 << 30


def test_where_no_process_is_seen_on_the_gpu_nothing_is_claimed(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Somebody else's memory is not the attempt's."""
    _simulate(monkeypatch, tmp_path, {"used_bytes": 8 << 30, "by_process": {"1": 8 << 30}})
    fleet.videos(1)
    assert fleet.run("--script", fleet.script("time.sleep(0.8); leave()")).returncode == 0
    assert _record(fleet)["attempts"][0]["peak_gpu_memory_bytes"] is None


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
@pytest.mark.parametrize("contract", ["script", "class"])
def test_an_attempt_keeps_to_the_cores_near_its_gpu(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, contract: str
) -> None:
    """And so does all that it starts."""
    first, second, *_ = sorted(os.sched_getaffinity(0))
    _simulate(monkeypatch, tmp_path, {"near_cores": [first]}, {"near_cores": [second]})
    fleet.videos(2)
    script = fleet.script("""
        ask = "import os; print(*os.sched_getaffinity(0))"
        leave("cores.txt", subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True).stdout)
    """)
    result = fleet.run("--schedule", "round-robin", *fleet.way(contract, script))
    assert result.returncode == 0, result.stdout
    kept = [(fleet.root / stem / "cores.txt").read_text().strip() for stem in ("v00", "v01")]
    assert kept == [str(first), str(second)]


def test_on_amd_an_attempt_gets_one_gpu_of_those_allowed(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By HIP's variable and by CUDA's, which HIP reads too; the record tells both."""
    _simulate(monkeypatch, tmp_path, *({"maker": "AMD"} for _ in range(3)))
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "2,1")
    fleet.videos(2)
    script = fleet.script("leave('gpu.txt', os.environ['HIP_VISIBLE_DEVICES'] + os.environ['CUDA_VISIBLE_DEVICES'])")
    assert fleet.run("--script", script, "--schedule", "round-robin").returncode == 0
    assert [(fleet.root / stem / "gpu.txt").read_text() for stem in ("v00", "v01")] == ["22", "11"]
    variables = _record(fleet)["environment"]["variables"]
    assert (variables["HIP_VISIBLE_DEVICES"], variables["CUDA_VISIBLE_DEVICES"]) == ("2", "2")
