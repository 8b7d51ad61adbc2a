"""Two hosts over one file system: names, clocks and heartbeats differ, and still no video is worked on twice."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from vidfleet.errors import ClaimedError
from vidfleet.runner.claims import STALE_S, Claims

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.workshop import Workshop
    from vidfleet.data import Stage

_OTHER_HOST = """
import socket, sys, time
socket.gethostname = lambda: "elsewhere"
skew, real = float(sys.argv[2]), time.time
time.time = lambda: real() + skew
from pathlib import Path
from vidfleet.data import Stage
from vidfleet.errors import ClaimedError
from vidfleet.runner import claims as module
folder = Path(sys.argv[1])
stage = Stage(folder, folder, "a.mp4", folder.parent.parent / "a")
claims = module.Claims()
for line in sys.stdin:
    try:
        if line == "take\\n":
            claims.take(stage)
        elif line == "beat\\n":
            claims.beat()
        elif line == "release\\n":
            claims.release(stage)
        print("ours" if claims.still_ours(stage) else "not ours", flush=True)
    except ClaimedError as error:
        print(error, flush=True)
"""


class _Elsewhere:
    """A runner on another host."""

    def __init__(self, stage: Stage, skew_s: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _OTHER_HOST, str(stage.folder), str(skew_s)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def does(self, what: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def stage(workshop: Workshop) -> Stage:
    return workshop.add("a.mp4").stage


@pytest.fixture(params=[0.0, 7200.0, -7200.0], ids=["same clock", "two hours ahead", "two hours behind"])
def elsewhere(request: pytest.FixtureRequest, stage: Stage) -> Iterator[_Elsewhere]:
    other = _Elsewhere(stage, request.param)
    yield other
    other.kill()


def _age(stage: Stage, seconds: float) -> None:
    """Let time pass by the file server's clock."""
    then = stage.claim.stat().st_mtime - seconds
    os.utime(stage.claim, (then, then))


def test_each_leaves_the_others_claim_alone_and_names_its_host(stage: Stage, elsewhere: _Elsewhere) -> None:
    """Whatever their clocks say."""
    assert elsewhere.does("take") == "ours"
    with pytest.raises(ClaimedError, match="host elsewhere"):
        Claims().take(stage)
    assert elsewhere.does("release") == "not ours"
    ours = Claims()
    ours.take(stage)
    assert elsewhere.does("take").startswith("claimed by host ")
    assert ours.still_ours(stage)


def test_a_heartbeat_keeps_a_claim_and_a_host_that_fell_silent_loses_it(stage: Stage, elsewhere: _Elsewhere) -> None:
    """And sees so before it publishes."""
    assert elsewhere.does("take") == "ours"
    _age(stage, STALE_S + 30)
    assert elsewhere.does("beat") == "ours"
    with pytest.raises(ClaimedError):
        Claims().take(stage)
    _age(stage, STALE_S + 30)
    ours = Claims()
    ours.take(stage)
    assert elsewhere.does("look") == "not ours"
    assert elsewhere.does("release") == "not ours"
    assert ours.still_ours(stage)


def test_a_host_that_died_loses_its_claim_only_when_its_heartbeat_is_old(stage: Stage, elsewhere: _Elsewhere) -> None:
    """From here nobody can see whether its process lives."""
    elsewhere.does("take")
    elsewhere.kill()
    with pytest.raises(ClaimedError):
        Claims().take(stage)
    _age(stage, STALE_S + 30)
    Claims().take(stage)
    assert time.time() - stage.claim.stat().st_mtime < STALE_S
