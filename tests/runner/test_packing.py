"""When one more at a time on a GPU is tried, and when it is taken back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vidfleet.data import Attempt, Evidence, Lane, Probe, Stage, Task, Video
from vidfleet.runner.room.gain import Took, gain, is_faster
from vidfleet.runner.room.gate import Kept, _write, read_kept
from vidfleet.runner.room.packing import Found, Packing
from vidfleet.worker.gpus.simulated import Simulated
from vidfleet.workloads import Description

if TYPE_CHECKING:
    from collections.abc import Callable

GB = 1 << 30
TASK = Task(Video(Path("a.mp4"), "a.mp4", 1, 1, 0), Stage(Path(), Path(), "", Path()), Probe(1.0, 25, 4, 4, ""))


class Line:
    """GPUs that take one video after the other, by a clock of their own."""

    def __init__(self, packing: Packing, lanes: list[Lane], clock: list[float]) -> None:
        self.packing, self.lanes, self.clock = packing, lanes, clock
        self.running: dict[int, float] = {}

    def work(self, videos: int, speed: Callable[[int], float], **seen: int) -> None:
        """So many videos, of a second each alone; ``speed`` of each by how many run."""
        while videos:
            for lane in self.lanes:
                if lane.index not in self.running and self.packing.may_begin(lane):
                    self.packing.began(lane, TASK)
                    self.running[lane.index] = self.clock[0]
            first = min(self.running, key=lambda index: (self.running[index], index))
            lane, began = self.lanes[first], self.running.pop(first)
            beside = 1 + sum(self.lanes[index].device == lane.device for index in self.running)
            self.clock[0] = max(self.clock[0], began + 1 / speed(beside))
            evidence = Evidence(exit_status=0, peak_gpu_memory_bytes=seen.get("peak_bytes", 0))
            done = Attempt(1, lane, "h", began, began + 1 / speed(beside), "done", "", evidence)
            self.packing.ended(done, stays=False)
            videos -= 1


def _line(
    tmp_path: Path, said: list[str], kept: dict[str, Found] | None = None,
    gpus: tuple[dict[str, object], ...] = ({"total_bytes": 80 * GB},),
) -> Line:  # fmt: skip
    (tmp_path / "gpus.json").write_text(json.dumps(gpus))
    simulated = Simulated(tmp_path / "gpus.json")
    devices = simulated.devices()
    lanes = [
        Lane(i, devices[i % len(devices)], 1, spare=i >= len(devices)) for i in range(8 * len(devices))
    ]  # fmt: skip
    clock = [0.0]
    packing = Packing(lanes, said.append, kept or {}, simulated, clock=lambda: clock[0])
    return Line(packing, lanes, clock)


@pytest.mark.parametrize("best", [1, 2, 3, 5])
def test_it_settles_where_more_bring_no_more(tmp_path: Path, best: int) -> None:
    said: list[str] = []
    line = _line(tmp_path, said)
    line.work(80, lambda n: min(1.0, best / n))
    (found,) = line.packing.found().values()
    assert found.at_once == best
    assert found.gain == pytest.approx(best, rel=0.15)
    assert len(said) == 1
    assert said[0].startswith(f"gpu:0: {best} at a time")


def test_it_stops_where_memory_ends(tmp_path: Path) -> None:
    """Of 80 GB, 8 are somebody else's; four of 17 do not fit with the margin."""
    said: list[str] = []
    line = _line(tmp_path, said, gpus=({"total_bytes": 80 * GB, "used_bytes": 8 * GB},))
    line.work(80, lambda _: 1.0, peak_bytes=17 * GB)
    assert next(iter(line.packing.found().values())).at_once == 3
    assert "51.0 GiB of 80.0 GiB (one more would not fit)" in said[0]


def test_gpus_of_one_kind_learn_from_each_other_and_of_another_do_not(tmp_path: Path) -> None:
    said: list[str] = []
    big, small = {"name": "big", "total_bytes": 80 * GB}, {"name": "small", "total_bytes": 20 * GB}
    line = _line(tmp_path, said, gpus=(big, big, small))
    line.work(200, lambda n: min(1.0, 3 / n), peak_bytes=8 * GB)
    assert {name.partition(",")[0]: found.at_once for name, found in line.packing.found().items()} == {
        "big": 3, "small": 2,
    }  # fmt: skip
    assert any(text.startswith("gpu:0 gpu:1: 3 at a time on each, ") for text in said)


