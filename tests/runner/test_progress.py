"""What a person watches: honest times, harmless names, and never the end of a run."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING, TextIO

import pytest
from rich.cells import cell_len

from vidfleet.runner.events import (
    AttemptEnded,
    AttemptProgress,
    AttemptStarted,
    LaneLost,
    Notice,
    RunEnded,
    RunStarted,
    VideoEnded,
)
from vidfleet.runner.show.board import Board
from vidfleet.runner.show.lanes_view import LanesView, Screen
from vidfleet.runner.show.progress import LiveDisplay, PlainDisplay, choose_display
from vidfleet.runner.text import about, clock, ends, fit_end, fit_start, length, one_line, printable, signature

if TYPE_CHECKING:
    from pathlib import Path

    from tests.runner.conftest import MadeUp
    from vidfleet.data import Task


class Terminal(io.StringIO):
    """Says that it is one."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("LINES", "40")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


def started(made_up: MadeUp, *tasks: Task, lanes: int = 2) -> Board:
    """A board at second 0 with these videos waiting."""
    board = Board()
    board.apply(RunStarted("/data/video", "w", made_up.lanes(lanes), tasks, ()), 0.0)
    return board


def finish(board: Board, made_up: MadeUp, task: Task, lane: int, *, seconds: float) -> None:
    """A video that ran ``seconds`` on ``lane``, done."""
    where = made_up.lanes(lane + 1)[lane]
    board.apply(AttemptStarted(task, where, 1), 0.0)
    board.apply(AttemptEnded(task, made_up.attempt(where, seconds=seconds), will_retry=False), seconds)
    board.apply(VideoEnded(task, made_up.outcome(task.video.relative, "done")), seconds)


def test_nothing_is_promised_before_anything_is_known(made_up: MadeUp) -> None:
    board = started(made_up, made_up.task("a.mp4"), made_up.task("b.mp4"))
    assert board.remaining_s(5.0) is None
    board.apply(AttemptStarted(made_up.task("a.mp4"), made_up.lanes(1)[0], 1), 0.0)
    assert board.remaining_s(100.0) is None
    assert about(None) == "…"


def test_remaining_time_goes_by_costs_and_not_by_counts(made_up: MadeUp) -> None:
    small, huge = [made_up.task(f"{n}.mp4", cost=10) for n in range(9)], made_up.task("huge.mp4", cost=1000)
    board = started(made_up, *small, huge, lanes=1)
    for task in small:
        finish(board, made_up, task, 0, seconds=10.0)
    assert board.remaining_s(90.0) == pytest.approx(1000.0)
    assert board.share_done(90.0) == pytest.approx(90 / 1090)


def test_one_huge_video_sets_the_end_however_many_lanes_are_free(made_up: MadeUp) -> None:
    huge, done = made_up.task("huge.mp4", cost=1000), made_up.task("done.mp4", cost=10)
    small = [made_up.task(f"{n}.mp4", cost=10) for n in range(8)]
    board = started(made_up, huge, done, *small, lanes=8)
    board.apply(AttemptStarted(huge, made_up.lanes(1)[0], 1), 0.0)
    finish(board, made_up, done, 1, seconds=10.0)
    assert board.remaining_s(10.0) == pytest.approx(990.0)


def test_what_waits_is_dealt_out_over_the_lanes(made_up: MadeUp) -> None:
    done, waiting = made_up.task("done.mp4", cost=10), [made_up.task(f"{n}.mp4", cost=10) for n in range(3)]
    board = started(made_up, done, *waiting, lanes=2)
    finish(board, made_up, done, 0, seconds=20.0)
    assert board.remaining_s(20.0) == pytest.approx(40.0)


def test_thousands_of_waiting_videos_are_dealt_out_evenly(made_up: MadeUp) -> None:
    done = made_up.task("done.mp4", cost=10)
    board = started(made_up, done, *(made_up.task(f"{n}.mp4", cost=10) for n in range(4000)), lanes=4)
    finish(board, made_up, done, 0, seconds=10.0)
    assert board.remaining_s(10.0) == pytest.approx(10000.0, rel=0.01)


def test_time_that_running_videos_have_had_is_counted(made_up: MadeUp) -> None:
    done, running = made_up.task("done.mp4", cost=100), made_up.task("running.mp4", cost=100)
    board = started(made_up, done, running, lanes=2)
    board.apply(AttemptStarted(running, made_up.lanes(2)[1], 1), 0.0)
    finish(board, made_up, done, 0, seconds=100.0)
    due = board.remaining_s(100.0)
    assert due is not None
    assert 10 < due < 40  # half of all such videos would have ended by now, and the others take about a quarter more
    far_overdue = board.remaining_s(3000.0)
    assert far_overdue is not None
    assert far_overdue >= 300  # a tenth of its time more, at least


