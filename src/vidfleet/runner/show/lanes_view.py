"""The moving part of the screen: a line per lane, and the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.segment import Segment

from vidfleet.runner.text import about, clock, ends, fit_end, fit_start, one_line, pad, printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from vidfleet.runner.show.board import Board, Running

Span = tuple[str, str]
"""A piece of a line, and its style."""

_BAR_CELLS = 16
_BAR_FROM_CELLS = 88
"""Beside the lane's name; with less there is no room for a bar."""
_STAGE_FROM_CELLS = 45
_CLOCK_FROM_CELLS = 60
_LONGEST_BAR_CELLS = 60
_NARROW_CELLS = 70
_STAGE_CELLS_WIDE, _STAGE_CELLS_NARROW = 14, 9
_LINES_BESIDE_LANES = 5
_TIME_CELLS = 7
_HELPS = "helps "
_EXPECTED_CELLS = 10


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines for rich, finished: 64 lanes as rich's own texts and tables take 12 ms, so 3."""

    lines: tuple[tuple[Span, ...], ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Hand over what is to be written; rich crops it."""
        for place, line in enumerate(self.lines):
            if place:
                yield Segment.line()
            for text, style in line:
                yield Segment(text, console.get_style(style) if style else None)

    def __str__(self) -> str:
        """The bare text."""
        return "\n".join("".join(text for text, _ in line) for line in self.lines)


@dataclass(frozen=True, slots=True)
class Screen:
    """What there is to write on."""

    width: int
    height: int
    ascii_only: bool = False


class LanesView:
    """Writes the state of a run as lines for a screen."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._stage_cells = 0
        """Only grows, so that columns do not jump."""

    def render(self, now: float, screen: Screen) -> Lines:
        """All lines, each shorter than the screen is wide; lanes that do not fit are summed up in one."""
        width = max(screen.width - 1, 20)
        lanes = self._board.lanes
        room = max(screen.height - _LINES_BESIDE_LANES, 1)
        shown = lanes if len(lanes) <= room else lanes[: room - 1]
        label_cells = max(5, min(12, max((len(lane.label) for lane in shown), default=0)))
        self._board.forecast.refresh(now)
        for item in self._board.running.values():
            self._stage_cells = max(self._stage_cells, cell_len(one_line(item.stage)))
        lines: list[tuple[Span, ...]] = [()]
        for lane in shown:
            label = pad(fit_end(printable(lane.label), label_cells), label_cells) + "  "
            beside = Screen(width - len(label), 1, screen.ascii_only)
            if busy := self._board.running.get(lane.index):
                lines.append(((label, "cyan"), *self._lane_line(busy, now, beside)))
            elif helps := self._board.helping.get(lane.index):
                lines.append(((label, "cyan"), *_help_line(helps, now, beside)))
            else:
                lines.append(((label + "idle", "dim"),))
        if len(shown) < len(lanes):
            lines.append(((fit_end(self._hidden_lanes(len(shown)), width), "dim"),))
        lines.append(self._total_line(now, width, label_cells, ascii_only=screen.ascii_only))
        lines.append(((fit_end(" " * (label_cells + 2) + self._counts(now), width), ""),))
        return Lines(tuple(lines))

    def _lane_line(self, item: Running, now: float, screen: Screen) -> tuple[Span, ...]:
        """Video, stage, bar, share, time: as much as there is room for."""
        roomy = screen.width >= _BAR_FROM_CELLS
        longest_stage = _STAGE_CELLS_WIDE if screen.width >= _NARROW_CELLS else _STAGE_CELLS_NARROW
        right = (
            *(self._stage(item, longest_stage) if screen.width >= _STAGE_FROM_CELLS else ()),
            *self._progress(item, now, roomy=roomy, ascii_only=screen.ascii_only),
        )
        again = f" (try {item.number})" if item.number > 1 else ""
        # Not every terminal joins emoji: without the joiner all agree on the width.
        name = printable(item.task.video.relative).replace("\u200d", "")
        room = screen.width - sum(cell_len(text) for text, _ in right) - len(again) - 2
        name = fit_start(name, room)
        return ((name, ""), (again, "yellow"), (" " * (room - cell_len(name) + 2), ""), *right)

    def _stage(self, item: Running, longest: int) -> tuple[Span, ...]:
        cells = min(self._stage_cells, longest)
        return ((pad(fit_end(one_line(item.stage), cells), cells) + "  ", "blue"),) if cells else ()

    def _progress(self, item: Running, now: float, *, roomy: bool, ascii_only: bool) -> tuple[Span, ...]:
        elapsed_s, share = now - item.started_at, self._board.share_of(item, now)
        told = item.share_done >= 0
        percent = f"{'' if told else '~'}{int(share * 100)} %" if share >= 0 else ""
        known: tuple[Span, ...] = ((percent.rjust(6), ""), (clock(elapsed_s).rjust(_TIME_CELLS + 2), "bold"))
        if not roomy:
            return known
        expected_s = None if told else self._board.expected_s(item)
        expected = f" of ~{clock(expected_s)}" if expected_s else ""
        bar = _bar(share, _BAR_CELLS, ascii_only=ascii_only)
        return (*bar, ("  ", ""), *known, (expected.ljust(_EXPECTED_CELLS), "dim"))

    def _hidden_lanes(self, shown: int) -> str:
        rest = self._board.lanes[shown:]
        busy = sum(lane.index in self._board.running or lane.index in self._board.helping for lane in rest)
        return f"… and {len(rest)} more lanes, {busy} of them busy"

    def _total_line(self, now: float, width: int, label_cells: int, *, ascii_only: bool) -> tuple[Span, ...]:
        share = self._board.share_done(now)
        label = pad("total", label_cells) + "  "
        left_s = self._board.shown_s(now)
        when = ends(left_s, now) if width >= _CLOCK_FROM_CELLS or left_s is None else f"{about(left_s)} left"
        text = f"  {int(share * 100):3d} %  {when}"
        text = fit_end(text, width - len(label))
        room = max(width - len(label) - len(text), 0)
        bar = _bar(share, min(room, _LONGEST_BAR_CELLS), ascii_only=ascii_only)
        return ((label, "bold"), *bar, (text, "bold"))

    def _counts(self, now: float) -> str:
        board = self._board
        counts = board.counts
        parts = [
            clock(now - board.started_at),
            f"{counts['done']} of {board.to_run} done",
            f"{counts['failed']} failed" if counts["failed"] else "",
            f"{counts['blocked']} blocked" if counts["blocked"] else "",
            f"{board.retries} tried again" if board.retries else "",
            f"{counts['up_to_date']} up to date" if counts["up_to_date"] else "",
        ]
        return " · ".join(filter(None, parts))


def _help_line(item: Running, now: float, screen: Screen) -> tuple[Span, ...]:
    """How far the video is stands beside the lane that has it; here only which, and for how long, in one column."""
    right = clock(now - item.started_at).rjust(_TIME_CELLS + 2)
    behind = " " * _EXPECTED_CELLS if screen.width >= _BAR_FROM_CELLS else ""
    room = screen.width - len(right) - len(behind) - 2
    name = fit_start(printable(item.task.video.relative).replace("\u200d", ""), room - len(_HELPS))
    gap = " " * (room - len(_HELPS) - cell_len(name) + 2)
    return ((_HELPS, "blue"), (name, ""), (gap, ""), (right, "bold"), (behind, ""))


def _bar(share: float, cells: int, *, ascii_only: bool) -> tuple[Span, Span]:
    """Two lengths that also differ where there is no colour."""
    full, empty = ("#", ".") if ascii_only else ("━", "─")
    done = int(max(min(share, 1.0), 0.0) * cells)
    return (full * done, "green"), (empty * (cells - done), "bright_black")
