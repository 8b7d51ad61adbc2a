"""Several attempts at a time on one GPU, where the user leaves the number to us. The GPUs are simulated."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fleet import Fleet

_WORK = """
    import json, random
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "here")
    os.makedirs(here, exist_ok=True)
    mine = os.path.join(here, str(os.getpid()))
    gpus = os.environ["VIDFLEET_SIMULATED_GPUS"]
    def others():
        return [name for name in os.listdir(here) if os.path.exists("/proc/" + name)]
    def hold():
        {hold}
    open(mine, "w").close()
    hold()
    left, last = 0.6, time.monotonic()
    while left > 0:
        time.sleep(0.02)
        n, now = len(others()), time.monotonic()
        left, last = left - (now - last) * {speed}, now
    os.remove(mine)
    hold()
    leave()
"""
_HOLD_2_GB = """
        plain = json.load(open(gpus))
        plain[0]["by_process"] = {name: 2 << 30 for name in others()}
        plain[0]["used_bytes"] = len(others()) * (2 << 30)
        with open(mine + ".json", "w") as file:
            json.dump(plain, file)
        os.rename(mine + ".json", gpus)
"""
_RUN_OUT_AT_3 = """
        if len(others()) >= 3:
            os.remove(mine)
            raise RuntimeError("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.")
"""


@pytest.fixture
def auto(fleet: Fleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Fleet:
    """24 videos and a GPU of 7 GB."""
    (tmp_path / "gpus.json").write_text(json.dumps([{"total_bytes": 7 << 30}]))
    monkeypatch.setenv("VIDFLEET_SIMULATED_GPUS", str(tmp_path / "gpus.json"))
    for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    fleet.videos(24)
    return fleet


def _work(fleet: Fleet, speed: str, hold: str = "pass") -> list[str]:
    """In a class: on a busy machine a program takes longer to start than all this work, and that gains by company."""
    script = fleet.script(_WORK.replace("{speed}", speed).replace("{hold}", hold.strip()))
    return [*fleet.way("class", script), "--per-gpu", "auto"]


def _most_at_a_time(fleet: Fleet) -> int:
    ledger = max((fleet.root / ".vidfleet" / "runs").iterdir()) / "events.jsonl"
    now = most = 0
    for line in map(json.loads, ledger.read_text().splitlines()):
        now += {"attempt_started": 1, "attempt_ended": -1}.get(line["type"], 0)
        most = max(most, now)
    return most


def _settled(fleet: Fleet) -> dict[str, Any]:
    plain = json.loads((fleet.root / ".vidfleet" / "room.json").read_text())
    (mine,) = plain["workloads"].values()
    (found,) = mine["gpus"].values()
    return dict(found)


@pytest.mark.slow
def test_where_three_are_no_faster_than_two_it_stays_with_two(auto: Fleet) -> None:
    """It says so, and the next run begins there."""
    words = _work(auto, "(1 if n < 3 else 0.25)")
    result = auto.run(*words)
    assert result.returncode == 0, result.stdout
    assert _most_at_a_time(auto) == 3
    assert _settled(auto)["at_once"] == 2
    assert "gpu:0: 2 at a time, " in result.stdout
    assert " times the work of one" in result.stdout
    auto.video("more0.mp4")
    auto.video("more1.mp4")
    auto.video("more2.mp4")
    result = auto.run(*words)
    assert "gpu:0: 2 at a time, as an earlier run has found" in result.stdout
    assert _most_at_a_time(auto) == 2


@pytest.mark.slow
def test_what_always_gains_is_held_back_by_memory(auto: Fleet) -> None:
    """Three of 2 GiB fit into 7 with a margin, four do not."""
    result = auto.run(*_work(auto, "1", _HOLD_2_GB))
    assert result.returncode == 0, result.stdout
    assert _most_at_a_time(auto) == 3
    assert _settled(auto) == {"at_once": 3, "gain": pytest.approx(3, rel=0.25), "peak_bytes": 2 << 30, "settled": True}
    assert "; 6.0 GiB of 7.0 GiB (one more would not fit)" in result.stdout


@pytest.mark.slow
def test_running_out_of_gpu_memory_takes_one_back_and_no_retry(auto: Fleet) -> None:
    """All videos are done; none is counted as failed, though none may be tried again."""
    result = auto.run(*_work(auto, "1", _RUN_OUT_AT_3), "--retries", "0")
    assert result.returncode == 0, result.stdout
    assert {state for state, _ in auto.outcomes().values()} == {"done"}
    assert _settled(auto)["at_once"] == 2
    assert "3 have run out of its memory" in result.stdout


@pytest.mark.parametrize("contract", ["class", "warm script"])
def test_the_first_video_of_a_lane_that_loads_ahead_does_not_count(
    auto: Fleet, monkeypatch: pytest.MonkeyPatch, contract: str
) -> None:
    """What loading takes is no part of what videos take: three count before a second is tried, so four are done."""
    (auto.scripts / "packages").mkdir()
    (auto.scripts / "packages" / "heavy.py").write_text("import time\ntime.sleep(0.5)\n")
    monkeypatch.setenv("PYTHONPATH", str(auto.scripts / "packages"), prepend=os.pathsep)
    script = auto.script("import heavy\ntime.sleep(0.1)\nleave()")
    words = auto.way("class", script) if contract == "class" else ["--script", str(script), "--warm"]
    result = auto.run(*words, "--per-gpu", "auto")
    assert result.returncode == 0, result.stdout
    ledger = max((auto.root / ".vidfleet" / "runs").iterdir()) / "events.jsonl"
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    second = next(i for i, line in enumerate(lines) if line["type"] == "attempt_started" and line["lane"] == 1)
    assert [line["type"] for line in lines[:second]].count("attempt_ended") == 4


@pytest.mark.slow
def test_where_two_are_slower_than_one_it_stays_with_one(auto: Fleet) -> None:
    result = auto.run(*_work(auto, "(1 if n == 1 else 0.3)"))
    assert result.returncode == 0, result.stdout
    assert _most_at_a_time(auto) == 2
    assert _settled(auto)["at_once"] == 1
    assert "gpu:0: 1 at a time (2 do 0." in result.stdout


def test_on_the_processor_auto_means_nothing_and_says_so(fleet: Fleet) -> None:
    """By --devices it is a mistake, without a GPU a note."""
    fleet.videos(1)
    script = fleet.script("leave()")
    result = fleet.run("--script", script, "--devices", "cpu:2", "--per-gpu", "auto")
    assert result.returncode == 2
    assert "how many run at a time with --devices cpu:N" in result.stdout
    result = fleet.run("--script", script, "--per-gpu", "auto")
    assert result.returncode == 0
    assert "--per-gpu auto is for GPUs" in result.stdout


def test_round_robin_goes_by_gpu_also_where_several_share_one(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A lane that is never opened keeps no video from the others."""
    (tmp_path / "gpus.json").write_text(json.dumps([{}, {}]))
    monkeypatch.setenv("VIDFLEET_SIMULATED_GPUS", str(tmp_path / "gpus.json"))
    fleet.videos(9)
    script = fleet.script("leave('gpu.txt', os.environ['CUDA_VISIBLE_DEVICES'])")
    result = fleet.run("--script", script, "--per-gpu", "auto", "--schedule", "round-robin")
    assert result.returncode == 0, result.stdout
    assert [(fleet.root / f"v{i:02d}" / "gpu.txt").read_text() for i in range(9)] == [str(i % 2) for i in range(9)]