def test_a_video_that_says_how_far_it_is_is_believed(made_up: MadeUp) -> None:
    running, lane = made_up.task("running.mp4", cost=100), made_up.lanes(1)[0]
    board = started(made_up, running, lanes=1)
    board.apply(AttemptStarted(running, lane, 1), 0.0)
    board.apply(AttemptProgress(running, lane, "faces", 0.25), 30.0)
    assert board.remaining_s(30.0) == pytest.approx(90.0)
    assert board.share_done(30.0) == pytest.approx(0.25)


def test_failures_teach_nothing_about_how_long_a_video_takes(made_up: MadeUp) -> None:
    task, lane = made_up.task("a.mp4"), made_up.lanes(1)[0]
    board = started(made_up, task, made_up.task("b.mp4"))
    board.apply(AttemptStarted(task, lane, 1), 0.0)
    board.apply(AttemptEnded(task, made_up.attempt(lane, seconds=0.1, kind="error"), will_retry=False), 0.1)
    board.apply(VideoEnded(task, made_up.outcome("a.mp4", "failed", "error")), 0.1)
    assert board.remaining_s(1.0) is None


def test_a_video_that_is_tried_again_is_work_to_do(made_up: MadeUp) -> None:
    done, task, lane = made_up.task("done.mp4"), made_up.task("a.mp4"), made_up.lanes(1)[0]
    board = started(made_up, done, task, lanes=1)
    finish(board, made_up, done, 0, seconds=100.0)
    board.apply(AttemptStarted(task, lane, 1), 100.0)
    board.apply(AttemptEnded(task, made_up.attempt(lane, kind="crash"), will_retry=True), 150.0)
    assert board.retries == 1
    assert board.remaining_s(150.0) == pytest.approx(100.0)


def test_an_end_that_was_said_stands_until_it_is_off_by_more_than_a_little(made_up: MadeUp) -> None:
    """Whoever watches sees a clock that goes down, not one that trembles with each video."""
    tasks = [made_up.task(f"{n}.mp4", cost=100) for n in range(20)]
    board, lane, now = started(made_up, *tasks, lanes=1), made_up.lanes(1)[0], 0.0
    ends: list[float] = []
    for took_s in (100, 101, 99, 102, 98, 100, 101, 300, 300, 300):
        task = tasks[len(ends)]
        board.apply(AttemptStarted(task, lane, 1), now)
        now += took_s
        board.apply(AttemptEnded(task, made_up.attempt(lane, seconds=took_s), will_retry=False), now)
        board.apply(VideoEnded(task, made_up.outcome(task.video.relative, "done")), now)
        ends.append(now + (board.shown_s(now) or 0))
    assert len({round(end, 3) for end in ends[:7]}) == 1
    assert ends[0] == pytest.approx(2000)
    assert ends[-1] > 2700, "it is corrected where it must be"


HOSTILE = {
    "[red]x[/].mp4": "[red]x[/].mp4",
    "new\nline.mp4": r"new\nline.mp4",
    "\x1b[31mred.mp4": r"\x1b[31mred.mp4",
    "\x9b31mred.mp4": r"\x9b31mred.mp4",
    "\u202egpj.mp4": r"\u202egpj.mp4",
    "\u2067a.mp4": r"\u2067a.mp4",
    "bad\udcff.mp4": r"bad\xff.mp4",
    "sep\u2028.mp4": r"sep\u2028.mp4",
    "日本語.mp4": "日本語.mp4",
    ":smile:.mp4": ":smile:.mp4",
    "👨\u200d👩\u200d👧.mp4": "👨\u200d👩\u200d👧.mp4",
}


