"""How many attempts memory bears, and which one gives way."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidfleet.data import Attempt, Device, Evidence, Lane, Probe, Stage, Task, Video
from vidfleet.runner.order.queue import Case, Running
from vidfleet.runner.room.headroom import Headroom, floor_bytes
from vidfleet.worker.memory import HostMemory
from vidfleet.workloads import Description

GIB = 1 << 30
LANE = Lane(0, Device("cpu", ""), 1)


class Machine:
    """64 GiB, of which some are available."""

    def __init__(self, available_gib: float) -> None:
        self.available_gib = available_gib
        self.said: list[str] = []

    def ask(self) -> HostMemory:
        return HostMemory(64 * GIB, int(self.available_gib * GIB))

    def headroom(self, memfree: str = "4G", peak_bytes: int = 0) -> Headroom:
        return Headroom(memfree, peak_bytes, self.said.append, self.ask)


def _running(count: int) -> list[Running]:
    stage, probe = Stage(Path(), Path(), "", Path()), Probe(1.0, 1, 1, 1, "")
    tasks = [Task(Video(Path(f"{i}.mp4"), f"{i}.mp4", 1, 1, i), stage, probe) for i in range(count)]
    return [Running(Case(task), LANE, float(i), Description(Path(), "x", "script", {})) for i, task in enumerate(tasks)]


def _ended(kind: str, peak_bytes: int = 0) -> Attempt:
    return Attempt(1, LANE, "h", 0.0, 1.0, kind, "", Evidence(peak_memory_bytes=peak_bytes))


@pytest.mark.parametrize(
    ("said", "floor"),
    [("", 0.05 * 64 * GIB), ("0", 0), ("4G", 4 * GIB), ("500m", 500 << 20), ("10%", 6.4 * GIB), ("1.5G", 1.5 * GIB)],
)
def test_what_is_kept_free(said: str, floor: float) -> None:
    assert floor_bytes(said, 64 * GIB) == int(floor)


def test_by_default_it_is_neither_much_on_a_big_machine_nor_little_on_a_small_one() -> None:
    assert floor_bytes("", 2000 * GIB) == 16 * GIB
    assert floor_bytes("", 2 * GIB) == 256 << 20
    assert floor_bytes("", 200 << 20) == 100 << 20


def test_no_more_begin_than_fit_once_it_is_known_what_one_takes() -> None:
    machine = Machine(44)
    headroom = machine.headroom()
    assert headroom.may_begin(7)
    headroom.ended("0.1", _ended("done", 12 * GIB), 7)
    assert [headroom.may_begin(running) for running in (0, 1, 2, 3)] == [True, True, True, False]
    assert machine.said == ["3 at a time: one takes up to 12.0 GiB of memory, and 40.0 GiB are there for them"]
    assert machine.headroom(peak_bytes=12 * GIB).may_begin(3) is False
    assert Machine(5).headroom(peak_bytes=12 * GIB).may_begin(0)


def test_short_memory_lets_nothing_begin_and_very_short_memory_ends_the_youngest() -> None:
    machine = Machine(44)
    headroom, running = machine.headroom(), _running(3)
    machine.available_gib = 3.9
    assert headroom.look(running) is None
    assert not headroom.may_begin(3)
    assert not headroom.may_begin(2)
    (said,) = machine.said
    assert said.startswith("3.9 GiB of memory are free, and 4.0 GiB are kept free (--memfree): nothing new begins")
    machine.said.clear()
    assert headroom.may_begin(0)
    machine.available_gib = 1.9
    assert headroom.look(running) is running[2]
    assert "memory is short (1.9 GiB left): the youngest attempt is ended and runs again later" in machine.said[0]
    assert headroom.look(running) is None, "one after the other"
    headroom.ended(running[2].case.name, _ended("interrupted"), 2)
    assert headroom.look(running[:2]) is running[1]
    assert len(machine.said) == 1, "said once"
    headroom.ended(running[1].case.name, _ended("interrupted"), 1)
    assert headroom.look(running[:1]) is None, "one may always run"


def test_what_was_too_many_is_tried_again_when_memory_has_been_enough_for_a_while() -> None:
    """And the kernel's killer counts as our own word."""
    machine = Machine(44)
    headroom = machine.headroom()
    headroom.ended("0.1", _ended("host_memory"), 2)
    assert [headroom.may_begin(running) for running in (1, 2)] == [True, False]
    for _ in range(4):
        headroom.ended("1.1", _ended("done"), 1)
    assert headroom.may_begin(2)
    assert not headroom.may_begin(3)


def test_switched_off_it_holds_nothing_back() -> None:
    machine = Machine(0.1)
    headroom = machine.headroom("0", 12 * GIB)
    assert headroom.may_begin(99)
    assert headroom.look(_running(2)) is None


def test_where_nothing_tells_nothing_is_held_back() -> None:
    headroom = Headroom("", 1 << 40, lambda _: None, lambda: None)
    assert headroom.may_begin(99)
    assert headroom.look(_running(2)) is None
