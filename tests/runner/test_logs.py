"""``vidfleet logs``: the log that is meant, or a sentence that says why there is none."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from vidfleet.data import Outcome, Summary
from vidfleet.errors import UsageError
from vidfleet.runner.care.logs import find_log, find_run, print_log
from vidfleet.runner.ledger import RunFolder
from vidfleet.runner.show.report import write_report

if TYPE_CHECKING:
    from pathlib import Path

    from tests.runner.conftest import MadeUp

ODD = "odd\n\x1b[31m\udcff.mp4"


def add_run(root: Path, made_up: MadeUp, *names: str, blocked: tuple[str, ...] = ()) -> RunFolder:
    """A run that has ended, with a log for each of ``names``."""
    run = RunFolder.create(root)
    outcomes: list[Outcome] = []
    for name in names:
        path = run.log_path(made_up.video(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"log of {name!a}")
        outcomes.append(made_up.outcome(name, "done", log=str(path.relative_to(run.path))))
    outcomes += [made_up.outcome(name, "blocked", "foreign", "somebody else's") for name in blocked]
    write_report(Summary(tuple(outcomes), run.path, 1.0, 2.0), run.path, root=str(root), workload="w")
    return run


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("s1/Pilot.mp4", "s1/Pilot.mp4"),
        ("s1/Pilot", "s1/Pilot.mp4"),
        ("Final.mp4", "s2/Final.mp4"),
        ("Final", "s2/Final.mp4"),
        ("inal", "s2/Final.mp4"),
        ("FINAL", "s2/Final.mp4"),
        ("{root}/s2/Final.mp4", "s2/Final.mp4"),
        (ODD, ODD),
        (r"odd\n\x1b[31m\xff.mp4", ODD),
    ],
)
def test_a_video_is_found_by_path_name_or_part(made_up: MadeUp, tmp_path: Path, wanted: str, name: str) -> None:
    add_run(tmp_path, made_up, "s1/Pilot.mp4", "s2/Final.mp4", "s2/Pilot.mp4", ODD)
    found = find_log(tmp_path, wanted.replace("{root}", str(tmp_path)))
    assert found.video == name
    assert found.path.read_text() == f"log of {name!a}"


def test_several_are_listed_and_none_gets_a_hint(made_up: MadeUp, tmp_path: Path) -> None:
    add_run(tmp_path, made_up, "s1/Pilot.mp4", "s2/Pilot.mp4", "s2/Final.mp4")
    with pytest.raises(UsageError, match=r"may mean 2 videos:\n  s1/Pilot.mp4\n  s2/Pilot.mp4"):
        find_log(tmp_path, "Pilot")
    with pytest.raises(UsageError, match=r"no run that is kept knows a video Fianl.mp4; near are\n  s2/Final.mp4"):
        find_log(tmp_path, "Fianl.mp4")


def test_the_newest_run_that_has_a_log_counts_unless_one_is_named(made_up: MadeUp, tmp_path: Path) -> None:
    oldest = add_run(tmp_path, made_up, "a.mp4")
    second = add_run(tmp_path, made_up, "a.mp4", "b.mp4")
    add_run(tmp_path, made_up, "b.mp4", blocked=("a.mp4",))
    assert find_log(tmp_path, "a").run == second.id
    assert find_log(tmp_path, "a", run=oldest.id[-8:]).run == oldest.id
    with pytest.raises(UsageError, match="there is no such run"):
        find_log(tmp_path, "a", run="nonsense")


def test_a_video_that_never_ran_is_explained(made_up: MadeUp, tmp_path: Path) -> None:
    add_run(tmp_path, made_up, blocked=("a.mp4",))
    with pytest.raises(UsageError, match=r"nothing ran for it .blocked: somebody else's"):
        find_log(tmp_path, "a")


def test_without_a_run_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run over"):
        find_run(tmp_path)


@pytest.mark.parametrize("on_terminal", [True, False])
def test_a_log_does_nothing_to_a_terminal(tmp_path: Path, on_terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return on_terminal

    monkeypatch.setenv("TERM", "xterm")
    (tmp_path / "log").write_bytes(b"one\n\x1b[2Jtwo\r\xff\n\tthree")
    stream = Stream()
    print_log(tmp_path / "log", stream)
    assert ("\x1b" in stream.getvalue()) is not on_terminal
    assert stream.getvalue().splitlines()[0] == "one"
    assert r"\xff" in stream.getvalue()