@pytest.mark.parametrize(("name", "shown"), HOSTILE.items(), ids=map(ascii, HOSTILE))
def test_a_hostile_name_is_shown_as_text(name: str, shown: str) -> None:
    assert printable(name) == shown


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize(("name", "shown"), HOSTILE.items(), ids=map(ascii, HOSTILE))
def test_no_display_lets_a_name_do_anything(
    made_up: MadeUp, terminal: Terminal, name: str, shown: str, plain: bool
) -> None:
    display = choose_display(terminal, plain=plain, clock=Clock())
    task, lane = made_up.task(name), made_up.lanes(1)[0]
    display.show(RunStarted("/data/video", name, (lane,), (task,), ()))
    display.show(AttemptStarted(task, lane, 1))
    display.show(AttemptProgress(task, lane, name, 0.5))
    display.tick(1001.0)
    display.show(Notice(name))
    display.show(LaneLost(lane, name))
    display.show(AttemptEnded(task, made_up.attempt(lane, kind="error", reason=name), will_retry=True))
    display.show(VideoEnded(task, made_up.outcome(name, "failed", "error", name)))
    display.close()
    written = terminal.getvalue()
    assert shown in written
    assert shown == name or name not in written
    rest = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", rest)
    if plain:
        assert "\x1b" not in written


def test_names_are_cut_by_the_columns_that_they_take() -> None:
    assert fit_start("Frasier/Frasier_02x01.mp4", 12) == "…r_02x01.mp4"
    assert fit_end("active speaker", 9) == "active s…"
    for cells in range(30):
        for text in ("これはとても長い名前のビデオ.mp4", "👨\u200d👩\u200d👧❤️🎬.mp4", "e\u0301" * 20):
            assert cell_len(fit_start(text, cells)) <= cells
            assert cell_len(fit_end(text, cells)) <= cells


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal(made_up: MadeUp, width: int) -> None:
    names = ["日本語の長い長い長い名前" * 9, "a" * 200, "👨\u200d👩\u200d👧" * 30, "short.mp4"]
    tasks = [made_up.task(name) for name in names]
    board, lanes = started(made_up, *tasks, lanes=5), made_up.lanes(5)
    for task, lane in zip(tasks, lanes, strict=False):
        board.apply(AttemptStarted(task, lane, 2), 0.0)
        board.apply(AttemptProgress(task, lane, "active speaker 話者", 0.5), 1.0)
    shown = str(LanesView(board).render(36000.0, Screen(width, 40)))
    assert all(cell_len(line) < width for line in shown.splitlines())


def test_lanes_beyond_the_height_are_summed_up(made_up: MadeUp) -> None:
    board = started(made_up, *(made_up.task(f"{n}.mp4") for n in range(64)), lanes=64)
    for number, lane in enumerate(made_up.lanes(64)):
        board.apply(AttemptStarted(made_up.task(f"{number}.mp4"), lane, 1), 0.0)
    lines = str(LanesView(board).render(1.0, Screen(80, 24))).splitlines()
    assert len(lines) < 24
    assert "… and 46 more lanes, 46 of them busy" in lines


def test_a_lane_shows_video_stage_share_and_time(made_up: MadeUp) -> None:
    told, silent, done = made_up.task("told.mp4"), made_up.task("silent.mp4"), made_up.task("done.mp4")
    board, lanes = started(made_up, told, silent, done, lanes=4), made_up.lanes(4)
    finish(board, made_up, done, 2, seconds=200.0)
    board.apply(AttemptStarted(told, lanes[0], 1), 200.0)
    board.apply(AttemptStarted(silent, lanes[1], 2), 200.0)
    board.apply(AttemptProgress(told, lanes[0], "faces", 0.25), 210.0)
    _, first, second, third, *_, total, counts = str(LanesView(board).render(250, Screen(120, 40))).splitlines()
    assert first.split()[:3] == ["gpu:0", "told.mp4", "faces"]
    assert "25 %" in first
    assert "0:50" in first
    assert "silent.mp4 (try 2)" in second
    assert "~" in second
    assert "of ~3:2" in second
    assert third.split() == ["gpu:2", "idle"]
    assert re.search(r"ends about \d\d:\d\d, in 3 min", total)
    assert "1 of 3 done" in counts


def test_stages_of_unlike_length_stand_in_one_column(made_up: MadeUp) -> None:
    board = started(made_up, *(made_up.task(f"{n}.mp4") for n in range(2)))
    for number, (lane, stage) in enumerate(zip(made_up.lanes(2), ("faces", "tracks"), strict=True)):
        board.apply(AttemptStarted(made_up.task(f"{number}.mp4"), lane, 1), 0.0)
        board.apply(AttemptProgress(made_up.task(f"{number}.mp4"), lane, stage, 0.5), 1.0)
    _, first, second, *_ = str(LanesView(board).render(2.0, Screen(60, 20))).splitlines()
    assert first.index("faces") == second.index("tracks")
    assert first.index("50 %") == second.index("50 %")


