"""A task, and a folder of scripts and modules to stand in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vidfleet.data import Device, Lane, Probe, Stage, Task, Video


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder with the videos."""
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: neither the root nor the scripts' folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def task(root: Path) -> Task:
    """A video with an odd name, in a stage that shows it under a harmless one."""
    name = os.fsdecode(b"s 1/a $(touch x) \xff.mp4")
    stage = Stage(root / "s 1/.vidfleet/a-1", Path("/tmp/alias/1"), "video_1.mp4", root / Path(name).with_suffix(""))
    return Task(Video(root / name, name, 1, 1, 0), stage, Probe(1.0, 25, 16, 16, "mpeg4"))


@pytest.fixture
def gpu() -> Lane:
    return Lane(1, Device("gpu", "3"), 4)


@pytest.fixture
def cpu() -> Lane:
    return Lane(0, Device("cpu", ""), 4)
