"""One video on its way through the runner's parts, without any process: found, staged, finished, looked at again."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.fleet import write_video
from vidfleet.data import Attempt, Device, Evidence, Lane, Probe, Stage, Task, Video
from vidfleet.runner.begin import begin
from vidfleet.runner.claims import Claims
from vidfleet.runner.discover import discover
from vidfleet.runner.finish import Problem, finish
from vidfleet.runner.places import stage_of
from vidfleet.runner.plan import Verdict, judge
from vidfleet.runner.provenance import MadeBy
from vidfleet.settings import RunSettings
from vidfleet.workloads.base import Description, Promise

if TYPE_CHECKING:
    from collections.abc import Callable

ODD_NAMES = (
    "with space.mp4", "quote'single.mp4", 'quote"double.mp4', "$(touch pwned).mp4", "`touch pwned`.mp4", "a;b.mp4",
    "[brack]et*s?.mp4", "-dash.mp4", "-.mp4", "new\nline.mp4", "映画 第一話.mp4", "🎬🍿.mp4", "per%d.mp4",
    "n" * 196 + ".mp4", "n" * 251 + ".mp4", "映" * 83 + "xx.mp4", "dot.ted.name.mp4", "file:x.mp4",
    "UP.MP4", "{out}.mp4", "back\\slash.mp4", os.fsdecode(b"not-utf8-\xff\xfe.mp4"),
)  # fmt: skip


@lru_cache
def video_bytes(seconds: float) -> bytes:
    """A real video of 16 x 16 pixels."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "v.mp4")
        write_video(path, frames=max(1, round(seconds * 25)))
        return path.read_bytes()


def make_video(path: Path, *, seconds: float = 0.2) -> Path:
    """Put a real video there; made once for each length, so that it is cheap."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(video_bytes(seconds))
    return path


class Workshop:
    """A root, and the steps of a run on it as single calls."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.settings = RunSettings()
        self.claims = Claims()
        self.description = Description(root, "infer.py", "script", {"script": "1", "arguments": []})

    def found(self, **settings: Any) -> list[str]:  # noqa: ANN401
        """The relative paths that discovery finds."""
        return [video.relative for video in discover(self.root, replace(self.settings, **settings)).videos]

    def add(self, name: str, *, seconds: float = 0.2) -> Task:
        """Make a video; it as a task."""
        make_video(self.root / name, seconds=seconds)
        return self.task(name)

    def task(self, name: str) -> Task:
        """A video that is there, as it is now, as a task."""
        status = (self.root / name).stat()
        video = Video(self.root / name, name, status.st_size, status.st_mtime_ns, 0)
        return Task(video, self.stage(video), Probe(0.2, 5, 16, 16, "mpeg4"))

    def stage(self, video: Video) -> Stage:
        return stage_of(video, self.root, self.settings)

    def prepare(self, task: Task) -> None:
        self.claims.take(task.stage)
        begin(task, self.description, self.settings)

    def attempt(self) -> Attempt:
        return Attempt(1, Lane(0, Device("cpu", ""), 1), "host", 1.0, 2.0, "done", "", Evidence(exit_status=0))

    def finish(self, task: Task) -> Problem | None:
        problem = finish(
            task, self.description, (self.attempt(),), self.claims, made_by=MadeBy({"version": "1"}),
            settings=self.settings,
        )  # fmt: skip
        self.claims.release(task.stage)
        return problem

    def make_done(self, task: Task, work: Callable[[Stage], None] | None = None) -> None:
        """Run a video to its end: stage, work (or a small file), record, publish."""
        self.prepare(task)
        (work or leave_result)(task.stage)
        problem = self.finish(task)
        assert problem is None, problem

    def judge(self, name: str) -> Verdict:
        """What a run would say of a video, looked at anew."""
        task = self.task(name)
        return judge(task.video, task.stage, self.description, self.settings)

    def promise(self, *files: str, counted: tuple[str, ...] = ("pyframes", "pycrop")) -> None:
        self.description = replace(self.description, promise=Promise(files, counted))


def leave_result(stage: Stage, text: str = "whole") -> None:
    """What the simplest script does."""
    out = stage.seen_as / stage.entry_stem
    out.mkdir(parents=True, exist_ok=True)
    (out / "result.txt").write_text(text)
