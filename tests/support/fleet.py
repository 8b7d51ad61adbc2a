"""A folder of tiny real videos, scripts for it, and runs over it as processes of their own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import psutil

if TYPE_CHECKING:
    from collections.abc import Callable


def write_video(path: Path, *, frames: int = 5, size: int = 16) -> None:
    """Make a real video of a few grey pictures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="mp4" if path.suffix.lower() not in (".avi", ".mkv", ".mov") else None) as file:
        stream = file.add_stream("mpeg4", rate=25, width=size, height=size, pix_fmt="yuv420p")
        for index in range(frames):
            picture = np.full((size, size, 3), (index * 40) % 255, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode(None))


_CALLS = """
import os, runpy, sys

class Calls:
    @classmethod
    def from_arguments(cls, arguments):
        made = cls()
        made.arguments = list(arguments)
        return made

    def process(self, video, out):
        sys.argv = ["infer.py", "--videoFolder", os.path.dirname(video), *self.arguments]
        runpy.run_path({script!r}, run_name="__main__")
"""
"""A class that does what a script does, in a process that stays."""


@dataclass
class Fleet:
    """A folder of videos, a folder of scripts, and runs over them."""

    root: Path
    scripts: Path
    mark: str
    sees_gpus: bool = False
    """Runs may use this machine's GPUs."""
    _started: list[subprocess.Popen[str]] = field(default_factory=list)

    def video(self, name: str, *, frames: int = 5) -> Path:
        """Add a video."""
        write_video(self.root / name, frames=frames)
        return self.root / name

    def videos(self, count: int) -> list[Path]:
        """Add videos v00.mp4, v01.mp4, ..."""
        return [self.video(f"v{index:02d}.mp4") for index in range(count)]

    def script(self, body: str, name: str = "infer.py") -> Path:
        """Write a script of the folder contract: ``video``, ``stem`` and ``out`` are set before ``body``."""
        head = """\
            import glob, os, signal, subprocess, sys, time
            folder = sys.argv[sys.argv.index("--videoFolder") + 1]
            video = glob.glob(os.path.join(folder, "*.*"))[0]
            stem = os.path.splitext(os.path.basename(video))[0]
            out = os.path.join(folder, stem)
            def leave(name="result.txt", text="whole"):
                os.makedirs(out, exist_ok=True)
                with open(os.path.join(out, name), "w") as file:
                    file.write(text)
            """
        path = self.scripts / name
        path.write_text(textwrap.dedent(head) + textwrap.dedent(body))
        return path

    def way(self, contract: str, script: Path, *more: str) -> list[str]:
        """The words that run ``script`` by one of the three contracts, with ``more`` behind it."""
        if contract == "script":
            return ["--script", str(script), *(["--", *more] if more else [])]
        if contract == "template":
            return ["--", sys.executable, str(script), "--videoFolder", "{stage}", *more]
        module = self.scripts / f"calls_{script.stem}.py"
        if not module.exists():
            module.write_text(_CALLS.format(script=str(script)))
        return ["--worker", f"{module.stem}:Calls", "--depends", str(script), *(["--", *more] if more else [])]

    def start(self, *arguments: object, command: str = "run") -> subprocess.Popen[str]:
        """Start ``vidfleet run ROOT ...`` as a process of its own."""
        may = self.sees_gpus or "VIDFLEET_SIMULATED_GPUS" in os.environ
        no_gpu = {} if may else {"CUDA_VISIBLE_DEVICES": ""}
        process = subprocess.Popen(
            [sys.executable, "-m", "vidfleet", command, str(self.root), *map(str, arguments)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="backslashreplace", env={**os.environ, "FLEET_TEST": self.mark, **no_gpu},
            start_new_session=True, cwd=self.scripts,
        )  # fmt: skip
        self._started.append(process)
        return process

    def run(self, *arguments: object, command: str = "run") -> subprocess.CompletedProcess[str]:
        """Run to the end."""
        process = self.start(*arguments, command=command)
        output, _ = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, output, "")

    def report(self) -> dict[str, Any]:
        """The last run's report."""
        last = sorted((self.root / ".vidfleet" / "runs").iterdir())[-1]
        plain: dict[str, Any] = json.loads((last / "report.json").read_text())
        return plain

    def outcomes(self) -> dict[str, tuple[str, str]]:
        """State and kind of each video in the last run's report, by relative path."""
        return {v["video"]: (v["state"], v.get("kind", "")) for v in self.report()["videos"]}

    def events(self, kind: str) -> list[dict[str, Any]]:
        """The last run's ledger lines of one type; none while there is no ledger."""
        ledger = max((self.root / ".vidfleet" / "runs").iterdir()) / "events.jsonl"
        whole = ledger.read_text().rpartition("\n")[0] if ledger.exists() else ""
        lines = [json.loads(line) for line in whole.splitlines()]
        return [line for line in lines if line["type"] == kind]

    def whole(self, video: Path) -> bool:
        """Whether a video's output folder is there, with its record."""
        return (video.with_suffix("") / "vidfleet.json").is_file()

    def torn(self) -> list[Path]:
        """Output folders without a record."""
        return [
            folder for folder in self.root.rglob("*")
            if folder.is_dir() and ".vidfleet" not in folder.parts and folder.with_suffix(".mp4").exists()
            and not (folder / "vidfleet.json").exists()
        ]  # fmt: skip

    def processes(self) -> list[psutil.Process]:
        """All processes that descend from a run of this test, found by their environment, on whichever node."""
        found, runs = [], {path.name for path in (self.root / ".vidfleet" / "runs").glob("*")}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                environment = process.environ()
                is_ours = environment.get("FLEET_TEST") == self.mark
                is_ours = is_ours or environment.get("VIDFLEET_MARK", "").partition(":")[0] in runs
                if is_ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def wait_for(self, condition: Callable[[], object], within_s: float = 20.0) -> None:
        """Wait until ``condition`` holds."""
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.02)

    def close(self) -> None:
        """End what a failed test left."""
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()
        for started in self._started:
            started.communicate()
