"""What runner and worker say to each other survives the pipe, and nothing else is taken for it."""

from __future__ import annotations

import json
import os

import pytest

from vidfleet.data import Evidence
from vidfleet.worker.messages import (
    Cancel,
    Failed,
    Finished,
    Heartbeat,
    LineBuffer,
    Message,
    Progress,
    Ready,
    Start,
    decode,
    encode,
)
from vidfleet.workloads.base import Call, Program, Step, Warm

_ODD = os.fsdecode(b"/data/\xff\xfe new\nline 'q' \xe6\x98\xa0.mp4")

MESSAGES: list[Message] = [
    Start("0.1", Program(("prog", "--in", _ODD), "/x", (("PATH", "/a:/b"), ("A", "="))), _ODD, 1.5, 10.0),
    Start("0.1", Program(("prog",), "/x"), "log", None, 0.0),
    Start(
        "0.1",
        Program(("p", _ODD), "/x", (), Warm((Step("set", "A", _ODD), Step("import", "a.b", "c,d")), True)),
        "",
        None,
        0,
    ),
    Start("0.1", Program(("p", "s.py"), "/x", (), Warm(())), "log", None, 0.0),
    Start("3.2", Call("python", "m:C", ("--a", "b"), _ODD, _ODD, "/folder"), "log", None, 10.0),
    Cancel(0.0),
    Ready(1, "host"),
    Progress("0.1", "faces", 0.5),
    Heartbeat(),
    Finished("0.1", Evidence(exit_status=0, warm=True, cpu_s=1.25, peak_memory_bytes=1 << 40)),
    Failed("0.1", Evidence(signal=9, timed_out=True, message=_ODD, log_tail="a\nb", ended_leftovers=2)),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_every_message_comes_back_as_it_was_sent(message: Message) -> None:
    line = encode(message)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode(line) == message


@pytest.mark.parametrize("line", [
    b"", b"{", b"\xff", b"[]", b"1", b"null", b'"start"', b"{}", b'{"type": "dance"}', b'{"type": []}',
    b'{"type": "cancel"}', b'{"type": "ready", "pid": 1, "host": "h", "more": 1}', b'{"type": "start", "launch": 3}',
    b'{"type": "start", "attempt": "1", "launch": {}, "log": "", "timeout_s": 1, "grace_s": 1}',
    b'{"type": "finished", "attempt": "1", "evidence": {"x": 1}}', b'{"type": "failed", "attempt": "1", "evidence": 5}',
    b'{"type": "start", "launch": {"argv": ["a"], "folder": "", "environment": [1]}}',
    b'{"type": "start", "launch": {"argv": ["a"], "folder": "", "warm": {"steps": [{"kind": "import"}]}}}',
])  # fmt: skip
def test_anything_else_is_a_value_error(line: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its words are json's own, or ours
        decode(line)


def test_nothing_but_plain_json_travels() -> None:
    for message in MESSAGES:
        assert isinstance(json.loads(encode(message).decode("ascii")), dict)


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_lines_are_whole_however_the_bytes_arrive(size: int) -> None:
    data = b"one\n\ntwo\nthree\n \nrest"
    buffer, lines = LineBuffer(), []
    for at in range(0, len(data), size):
        lines += buffer.feed(data[at : at + size])
    assert lines == [b"one", b"two", b"three"]
    assert buffer.feed(b" of it\n") == [b"rest of it"]
