"""A log keeps head and tail of whatever an attempt writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vidfleet.worker import log as module
from vidfleet.worker.log import CappedLog

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEAD_BYTES", 100)
    monkeypatch.setattr(module, "TAIL_BYTES", 50)


def test_what_is_written_is_there_at_once_and_attempts_follow_each_other(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.log"
    log = CappedLog(path)
    log.write(b"one\n")
    assert path.read_bytes() == b"one\n"
    log.close()
    log = CappedLog(path)
    log.write(b"two\n")
    log.close()
    assert path.read_bytes() == b"one\ntwo\n"


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("chunk", [1, 7, 99, 100, 101, 1000])
def test_a_flood_is_kept_at_head_and_tail(tmp_path: Path, chunk: int) -> None:
    data = bytes(ord("a") + i % 26 for i in range(1000))
    log = CappedLog(tmp_path / "a.log")
    for at in range(0, len(data), chunk):
        log.write(data[at : at + chunk])
    assert len(log._tail) <= 50
    log.close()
    assert (tmp_path / "a.log").read_bytes() == data[:100] + b"\n... 850 bytes left out here ...\n" + data[-50:]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("size", [0, 99, 100, 101, 150])
def test_what_fits_into_head_and_tail_is_whole(tmp_path: Path, size: int) -> None:
    log = CappedLog(tmp_path / "a.log")
    log.write(b"x" * size)
    log.close()
    assert (tmp_path / "a.log").read_bytes() == b"x" * size


def test_the_last_lines_are_text_whatever_was_written(tmp_path: Path) -> None:
    log = CappedLog(tmp_path / "a.log")
    assert log.last_lines() == ""
    for number in range(5000):
        log.write(b"line %d\n" % number)
    log.write(b"\xff\xfe broken \xc3\n" + b"y" * 2000)
    lines = log.last_lines(3).splitlines()
    assert lines == ["line 4999", "\\xff\\xfe broken \\xc3", "y" * 500]
    log.close()


def test_a_full_disk_ends_nothing() -> None:
    from pathlib import Path

    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    log = CappedLog(Path("/dev/full"))
    log.write(b"something\n")
    assert log.last_lines() == "something"
    log.close()