def test_a_failure_for_want_of_gpu_memory_is_excused_only_in_company(tmp_path: Path) -> None:
    said: list[str] = []
    line = _line(tmp_path, said)
    packing, (first, second) = line.packing, line.lanes[:2]

    def fail(lane: Lane) -> bool:
        return packing.ended(Attempt(1, lane, "h", 0, 1, "gpu_memory", "", Evidence(exit_status=1)), stays=False)

    packing.began(first, TASK)
    assert not fail(first)
    line.work(4, lambda _: 1.0)
    packing.began(first, TASK) if first.index not in line.running else None
    packing.began(second, TASK) if second.index not in line.running else None
    assert fail(second)
    assert not packing.is_open(second)
    assert packing.found()
    assert "run out of its memory" in said[-1]


def test_what_an_earlier_run_has_found_is_where_it_begins(tmp_path: Path) -> None:
    """But not where it would not fit any more."""
    name = f"simulated, {80 << 10} MiB"
    said: list[str] = []
    line = _line(tmp_path, said, {name: Found(3, 1.9, 20 * GB)})
    assert [line.packing.is_open(lane) for lane in line.lanes[:4]] == [True, True, True, False]
    assert said == ["gpu:0: 3 at a time, as an earlier run has found"]
    line = _line(tmp_path, said, {name: Found(3, 1.9, 30 * GB)})
    assert [line.packing.is_open(lane) for lane in line.lanes[:2]] == [True, False]


def test_a_run_that_ends_early_keeps_what_it_has_proven_and_the_next_goes_on_there(tmp_path: Path) -> None:
    said: list[str] = []
    line = _line(tmp_path, said)
    line.work(20, lambda n: min(1.0, 5 / n))
    (name, found), *_ = line.packing.found().items()
    assert not found.settled
    assert 1 < found.at_once < 5
    again = _line(tmp_path, said, {name: found})
    again.work(60, lambda n: min(1.0, 5 / n))
    (found,) = again.packing.found().values()
    assert (found.at_once, found.settled) == (5, True)
    assert found.gain == pytest.approx(5, rel=0.2)
    assert said[0].endswith("as an earlier run has found so far")


def test_noise_is_waited_out_and_work_is_what_explains_the_time() -> None:
    """By number where videos take equally long whatever their length; by cost where they do not."""
    alike = [Took(cost, 10.0) for cost in (1.0, 5.0, 9.0, 2.0)]
    assert gain(alike, 1, [Took(3.0, 10.0)] * 3, 2)[0] == pytest.approx(2.0)
    by_cost = [Took(cost, cost) for cost in (9.0, 7.0, 8.0)]
    assert gain(by_cost, 1, [Took(cost, 2 * cost) for cost in (3.0, 2.0)], 2)[0] == pytest.approx(1.0)
    noisy = [Took(1.0, seconds) for seconds in (1.0, 3.0, 1.0)]
    assert is_faster(noisy, 1, noisy, 1) is None
    assert is_faster(noisy, 1, noisy * 4, 1) is False
    assert is_faster([Took(1.0, 1.0)] * 3, 1, [Took(1.0, 1.0)] * 3, 2) is True


@pytest.mark.parametrize(
    "garbage",
    ["", "[]", "{", '{"workloads": []}', '{"workloads": {"x.py": 3}}', '{"workloads": {"x.py": {"fingerprint": null}}}',
     '{"workloads": {"x.py": {"fingerprint": "F", "peak_bytes": -1, "gpus": {}}}}',
     '{"workloads": {"x.py": {"fingerprint": "F", "peak_bytes": 1e999, "gpus": {}}}}',
     '{"workloads": {"x.py": {"fingerprint": "F", "peak_bytes": 1, "gpus": {"g": {"at_once": 0}}}}}',
     '{"workloads": {"x.py": {"fingerprint": "F", "peak_bytes": 1, "gpus": {"g": {"at_once": 1, "gain": NaN}}}}}',
     '{"workloads": {"x.py": {"fingerprint": "F", "peak_bytes": 1, "gpus": {"g": {"at_once": 1, "gain": 1'
     + "0" * 400 + "}}}}}"],
)  # fmt: skip
def test_garbage_in_the_file_is_as_if_nothing_were_known(tmp_path: Path, garbage: str) -> None:
    description = Description(Path(), "x.py", "script", {})
    folder = tmp_path / ".vidfleet"
    folder.mkdir()
    (folder / "room.json").write_text(garbage.replace('"F"', json.dumps(description.fingerprint)))
    assert read_kept(tmp_path, description) == Kept(0, {})
    kept = Kept(5, {"g": Found(2, 1.5, 7)})
    _write(tmp_path, description, kept)
    assert read_kept(tmp_path, description) == kept
    assert read_kept(tmp_path, Description(Path(), "x.py", "script", {"script": "changed"})) == Kept(0, {})
