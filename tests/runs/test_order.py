"""Lanes of unlike speed, and what a run says of its end, with real processes that sleep."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fleet import Fleet

_SLEEP = """
    slowness = 4 if os.environ["CUDA_VISIBLE_DEVICES"] == "0" else 1
    time.sleep(slowness * os.path.getsize(os.path.realpath(video) + ".sleep") / 1000)
    leave()
"""


def _simulate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *names: str) -> None:
    path = tmp_path / "gpus.json"
    path.write_text(json.dumps([{"name": name} for name in names]))
    monkeypatch.setenv("VIDFLEET_SIMULATED_GPUS", str(path))
    for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)


def _video(fleet: Fleet, name: str, *, milliseconds: int) -> None:
    """A video as long as it takes: a picture for each 10 ms."""
    path = fleet.video(name, frames=max(milliseconds // 10, 1))
    path.with_name(f"{name}.sleep").write_bytes(b" " * milliseconds)


def _lanes(report: dict[str, Any]) -> dict[str, int]:
    return {video["video"]: video["attempts"][-1]["lane"] for video in report["videos"] if video.get("attempts")}


def test_a_slow_gpu_gets_what_the_fast_one_would_not_end_sooner(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The first run shows which is which; a lone video then runs on the fast one, and two long ones, too."""
    _simulate(monkeypatch, tmp_path, "slow", "fast")
    for number in range(6):
        _video(fleet, f"first{number}.mp4", milliseconds=200)
    script = fleet.script(_SLEEP)
    assert fleet.run("--script", script).returncode == 0
    assert set(_lanes(fleet.report()).values()) == {0, 1}
    _video(fleet, "lone.mp4", milliseconds=400)
    assert fleet.run("--script", script).returncode == 0
    assert _lanes(fleet.report()) == {"lone.mp4": 1}
    for number in range(2):
        _video(fleet, f"long{number}.mp4", milliseconds=1000)
    _video(fleet, "short.mp4", milliseconds=100)
    assert fleet.run("--script", script).returncode == 0
    lanes = _lanes(fleet.report())
    assert lanes.pop("short.mp4") == 0
    assert set(lanes.values()) == {1}


@pytest.mark.slow
def test_a_run_says_early_when_it_will_end(fleet: Fleet) -> None:
    """The second of two runs over the same videos, whose script has changed in between."""
    for number in range(24):
        _video(fleet, f"v{number:02d}.mp4", milliseconds=150 * (1 + number % 8))
    script = fleet.script(_SLEEP.replace("4 if", "1 if"))
    command = ("--script", script, "--devices", "cpu:4")
    assert fleet.run(*command).returncode == 0
    script.write_text(script.read_text() + "# changed\n")
    dry = fleet.run(*command, "--dry-run").stdout
    assert "expected time, by earlier runs: about" in dry
    assert fleet.run(*command).returncode == 0
    report = fleet.report()
    took_s = report["ended_at"] - report["started_at"]
    assert report["foretold_s"] == pytest.approx(took_s, rel=0.25)
    plan = json.loads((fleet.root / ".vidfleet" / "runs" / report["run"] / "plan.json").read_text())
    assert max(plan["expected_s"]) == pytest.approx(took_s, rel=0.25)