def test_done_and_left_differ_without_colour(made_up: MadeUp) -> None:
    board = started(made_up, made_up.task("a.mp4"), made_up.task("b.mp4"), lanes=1)
    finish(board, made_up, made_up.task("a.mp4"), 0, seconds=10)
    assert "━─" in str(LanesView(board).render(20, Screen(80, 24)))
    assert "#." in str(LanesView(board).render(20, Screen(80, 24, ascii_only=True)))


def test_a_terminal_gets_lanes_and_everything_else_plain_lines(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(choose_display(terminal), LiveDisplay)
    assert isinstance(choose_display(terminal, plain=True), PlainDisplay)
    assert isinstance(choose_display(io.StringIO()), PlainDisplay)
    assert isinstance(choose_display(None), PlainDisplay)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(choose_display(terminal), PlainDisplay)


def test_no_color_is_obeyed(terminal: Terminal, monkeypatch: pytest.MonkeyPatch, made_up: MadeUp) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    display = choose_display(terminal)
    display.show(RunStarted("/data/video", "w", made_up.lanes(1), (made_up.task(),), ()))
    display.close()
    assert not re.search(r"\x1b\[[0-9;]*3\d", terminal.getvalue())


def test_the_cursor_is_never_left_hidden(terminal: Terminal, made_up: MadeUp) -> None:
    display = choose_display(terminal)
    display.show(RunStarted("/data/video", "w", made_up.lanes(1), (made_up.task(),), ()))
    display.tick(1e10)
    assert terminal.getvalue().rfind("\x1b[?25h") > terminal.getvalue().rfind("\x1b[?25l")
    display.close()
    display.close()


def test_a_failure_is_said_at_once_with_kind_reason_and_log(
    terminal: Terminal, made_up: MadeUp, tmp_path: Path
) -> None:
    display = choose_display(terminal, run_folder=tmp_path)
    task = made_up.task("a.mp4")
    display.show(RunStarted("/data/video", "w", made_up.lanes(1), (task,), ()))
    display.show(VideoEnded(task, made_up.outcome("a.mp4", "failed", "crash", "signal\n11", log="logs/a.mp4.log")))
    display.close()
    said = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    assert f"a.mp4: crash: signal 11  [log: {tmp_path}/logs/a.mp4.log]" in said


def test_plain_lines_tell_starts_ends_and_now_and_then_the_whole(made_up: MadeUp) -> None:
    stream, now = io.StringIO(), Clock()
    display = choose_display(stream, clock=now)
    tasks, lane = [made_up.task(f"{n}.mp4") for n in range(3)], made_up.lanes(1)[0]
    unreadable = tuple(made_up.outcome(f"bad/{n}.avi", "failed", "bad_input", "no video") for n in range(30))
    display.show(RunStarted("/data/video", "w", (lane,), tuple(tasks), unreadable))
    for task in tasks[:2]:
        display.show(AttemptStarted(task, lane, 1))
        display.show(AttemptEnded(task, made_up.attempt(lane, seconds=20), will_retry=False))
        display.show(VideoEnded(task, made_up.outcome(task.video.relative, "done", seconds=20)))
    display.show(AttemptStarted(tasks[2], lane, 1))
    for _ in range(60):
        now.now += 1
        display.tick(now.now)
    display.show(RunEnded(60.0, ""))
    display.close()
    lines = [line[9:] for line in stream.getvalue().splitlines()]
    assert "failed  20 more before the start" in lines
    assert [line for line in lines if "1.mp4" in line] == [
        "start   gpu:0 1.mp4",
        "done    gpu:0 1.mp4  0:20",
    ]
    totals = [line for line in lines if line.startswith("total")]
    assert len(totals) == 1
    assert "2 of 3 ended" in totals[0]
    assert totals[0].endswith("ends in about 5 s")


class Unwritable(io.StringIO):
    """A pipe that nobody reads any more."""

    encoding = "utf-8"

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal
        self.tries = 0

    def isatty(self) -> bool:
        return self._terminal

    def write(self, text: str) -> int:
        self.tries += 1
        raise BrokenPipeError


def show_a_run(stream: TextIO | None, made_up: MadeUp) -> None:
    display = choose_display(stream)
    task, lane = made_up.task(), made_up.lanes(1)[0]
    display.show(RunStarted("/data/video", "w", (lane,), (task,), ()))
    display.show(AttemptStarted(task, lane, 1))
    display.tick(1e10)
    display.show(VideoEnded(task, made_up.outcome("a.mp4", "failed", "error", "x")))
    display.close()


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_broken_pipe_is_harmless_and_silences(
    made_up: MadeUp, is_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Unwritable(terminal=is_terminal)
    show_a_run(stream, made_up)
    assert stream.tries == 1


def test_a_reader_that_goes_away_does_not_change_the_exit_status() -> None:
    program = (
        "import sys; from vidfleet.runner.events import Notice; "
        "from vidfleet.runner.show.progress import choose_display; "
        "display = choose_display(sys.stdout); sys.stdin.read(); "
        "display.show(Notice('x')); display.close(); print('y'); sys.exit(7)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        process.stdin.close()
        assert process.stderr.read() == b""
        assert process.wait() == 7


def test_no_stream_and_a_closed_stream_are_harmless(made_up: MadeUp) -> None:
    closed = io.StringIO()
    closed.close()
    show_a_run(closed, made_up)
    show_a_run(None, made_up)


def test_a_stream_that_cannot_say_a_name_gets_it_escaped(made_up: MadeUp) -> None:
    raw = io.BytesIO()
    display = choose_display(io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    display.show(AttemptStarted(made_up.task("語.mp4"), made_up.lanes(1)[0], 1))
    assert rb"\u8a9e.mp4" in raw.getvalue()


def test_plain_lines_do_not_load_rich() -> None:
    program = (
        "import io, sys; from vidfleet.runner.show.progress import choose_display; "
        "from vidfleet.runner.events import Notice; "
        "choose_display(io.StringIO()).show(Notice('x')); print('rich' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, env={**os.environ}
    )
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("seconds", "as_clock", "as_length"),
    [
        (0.0, "0:00", "0.0 s"),
        (75.0, "1:15", "75 s"),
        (3723.0, "1:02:03", "62 min"),
        (7800.0, "2:10:00", "2 h 10 min"),
        (360000.0, "100:00:00", "4 d 4 h"),
    ],
)
def test_lengths_of_time_are_readable(seconds: float, as_clock: str, as_length: str) -> None:
    assert clock(seconds) == as_clock
    assert length(seconds) == as_length


@pytest.mark.parametrize(
    ("seconds", "guess"), [(1, "about 5 s"), (42, "about 40 s"), (400, "about 7 min"), (7900, "about 2 h 10 min")]
)
def test_a_guess_is_not_finer_than_it_is_known(seconds: float, guess: str) -> None:
    assert about(seconds) == guess


def test_an_end_is_told_by_the_clock_and_no_finer_than_it_is_known() -> None:
    noon = time.mktime((2026, 11, 25, 12, 0, 20, 0, 0, -1))
    assert ends(None, noon) == "end not known yet"
    assert ends(22, noon) == "ends in about 20 s"
    assert ends(1130, noon) == "ends about 12:19, in 19 min"
    assert ends(3900, noon) == "ends about 13:05, in 65 min"
    assert re.fullmatch(r"ends about \w+ 18:00, in 2 d 6 h", ends(54 * 3600, noon))


def test_reasons_that_differ_in_names_and_numbers_are_of_one_sort() -> None:
    first = signature("cannot open /d/a1.mp4 at 0x7f3a after 3.25 s", "/d/a1.mp4", "a1.mp4")
    assert first == signature("cannot open /d/b.mp4 at 0x11 after 12 s", "/d/b.mp4", "b.mp4")
    assert first != signature("cannot close /d/b.mp4 at 0x11 after 12 s", "/d/b.mp4", "b.mp4")


def test_reasons_that_name_stages_are_of_one_sort() -> None:
    """A script that names the file that it was given; each has a stage of its own."""
    one = signature("cannot read /data/a/.vidfleet/dash-d44b862a/video_d44b862a.mp4", "-dash", "video_d44b862a")
    other = signature("cannot read /data/b.c/.vidfleet/e01.x-319c6062/e01.x.mp4", "e01.x")
    aliased = signature("cannot read /tmp/vidfleet-0/8d56d0706b249134/ep01.mp4", "ep01")
    assert one == other == "cannot read …/….mp4"
    assert aliased == signature("cannot read /tmp/vidfleet-0/72aed8710ccc01e6/ep02.mp4", "ep02")
    assert one != signature("cannot open /data/a/.vidfleet/dash-d44b862a/video_d44b862a.mp4", "-dash")


def test_a_reason_of_many_lines_is_shown_on_one() -> None:
    assert one_line("Traceback:\n  File 'x'\n\tValueError: \x1b[2J") == r"Traceback: File 'x' ValueError: \x1b[2J"
