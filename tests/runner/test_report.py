"""What a run leaves to read: report.json, the summary, and the status of a run that goes on."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from vidfleet.data import Evidence, Outcome, Summary
from vidfleet.runner.events import AttemptEnded, AttemptProgress, AttemptStarted, RunEnded, RunStarted, VideoEnded
from vidfleet.runner.ledger import Ledger, RunFolder
from vidfleet.runner.owner import Owner
from vidfleet.runner.show.report import print_status, print_summary, write_report

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Literal

    from tests.runner.conftest import MadeUp


def summary_of(
    made_up: MadeUp,
    *outcomes: Outcome,
    folder: Path | None = None,
    lanes: int = 1,
    stopped_by: Literal["", "interrupt", "setup", "disk_full"] = "",
    notices: tuple[str, ...] = (),
) -> Summary:
    """A run of 100 seconds."""
    return Summary(outcomes, folder, 1000.0, 1100.0, made_up.lanes(lanes), stopped_by, 2, notices)


def printed(summary: Summary) -> str:
    stream = io.StringIO()
    print_summary(summary, stream)
    return stream.getvalue()


def test_a_run_without_failures_says_what_was_done_and_how_fast(made_up: MadeUp) -> None:
    done = [made_up.outcome(f"{n}.mp4", "done", seconds=40) for n in range(2)]
    text = printed(summary_of(made_up, *done, made_up.outcome("c.mp4", "up_to_date")))
    assert text.startswith("3 videos: 2 done, 1 up to date\n")
    assert "Took 2 min" in text.replace("100 s", "2 min")
    assert "2 seconds of it per second" in text  # twice 100 s of video in 100 s
    assert "Busy: gpu:0 80%" in text
    assert "Failed" not in text
    assert "Blocked" not in text


def test_a_run_with_nothing_to_do_says_so_in_one_line(made_up: MadeUp) -> None:
    text = printed(summary_of(made_up, *(made_up.outcome(f"{n}.mp4", "up_to_date") for n in range(3))))
    assert text == "3 videos: all up to date, nothing to do.\n"


def test_a_few_failures_are_all_named_with_their_logs(made_up: MadeUp, tmp_path: Path) -> None:
    failed = [
        made_up.outcome(f"{n}.mp4", "failed", "error", f"exit status {n}", log=f"logs/{n}.mp4.log") for n in range(3)
    ]
    text = printed(summary_of(made_up, *failed, folder=tmp_path))
    assert text.count("error: exit status") == 1
    assert "[3 videos]" in text
    for number in range(3):
        assert f"    {number}.mp4\n      {tmp_path}/logs/{number}.mp4.log\n" in text


def test_many_failures_are_grouped_and_the_rest_is_counted(made_up: MadeUp, tmp_path: Path) -> None:
    failed = [
        made_up.outcome(f"s/v{n}.mp4", "failed", "error", f"cannot open /data/video/s/v{n}.mp4", log=f"logs/{n}.log")
        for n in range(300)
    ]
    failed += [made_up.outcome(f"t/v{n}.mp4", "failed", "crash", "signal 11") for n in range(60)]
    words = [f"{a}{b}" for a in "ghijkl" for b in "ghijklm"][:40]
    failed += [made_up.outcome(f"u/v{n}.mp4", "failed", "error", word) for n, word in enumerate(words)]
    text = printed(summary_of(made_up, *failed, folder=tmp_path))
    assert len(text.splitlines()) < 50
    assert "Failed (400):" in text
    assert text.index("[300 videos]") < text.index("crash: signal 11  [60 videos]")
    assert "… and 297 more" in text
    assert "… and 34 more of 34 other sorts" in text
    assert str(tmp_path) in text.splitlines()[-1]


def test_a_blocked_reason_is_printed_once_with_an_example(made_up: MadeUp) -> None:
    blocked = [
        made_up.outcome(f"f/x{n}.mp4", "blocked", "foreign", f"/data/video/f/x{n} is somebody else's output")
        for n in range(120)
    ]
    text = printed(summary_of(made_up, *blocked))
    assert text.count("somebody else's output") == 1
    assert "120 videos, such as f/x0.mp4" in text


@pytest.mark.parametrize("coloured", [True, False])
def test_no_name_and_no_reason_is_ever_markup(made_up: MadeUp, coloured: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return coloured

    monkeypatch.setenv("TERM", "xterm")
    stream, name = Stream(), "[red]x[/]\n\x1b[2J\udcff.mp4"
    outcomes = [made_up.outcome(name, "failed", "error", name), made_up.outcome(name, "blocked", "foreign", name)]
    print_summary(summary_of(made_up, *outcomes, notices=(name,)), stream)
    assert r"[red]x[/]\n\x1b[2J\xff.mp4" in stream.getvalue()
    assert "\x1b[2J" not in stream.getvalue()
    assert ("\x1b[" in stream.getvalue()) is coloured


def test_an_interrupted_run_says_how_to_go_on(made_up: MadeUp) -> None:
    outcomes = [made_up.outcome("a.mp4", "interrupted"), made_up.outcome("b.mp4", "not_started")]
    text = printed(summary_of(made_up, *outcomes, stopped_by="interrupt"))
    assert text.startswith("Interrupted.\n2 videos: 1 interrupted, 1 not started\n")
    assert "The same command again runs what is left." in text


def test_many_lanes_are_summed_up(made_up: MadeUp) -> None:
    text = printed(summary_of(made_up, made_up.outcome("a.mp4", "done", seconds=100), lanes=64))
    assert "64 lanes 2% on average, least gpu:1 0%" in text


def test_notices_are_repeated_but_not_endlessly(made_up: MadeUp) -> None:
    notices = ("no driver", "no driver", *(f"warning {n}" for n in range(20)))
    text = printed(summary_of(made_up, made_up.outcome("a.mp4", "done"), notices=notices))
    assert text.count("Note: no driver") == 1
    assert "Note: and 16 more in report.json" in text


def test_the_report_holds_every_video_with_its_attempts(made_up: MadeUp, tmp_path: Path) -> None:
    failed = made_up.outcome("bad\udcff.mp4", "failed", "crash", "signal 11", log="logs/x.log")
    attempt = replace(failed.attempts[0], evidence=Evidence(signal=11, cpu_s=2.5))
    outcomes = [
        replace(failed, attempts=(attempt,)),
        made_up.outcome("a.mp4", "done"),
        made_up.outcome("b.mp4", "up_to_date"),
    ]
    summary = summary_of(made_up, *outcomes, folder=tmp_path, notices=("hello",))
    write_report(summary, tmp_path, root="/data/video", workload="w")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json"]
    plain = json.loads((tmp_path / "report.json").read_text("ascii"))
    assert plain["schema"] == 1
    assert plain["counts"] == {"failed": 1, "done": 1, "up_to_date": 1}
    assert plain["exit_status"] == 1
    first = plain["videos"][0]
    assert first["video"] == "bad\udcff.mp4"
    assert first["kind"] == "crash"
    assert first["attempts"][0]["evidence"] == {"signal": 11, "cpu_s": 2.5}


def test_an_old_report_stays_whole_when_the_new_one_cannot_be_written(made_up: MadeUp, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{}")
    (tmp_path / ".report.json.part").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_report(summary_of(made_up), tmp_path)
    assert (tmp_path / "report.json").read_text() == "{}"


def begin(root: Path, made_up: MadeUp) -> tuple[RunFolder, Ledger]:
    """A run in which one video is done, one has failed, one runs and one waits."""
    folder, lanes = RunFolder.create(root), made_up.lanes(2)
    ledger = Ledger(folder.ledger)
    tasks = tuple(made_up.task(f"{name}.mp4") for name in ("done", "failed", "runs", "waits"))
    failed = made_up.outcome("failed.mp4", "failed", "crash", "signal 11", log="logs/failed.mp4.log")
    ledger.write(RunStarted(str(root), "a script", lanes, tasks, (made_up.outcome("old.mp4", "up_to_date"),)))
    for task in tasks[:2]:
        ledger.write(AttemptStarted(task, lanes[0], 1))
        kind = "done" if task is tasks[0] else "crash"
        ledger.write(AttemptEnded(task, made_up.attempt(lanes[0], kind=kind, seconds=600), will_retry=False))
    ledger.write(VideoEnded(tasks[0], made_up.outcome("done.mp4", "done")))
    ledger.write(VideoEnded(tasks[1], failed))
    ledger.write(AttemptStarted(tasks[2], lanes[1], 1))
    ledger.write(AttemptProgress(tasks[2], lanes[1], "faces", 0.01))
    return folder, ledger


def status_of(root: Path) -> tuple[int, str]:
    stream = io.StringIO()
    return print_status(root, stream), stream.getvalue()


def test_status_shows_a_run_that_goes_on(made_up: MadeUp, tmp_path: Path) -> None:
    folder, ledger = begin(tmp_path, made_up)
    with ledger:
        status, text = status_of(tmp_path)
    assert status == 0
    assert "5 videos: 1 done, 1 failed, 1 running, 1 waiting, 1 up to date" in text
    assert re.search(r"Running for .* s \(process \d+ on .*\): 50%, ends about \d\d:\d\d, in 10 min", text)
    assert "  gpu:0  idle\n" in text
    assert "  gpu:1  runs.mp4: faces, 1%, 0:0" in text
    assert f"crash: signal 11\n    failed.mp4\n      {folder.path}/logs/failed.mp4.log" in text


def test_status_says_when_the_runner_is_gone(made_up: MadeUp, tmp_path: Path) -> None:
    folder, ledger = begin(tmp_path, made_up)
    ledger.__exit__(None, None, None)
    (folder.path / "owner.json").write_text(replace(Owner.me(), start="1").write())
    status, text = status_of(tmp_path)
    assert status == 0
    assert "Its runner is gone" in text
    assert "faces" not in text


def test_status_shows_a_run_that_has_ended(made_up: MadeUp, tmp_path: Path) -> None:
    _, ledger = begin(tmp_path, made_up)
    with ledger:
        ledger.write(RunEnded(700.0, "disk_full"))
    status, text = status_of(tmp_path)
    assert status == 0
    assert "Ended after 12 min, stopped by disk full." in text


def test_status_without_a_run_says_so(tmp_path: Path) -> None:
    status, text = status_of(tmp_path)
    assert status == 1
    assert text.startswith("No run over ")


def test_status_reads_a_run_whose_ledger_is_torn(made_up: MadeUp, tmp_path: Path) -> None:
    folder, ledger = begin(tmp_path, made_up)
    with ledger:
        folder.ledger.write_bytes(folder.ledger.read_bytes()[:-20])
        status, text = status_of(tmp_path)
    assert status == 0
    assert "  gpu:1  runs.mp4: 0:0" in text


def test_programs_that_leave_others_running_are_named(made_up: MadeUp) -> None:
    """Not those that we ended ourselves: that they had children is no news."""

    def ended(name: str, evidence: Evidence) -> Outcome:
        outcome = made_up.outcome(name, "done")
        return replace(outcome, attempts=(replace(outcome.attempts[0], evidence=evidence),))

    leaves = [ended(f"{letter}.mp4", Evidence(exit_status=0, ended_leftovers=2)) for letter in "ab"]
    others = [
        ended("c.mp4", Evidence(exit_status=0)),
        ended("d.mp4", Evidence(exit_status=1, ended_leftovers=9, timed_out=True)),
        ended("e.mp4", Evidence(signal=9, ended_leftovers=9)),
    ]
    assert "still running" not in printed(summary_of(made_up, *others))
    text = printed(summary_of(made_up, *leaves, *others))
    assert "Ended 4 processes that were still running when the attempt at a.mp4 and 1 more was over." in text
