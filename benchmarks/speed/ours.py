"""Runs of vidfleet, and what its ledger says of them."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.scale import make_videos
from benchmarks.speed.measuring import Took, timed

COPY = ("--", "cp", "{video}", "{out}/x")
"""The work that is none."""


@dataclass(frozen=True)
class Run:
    """A run that has ended well."""

    took: Took
    """The whole command, from its start to its end."""
    folder: Path

    @property
    def planned_at(self) -> float:
        """When discovering, probing and planning were through, and the lanes were about to be started."""
        return float(next(event["at"] for event in self.events() if event["type"] == "run_started"))

    @property
    def plan_s(self) -> float:
        return self.planned_at - self.took.began_at

    @property
    def work_s(self) -> float:
        """All that came after the plan, the end of the process included."""
        return self.took.ended_at - self.planned_at

    def ends(self) -> list[float]:
        """When attempts ended; seconds since 1970."""
        return [float(event["at"]) for event in self.events() if event["type"] == "attempt_ended"]

    def foretold_over_real(self) -> float | None:
        """The whole time that was expected after the first fifth, over the real one; None where nothing is told."""
        report = json.loads((self.folder / "report.json").read_text())
        foretold_s = report.get("foretold_s")
        return None if foretold_s is None else float(foretold_s) / float(report["ended_at"] - report["started_at"])

    def events(self) -> list[dict[str, Any]]:
        """The ledger."""
        return [json.loads(line) for line in (self.folder / "events.jsonl").read_text().splitlines()]


def command(root: Path, *arguments: str) -> list[str]:
    """A run as a command, which reads nobody's settings."""
    return [sys.executable, "-m", "vidfleet", "run", str(root), "--no-config", "--plain", *arguments]


def run(root: Path, *arguments: str) -> Run:
    """Run to the end; raises PeerError where it does not end well."""
    took = timed(command(root, *arguments))
    return Run(took, last_run(root))


def last_run(root: Path) -> Path:
    return max((root / ".vidfleet" / "runs").iterdir())


def fresh_root(top: Path, videos: int) -> tuple[Path, list[Path]]:
    """A folder that no run has seen, with so many tiny videos in it."""
    place = Path(tempfile.mkdtemp(prefix="root", dir=top))
    return place / "videos", make_videos(place / "videos", videos)


def has_option(name: str) -> bool:
    """Whether this version of vidfleet knows an option."""
    said = timed([sys.executable, "-m", "vidfleet", "run", "--help"], environment={"COLUMNS": "200"}).said
    return name in said.split() or f"{name}," in said.split()
