"""The folder contract: an unmodified script, run where it lies."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from vidfleet.errors import UsageError
from vidfleet.workloads import Script

if TYPE_CHECKING:
    from pathlib import Path

    from vidfleet.data import Lane, Task


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "scripts" / "infer.py"
    path.parent.mkdir()
    path.write_text("print('hello')")
    return path


def test_a_script_is_called_with_its_stage_in_its_own_folder(script: Path, root: Path, task: Task, gpu: Lane) -> None:
    workload = Script(script, ("--minTrack", "5"))
    program = workload.launch(task, gpu, workload.describe(root))
    assert program.argv == (sys.executable, str(script), "--videoFolder", "/tmp/alias/1", "--minTrack", "5")
    assert program.folder == str(script.parent)


def test_the_interpreter_of_ones_choice_comes_first_on_path(script: Path, root: Path, task: Task, gpu: Lane) -> None:
    """By the name that was given: a virtual environment is known by its link."""
    link = script.parent / "venv" / "bin" / "python"
    link.parent.mkdir(parents=True)
    link.symlink_to(sys.executable)
    workload = Script(script, python=str(link))
    program = workload.launch(task, gpu, workload.describe(root))
    assert program.argv[0] == str(link)
    assert dict(program.environment)["PATH"].split(os.pathsep)[0] == str(link.parent)


def test_a_script_or_an_interpreter_that_is_not_there_is_said_before_the_first_video(script: Path, root: Path) -> None:
    with pytest.raises(UsageError, match="no script"):
        Script(script.with_name("none.py")).describe(root)
    with pytest.raises(UsageError, match="--python /no/such/python"):
        Script(script, python="/no/such/python").describe(root)
    with pytest.raises(UsageError, match="--python no-such-python"):
        Script(script, python="no-such-python").describe(root)


def test_a_relative_script_is_found_and_named_by_its_file(
    script: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(script.parent)
    found = Script("infer.py").describe(root)
    assert (found.name, found.kind, found.makes_output_folder) == ("infer.py", "script", True)
    assert Script("infer.py", name="mine").describe(root).name == "mine"


def test_the_fingerprint_follows_text_arguments_and_files_that_arguments_name(
    script: Path, root: Path, here: Path
) -> None:
    """Files are looked for where the script will look: in its own folder."""
    config = script.parent / "conf.yaml"
    config.write_text("1")
    arguments = ("--config", "conf.yaml", "--weights=conf.yaml")

    def fingerprint(*words: str) -> str:
        return Script(script, words or arguments).describe(root).fingerprint

    first = fingerprint()
    assert fingerprint() == first
    assert fingerprint("--config", "conf.yaml") != first
    config.write_text("2")
    second = fingerprint()
    assert second != first
    script.write_text("print('bye')")
    assert fingerprint() not in (first, second)
    assert set(Script(script, arguments).describe(root).files) == {script, config}


def test_a_file_below_the_root_that_an_argument_names_is_no_part_of_the_workload(
    script: Path, root: Path, tmp_path: Path
) -> None:
    """Also where a link leads to the root; and nothing odd in an argument is in the way."""
    (root / "people.json").write_text("1")
    (tmp_path / "link").symlink_to(root)
    arguments = (str(root / "people.json"), str(tmp_path / "link/people.json"), "x" * 5000, "", "a=", "\udcff")
    for top in (root, tmp_path / "link"):
        assert Script(script, arguments).describe(top).parts["files"] == {}


def test_expected_files_are_promised_and_pictures_counted(script: Path, root: Path) -> None:
    promise = Script(script, expect=("pywork/scores.pckl",)).describe(root).promise
    assert promise.files == ("pywork/scores.pckl",)
    assert promise.counted == ("pyframes", "pycrop")
