"""What a person watches while a run goes on: a line per lane on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol, TextIO

from vidfleet.runner.events import (
    THROUGH,
    AttemptEnded,
    AttemptProgress,
    AttemptStarted,
    HelpStarted,
    LaneJoined,
    LaneLost,
    LaneOut,
    Notice,
    RunStarted,
    VideoEnded,
)
from vidfleet.runner.show.board import Board
from vidfleet.runner.text import HarmlessStream, clock, ends, one_line, plural, printable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vidfleet.data import Outcome
    from vidfleet.runner.events import Event
    from vidfleet.runner.show.lanes_view import LanesView

_SHORTEST_TICK_S = 0.5
_BETWEEN_TOTALS_S = 30.0
_BETWEEN_EQUAL_TOTALS_S = 600.0
_MOST_SETTLED_SHOWN = 10


class Display(Protocol):
    """Something that shows a run; nothing that happens to it ends the run."""

    def show(self, event: Event) -> None:
        """Take in what has just happened."""
        ...

    def tick(self, now: float) -> None:
        """Bring what is shown up to ``now``, seconds since the epoch; called about once a second."""
        ...

    def close(self) -> None:
        """Leave the screen tidy; calling it again does nothing."""
        ...


def choose_display(
    stream: TextIO | None,
    *,
    plain: bool | None = None,
    run_folder: Path | None = None,
    clock: Callable[[], float] = time.time,
) -> Display:
    """Make a moving display for a terminal, and one of plain lines for anything else, or as ``plain`` says.

    ``run_folder`` makes the paths of logs whole. ``clock`` says when an event happens, as ``tick`` does.
    """
    harmless = HarmlessStream(stream)
    if plain is None:
        plain = not harmless.isatty()
    if plain:
        return PlainDisplay(harmless, run_folder=run_folder, clock=clock)
    return LiveDisplay(harmless, run_folder=run_folder, clock=clock)


class PlainDisplay:
    """One line when a video starts or ends, and now and then one for the whole; no control sequences."""

    def __init__(self, stream: HarmlessStream, *, run_folder: Path | None, clock: Callable[[], float]) -> None:
        self._stream, self._run_folder, self._clock = stream, run_folder, clock
        self._board = Board()
        self._last_total_at = clock()
        self._last_total = (0, 0)
        self._second, self._clock_text = -1, ""

    def show(self, event: Event) -> None:
        """Write the event's line, if it has one."""
        now = self._clock()
        self._board.apply(event, now)
        if isinstance(event, AttemptProgress):
            return
        for _, line in describe(event, self._run_folder):
            self._write(line, now)

    def tick(self, now: float) -> None:
        """Write a line for the whole, at most every half minute."""
        total = (self._board.ran, self._board.retries)
        pause = _BETWEEN_EQUAL_TOTALS_S if total == self._last_total else _BETWEEN_TOTALS_S
        if now - self._last_total_at >= pause and self._board.running:
            self._last_total_at, self._last_total = now, total
            share = self._board.share_done(now)
            when = ends(self._board.shown_s(now), now)
            self._write(f"total   {self._counts()}; {share:.0%} of the work; {when}", now)

    def close(self) -> None:
        """Nothing stands open."""
        self._stream.flush()

    def _counts(self) -> str:
        board = self._board
        failed = board.counts["failed"]
        return f"{board.ran} of {board.to_run} ended" + (f", {failed} failed" if failed else "")

    def _write(self, line: str, now: float) -> None:
        if int(now) != self._second:
            self._second, self._clock_text = int(now), time.strftime("%H:%M:%S", time.localtime(now))
        self._stream.write(f"{self._clock_text} {line}\n")
        self._stream.flush()


