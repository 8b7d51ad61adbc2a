"""The template contract: any program, one argument stays one argument."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from vidfleet.errors import SetupError, UsageError
from vidfleet.workloads import Command

if TYPE_CHECKING:
    from pathlib import Path

    from vidfleet.data import Lane, Task

PLACES = ("prog", "{video}", "{out}", "{stage}", "{stem}", "{name}", "{dir}", "{root}", "{device}")


@pytest.fixture(autouse=True)
def _program(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program called ``prog`` on the PATH."""
    (here / "bin").mkdir()
    (here / "bin" / "prog").write_text("#!/bin/sh\n")
    (here / "bin" / "prog").chmod(0o755)
    monkeypatch.setenv("PATH", str(here / "bin"), prepend=os.pathsep)


def test_each_placeholder_is_one_argument(root: Path, task: Task, gpu: Lane, here: Path) -> None:
    workload = Command(PLACES)
    program = workload.launch(task, gpu, workload.describe(root))
    assert program.argv == (
        "prog", "/tmp/alias/1/video_1.mp4", "/tmp/alias/1/video_1", "/tmp/alias/1", "video_1", "video_1.mp4",
        str(root / "s 1"), str(root), "cuda:0",
    )  # fmt: skip
    assert program.folder == str(here)


def test_placeholders_inside_words_and_other_braces(root: Path, task: Task, cpu: Lane) -> None:
    workload = Command(("prog", "--in={video}", "{stem}_{device}", "{{video}}", "{other}", "{}", "$(x) {"))
    program = workload.launch(task, cpu, workload.describe(root))
    assert program.argv[1:] == (
        "--in=/tmp/alias/1/video_1.mp4", "video_1_cpu", "{/tmp/alias/1/video_1.mp4}", "{other}", "{}", "$(x) {",
    )  # fmt: skip


def test_what_a_name_holds_is_not_replaced_again(root: Path, task: Task, cpu: Lane) -> None:
    from dataclasses import replace

    odd = replace(task, stage=replace(task.stage, entry_name="{out}.mp4"))
    workload = Command(("prog", "{name}"))
    assert workload.launch(odd, cpu, workload.describe(root)).argv[1] == "{out}.mp4"


def test_a_command_that_does_not_say_where_the_video_goes_is_refused(root: Path) -> None:
    for argv in (("prog",), ("prog", "{out}", "{root}"), ()):
        with pytest.raises(UsageError, match="where the video goes"):
            Command(argv).describe(root)


def test_a_program_that_is_not_there_is_said_before_the_first_video(root: Path) -> None:
    with pytest.raises(SetupError, match="no program 'no-such-program'"):
        Command(("no-such-program", "{video}")).describe(root)


def test_the_output_folder_is_made_where_out_is_used(root: Path) -> None:
    """TalkNet makes its own: ``--videoFolder {stage} --videoName {stem}``."""
    assert not Command(("prog", "{video}", "{out}/x")).describe(root).makes_output_folder
    assert Command(("prog", "--videoFolder", "{stage}", "--videoName", "{stem}")).describe(root).makes_output_folder


def test_two_scripts_of_one_interpreter_are_two_workloads(root: Path) -> None:
    def name(*argv: str) -> str:
        return Command((*argv, "{video}")).describe(root).name

    python = sys.executable
    program = os.path.basename(python)
    assert name("prog") == "prog"
    assert name(python, "-u", "/x/one.py") == f"{program} one.py"
    assert name(python, "two.py") == f"{program} two.py"
    assert name(python, "-m", "package.tool") == f"{program} package.tool"


def test_the_fingerprint_follows_arguments_and_the_files_that_they_name(root: Path, here: Path) -> None:
    (here / "conf.yaml").write_text("1")
    argv = ("prog", "{video}", "--config=conf.yaml")
    first = Command(argv).describe(root).fingerprint
    assert Command((*argv, "-v")).describe(root).fingerprint != first
    (here / "conf.yaml").write_text("2")
    assert Command(argv).describe(root).fingerprint != first
