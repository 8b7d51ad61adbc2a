"""The class contract, as the runner asks it: in a real process of its own."""

from __future__ import annotations

import os
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from vidfleet.errors import SetupError, UsageError
from vidfleet.workloads import PythonClass

if TYPE_CHECKING:
    from pathlib import Path

    from vidfleet.data import Lane, Task

_MODULE = """
    print("noise on import")
    import os, sys

    class UsageError(Exception): ...
    class MySetupError(Exception): ...

    class Plain:
        def process(self, video, out): ...

    class Full:
        @classmethod
        def from_arguments(cls, arguments): return cls()
        @classmethod
        def describe(cls, arguments):
            print("more noise")
            return {
                "name": "full", "arguments": [*arguments, "--decided"],
                "fingerprint": {"version": 1, "words": arguments},
                "expected": ["scores.pckl"], "counted": ["frames"], "resumable": True, "carry": ["people.json"],
                "inputs": [".srt"], "method": {"faces": "heuristic"}, "notices": ["no weights"],
                "device": os.environ["CUDA_VISIBLE_DEVICES"],
            }
        def process(self, video, out): ...

    class Takes(Plain):
        @classmethod
        def from_arguments(cls, arguments): return cls()

    class WrongUse(Plain):
        @classmethod
        def describe(cls, arguments): raise UsageError("--x takes a number")

    class NoWeights(Plain):
        @classmethod
        def describe(cls, arguments): raise MySetupError("the weights are missing: put them there")

    class Leaves(Plain):
        @classmethod
        def describe(cls, arguments): sys.exit(3)

    class Dies(Plain):
        @classmethod
        def describe(cls, arguments): os._exit(7)

    class Nothing(Plain):
        @classmethod
        def describe(cls, arguments): return None
"""


@pytest.fixture(autouse=True)
def _modules(here: Path) -> None:
    (here / "mine.py").write_text(textwrap.dedent(_MODULE))
    (here / "broken.py").write_text("import no_such_module_anywhere\n")


def test_a_class_that_says_nothing_is_known_by_its_source(root: Path, here: Path) -> None:
    found = PythonClass("mine:Plain", expect=("x.json",)).describe(root)
    assert (found.name, found.kind, found.makes_output_folder) == ("mine:Plain", "class", False)
    assert found.files == (here / "mine.py",)
    assert found.promise.files == ("x.json",)
    (here / "mine.py").write_text((here / "mine.py").read_text() + "\n# edited\n")
    assert PythonClass("mine:Plain").describe(root).fingerprint != found.fingerprint


def test_a_class_that_describes_itself_is_believed(root: Path) -> None:
    found = PythonClass("mine:Full", ("--a",), expect=("x.json",)).describe(root)
    assert (found.name, found.arguments) == ("full", ("--a", "--decided"))
    assert found.parts == {"class": "mine:Full", "version": 1, "words": ["--a"]}
    assert found.promise.files == ("scores.pckl", "x.json")
    assert found.promise.counted == ("frames",)
    assert (found.traits.resumable, found.traits.carry, found.traits.inputs) == (True, ("people.json",), (".srt",))
    assert found.method == {"faces": "heuristic"}
    assert found.notices == ("no weights",)
    assert PythonClass("mine:Full", name="other").describe(root).name == "other"


def test_arguments_go_to_from_arguments_alone(root: Path, here: Path) -> None:
    (here / "conf.yaml").write_text("1")
    found = PythonClass("mine:Takes", ("--config=conf.yaml",)).describe(root)
    assert found.parts["arguments"] == ["--config=conf.yaml"]
    assert (here / "conf.yaml") in found.files
    with pytest.raises(SetupError, match="takes no arguments"):
        PythonClass("mine:Plain", ("--x",)).describe(root)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("broken:Plain", "broken:Plain.*no_such_module_anywhere"),
        ("nowhere:Plain", "nowhere:Plain.*No module named 'nowhere'"),
        ("mine:Missing", "mine:Missing.*Missing"),
        ("mine:NoWeights", "^the weights are missing: put them there$"),
        ("mine:Leaves", "mine:Leaves.*SystemExit: 3"),
        ("mine:Dies", "mine:Dies.*status 7"),
        ("mine:Nothing", "mine:Nothing"),
    ],
)
def test_a_class_that_cannot_be_used_stops_the_run_before_the_first_video(root: Path, target: str, words: str) -> None:
    with pytest.raises(SetupError, match=words):
        PythonClass(target).describe(root)


def test_an_interpreter_that_is_not_there_is_named(root: Path) -> None:
    with pytest.raises(SetupError, match="/no/such/python"):
        PythonClass("mine:Plain", python="/no/such/python").describe(root)


def test_wrong_use_is_passed_through_as_such(root: Path) -> None:
    with pytest.raises(UsageError, match=r"^--x takes a number$"):
        PythonClass("mine:WrongUse").describe(root)


@pytest.mark.parametrize("target", ["", "mine", "mine:", ":Plain"])
def test_a_target_that_names_no_class_is_refused_without_a_process(root: Path, target: str) -> None:
    with pytest.raises(UsageError, match="write module:Class"):
        PythonClass(target).describe(root)


def test_the_call_names_the_video_as_the_stage_shows_it(root: Path, task: Task, gpu: Lane, here: Path) -> None:
    workload = PythonClass("mine:Full", ("--a",))
    call = workload.launch(task, gpu, workload.describe(root))
    assert (call.python, call.target, call.arguments) == (sys.executable, "mine:Full", ("--a", "--decided"))
    assert (call.video, call.out) == ("/tmp/alias/1/video_1.mp4", "/tmp/alias/1/video_1")
    assert call.folder == str(here)
    assert os.path.isabs(call.python)
