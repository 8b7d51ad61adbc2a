"""Made-up videos, lanes and attempts, for tests of what is said about runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.workshop import Workshop, make_video
from vidfleet.data import Attempt, Device, Evidence, Lane, Outcome, Probe, Stage, Task, Video

if TYPE_CHECKING:
    from collections.abc import Callable

    from vidfleet.data import State


class MadeUp:
    """Builds values of which only one thing matters to a test."""

    root = Path("/data/video")

    def video(self, name: str = "a.mp4") -> Video:
        return Video(self.root / name, name, 1000, 12345, 0)

    def task(self, name: str = "a.mp4", *, cost: int = 100) -> Task:
        """A task that costs ``cost``, and whose video is as many seconds long."""
        return Task(self.video(name), Stage(Path(), Path(), "", Path()), Probe(float(cost), cost, 1, 1, "h264"))

    def lanes(self, count: int) -> tuple[Lane, ...]:
        return tuple(Lane(index, Device("gpu", str(index)), 1) for index in range(count))

    def attempt(
        self, lane: Lane, *, seconds: float = 10.0, kind: str = "done", reason: str = "", number: int = 1
    ) -> Attempt:
        return Attempt(number, lane, "host", 1000.0, 1000.0 + seconds, kind, reason, Evidence(exit_status=0))

    def outcome(
        self, name: str, state: State, kind: str = "", reason: str = "", *, seconds: float = 10.0, log: str = ""
    ) -> Outcome:
        """An outcome with one attempt where something ran."""
        attempts: tuple[Attempt, ...] = ()
        if state in ("done", "failed"):
            attempts = (self.attempt(self.lanes(1)[0], seconds=seconds, kind=kind or "done", reason=reason),)
        return Outcome(self.video(name), state, kind, reason, attempts, self.task(name).probe, log)


@pytest.fixture
def made_up() -> MadeUp:
    return MadeUp()


@pytest.fixture
def video_file() -> Callable[..., Path]:
    """Makes a tiny real video: ``video_file(path, seconds=0.2)``."""
    return make_video


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """A root to put videos into, and the runner's steps as single calls."""
    (tmp_path / "root").mkdir()
    return Workshop(tmp_path / "root")
