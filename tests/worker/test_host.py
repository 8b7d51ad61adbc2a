"""The process that holds a class tells how each call ended, in words for people."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import vidfleet.worker.host as module

_CLASS = """
from vidfleet.errors import BadInputError, WeightsError

class Mine(BadInputError):
    pass

class Foreign(Exception):
    failure_kind = "bad_input"

class Worker:
    def process(self, video, out):
        raise eval(video)
"""


def _call(folder: Path, *videos: str) -> list[dict[str, Any]]:
    """What the host answers when the class is called for ``videos``."""
    (folder / "raising.py").write_text(_CLASS)
    orders, tell = os.pipe()
    hear, answers = os.pipe()
    request = json.dumps({"target": "raising:Worker", "arguments": [], "folder": str(folder)})
    process = subprocess.Popen(
        [sys.executable, str(Path(module.__file__)), str(orders), str(answers), request],
        pass_fds=(orders, answers), stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(orders)
    os.close(answers)
    with os.fdopen(tell, "w") as file:
        for number, video in enumerate(videos):
            places = {"video": video, "out": "", "original": video, "published": ""}
            file.write(json.dumps({"attempt": str(number), **places}) + "\n")
    with os.fdopen(hear) as file:
        said = [json.loads(line) for line in file]
    assert process.wait(timeout=10) == 0
    return [answer for answer in said if answer["type"] != "ready"]


@pytest.mark.parametrize(
    ("raised", "kind", "words"),
    [
        ("BadInputError('it has no picture')", "bad_input", "it has no picture"),
        ("Mine('it has no picture')", "bad_input", "it has no picture"),
        ("WeightsError('no weights here')", "setup", "no weights here"),
        ("BadInputError()", "bad_input", "BadInputError: "),
        ("Foreign('no picture')", "bad_input", "Foreign: no picture"),
        ("KeyError('x')", "error", "KeyError: 'x'"),
        ("SystemExit(3)", "error", "SystemExit: 3"),
    ],
)
def test_our_own_errors_are_sentences_and_others_are_named(tmp_path: Path, raised: str, kind: str, words: str) -> None:
    """A sentence for people needs no name of a class before it; ``'x'`` alone would say nothing."""
    (answer,) = _call(tmp_path, raised)
    assert (answer["kind"], answer["message"]) == (kind, words)
