"""Sixty files that are no videos, or odd ones: each gets a kind and a sentence, and the others are done."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support import hostile
from tests.support.hostile import BAD, DONE, Expected

if TYPE_CHECKING:
    from tests.support.fleet import Fleet

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(sys.platform != "linux", reason="devices, sockets, /proc"),
]

_NO_SENTENCE = re.compile(r"Traceback|^\W*Errno\b|Operation not permitted|^\W*\d*\W*$|^\w*Error\W*$|\bNone\b|^\w+$")

_READS = """
    root = os.path.dirname(os.path.realpath(video))
    if stem == "a_plain":  # the others have been found, and wait
        os.remove(os.path.join(root, "vanishing.mp4"))
        with open(os.path.join(root, "growing.mp4"), "ab") as file:
            file.write(bytes(5000))
    open(video, "rb").read()
    leave()
"""


def _sentences(fleet: Fleet) -> dict[str, str]:
    """What the report says of each video that is not done."""
    return {v["video"]: v["reason"] for v in fleet.report()["videos"] if v["state"] not in ("done", "up_to_date")}


def _no_sentence(fleet: Fleet) -> dict[str, str]:
    return {name: text for name, text in _sentences(fleet).items() if _NO_SENTENCE.search(text) or len(text) < 15}


def _wrong(fleet: Fleet, expected: Expected) -> dict[str, object]:
    """What came out otherwise, with what was said of it."""
    outcomes, said = fleet.outcomes(), _sentences(fleet)
    return {
        name: (outcomes.get(name), "expected", expected.get(name), said.get(name))
        for name in sorted({*outcomes, *expected})
        if outcomes.get(name) != expected.get(name)
    }


def test_sixty_hostile_inputs_through_one_run(fleet: Fleet) -> None:
    """Right state, right kind, a sentence each; the good ones are done; nothing that a playlist names is touched."""
    root = fleet.root
    expected = hostile.cut_off(root) | hostile.no_videos(root) | hostile.damaged(root) | hostile.odd_but_good(root)
    for number in range(10_000):
        (root / "empty" / str(number)).mkdir(parents=True)
    result = fleet.run("--script", fleet.script("leave()"), "--devices", "cpu:2")
    assert len(expected) >= 60
    assert not _wrong(fleet, expected)
    assert not _no_sentence(fleet)
    assert result.returncode == 1
    assert "Traceback" not in result.stdout
    tried = {event["video"] for event in fleet.events("attempt_started")}
    assert tried == {name for name, outcome in expected.items() if outcome == DONE}
    assert not fleet.processes()


def test_a_video_that_vanishes_and_one_that_grows_during_the_run(fleet: Fleet) -> None:
    """The first is named with the reason; the second is done as it is at its turn."""
    for name in ("a_plain.mp4", "growing.mp4", "vanishing.mp4"):
        fleet.video(name)
    script = fleet.script(_READS)
    result = fleet.run("--script", script, "--devices", "cpu:1", "--schedule", "name")
    assert result.returncode == 1
    outcomes = fleet.outcomes()
    assert outcomes["a_plain.mp4"] == outcomes["growing.mp4"] == DONE
    assert outcomes["vanishing.mp4"][0] == "failed", result.stdout
    assert not _no_sentence(fleet)
    again = fleet.run("--script", script, "--devices", "cpu:1")
    assert again.returncode == 0
    assert "nothing to do" in again.stdout, "it had grown before its turn, and was done as it was then"


def test_what_is_no_file_is_never_opened_and_holds_nobody_up(fleet: Fleet) -> None:
    """A pipe, a socket, a device, links that lead nowhere or to themselves, what may not be read: each is named."""
    fleet.video("plain.mp4")
    expected = hostile.no_files(fleet.root) | {"plain.mp4": DONE}
    (fleet.root / "empty.mp4").mkdir()
    result = fleet.run("--script", fleet.script("leave()"), "--devices", "cpu:1")
    assert not _wrong(fleet, expected), result.stdout
    assert not _no_sentence(fleet)
    assert result.returncode == 1
    for words in ("a named pipe", "a socket", "a link to nowhere, which is not there", "back to itself", "empty.mp4"):
        assert words in result.stdout
    assert {event["video"] for event in fleet.events("attempt_started")} == {"plain.mp4"}
    again = fleet.run("--script", fleet.script("leave()"), "--devices", "cpu:1")
    assert again.returncode == 1, "they are named each time, and nothing runs"
    assert not fleet.events("attempt_started")


def test_the_pipeline_ends_well_on_every_odd_video(fleet: Fleet) -> None:
    """What passes the probe is done, or fails with a sentence; the lane's process outlives them all."""
    expected = hostile.cut_off(fleet.root) | hostile.damaged(fleet.root) | hostile.odd_but_good(fleet.root)
    expected["all_cut_away.mp4"] = BAD  # its header is fine, and its edit list leaves nothing
    result = fleet.run(
        "--models", "embedded", "--frames", "none", "--no-annotated", "--no-crops", "--devices", "cpu:2",
        command="speakers",
    )  # fmt: skip
    assert not _wrong(fleet, expected)
    assert not _no_sentence(fleet)
    assert "Traceback" not in result.stdout