class LiveDisplay:
    """A line per lane and a total, renewed once a second; what is worth keeping scrolls by above them."""

    def __init__(self, stream: HarmlessStream, *, run_folder: Path | None, clock: Callable[[], float]) -> None:
        from rich.console import Console
        from rich.live import Live

        from vidfleet.runner.show.lanes_view import LanesView

        self._run_folder, self._clock = run_folder, clock
        self._board = Board()
        self._shown_at = 0.0
        self._console = Console(
            file=stream,  # type: ignore[arg-type]  # it writes, flushes and tells its encoding: all that is used
            force_terminal=True,
            markup=False,
            highlight=False,
            emoji=False,
        )
        self._view: LanesView = LanesView(self._board)
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )

    def show(self, event: Event) -> None:
        """Keep what happened; say above the lanes what a person would want to find again."""
        now = self._clock()
        self._board.apply(event, now)
        if isinstance(event, AttemptProgress):
            return
        for style, line in describe(event, self._run_folder):
            if style:
                self._say(line, style)
        if isinstance(event, RunStarted) and event.tasks and not self._live.is_started:
            self._live.start()
            # A runner that is killed cannot bring the cursor back: it is not hidden in the first place.
            self._console.show_cursor(True)
            self._paint(now)

    def tick(self, now: float) -> None:
        """Paint the lanes anew."""
        if self._live.is_started and now - self._shown_at >= _SHORTEST_TICK_S:
            self._paint(now)

    def close(self) -> None:
        """Take the lanes off the screen; what scrolled by stays."""
        if self._live.is_started:
            self._live.stop()

    def _paint(self, now: float) -> None:
        from vidfleet.runner.show.lanes_view import Screen

        self._shown_at = now
        screen = Screen(*self._console.size, self._console.options.ascii_only)
        self._live.update(self._view.render(now, screen), refresh=True)

    def _say(self, line: str, style: str) -> None:
        from rich.text import Text

        head, _, rest = line.partition(" ")
        self._console.print(Text.assemble((head, style), " ", rest), soft_wrap=True)


def describe(event: Event, run_folder: Path | None) -> list[tuple[str, str]]:
    """Write the lines for an event, each with its style; no style: only worth saying where nothing moves."""
    match event:
        case RunStarted():
            return _describe_start(event, run_folder)
        case AttemptStarted(task, lane, number):
            again = f" (try {number})" if number > 1 else ""
            return [("", f"start   {lane.label} {printable(task.video.relative)}{again}")]
        case HelpStarted(task, lane):
            return [("", f"help    {lane.label} {printable(task.video.relative)}")]
        case AttemptEnded(task, attempt, True):
            reason = one_line(attempt.reason)
            return [("yellow", f"retry   {printable(task.video.relative)}: {attempt.kind}: {reason}")]
        case VideoEnded(_, outcome):
            return [_describe_end(outcome, run_folder)]
        case LaneLost(lane, reason):
            return [("yellow", f"lost    lane {lane.label}: {one_line(reason)}; it is started again")]
        case LaneJoined(lane):
            return [("green", f"joined  lane {lane.label}")]
        case LaneOut(lane, reason) if reason:
            return [("" if reason == THROUGH else "yellow", f"gone    lane {lane.label}: {one_line(reason)}")]
        case Notice(text):
            return [("cyan", f"note    {one_line(text)}")]
    return []


def _describe_start(event: RunStarted, run_folder: Path | None) -> list[tuple[str, str]]:
    settled = [outcome for outcome in event.settled if outcome.state in ("failed", "blocked")]
    up_to_date = sum(outcome.state == "up_to_date" for outcome in event.settled)
    lanes = sum(not lane.spare for lane in event.lanes)
    parts = [
        plural(len(event.tasks), "video") + (f" on {plural(lanes, 'lane')}" if lanes else ""),
        f"{up_to_date} up to date" if up_to_date else "",
        f"{len(settled)} cannot run" if settled else "",
    ]
    lines = [("bold", f"run     {one_line(event.workload)}: " + ", ".join(filter(None, parts)))]
    failed = [outcome for outcome in settled if outcome.state == "failed"]
    lines += [_describe_end(outcome, run_folder) for outcome in failed[:_MOST_SETTLED_SHOWN]]
    if len(failed) > _MOST_SETTLED_SHOWN:
        lines.append(("red", f"failed  {len(failed) - _MOST_SETTLED_SHOWN} more before the start"))
    return lines


_STYLES = {"failed": "bold red", "blocked": "magenta", "interrupted": "yellow"}


def _describe_end(outcome: Outcome, run_folder: Path | None) -> tuple[str, str]:
    """``done    a.mp4  3:12``, or with kind, reason and log where it failed."""
    lane = f"{outcome.attempts[-1].lane.label} " if outcome.attempts else ""
    name = lane + printable(outcome.video.relative)
    took = f"  {clock(sum(a.seconds for a in outcome.attempts))}" if outcome.attempts else ""
    why = ": ".join(filter(None, (outcome.kind, one_line(outcome.reason))))
    line = f"{outcome.state:<7} {name}" + (f": {why}" if why else took)
    if outcome.log and outcome.state == "failed":
        log = run_folder / outcome.log if run_folder else outcome.log
        line += f"  [log: {printable(str(log))}]"
    return _STYLES.get(outcome.state, ""), line
