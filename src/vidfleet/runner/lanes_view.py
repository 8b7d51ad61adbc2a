"""The moving part of the screen: a line per lane, and the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from vidfleet.runner.text import about, clock, fit_end, fit_start, one_line, pad, printable

if TYPE_CHECKING:
    from vidfleet.data import Lane
    from vidfleet.runner.board import Board, Running

_BAR_CELLS = 16
_BAR_FROM_CELLS = 96
"""Narrower screens have no room for a bar a lane."""
_LONGEST_STAGE_CELLS = 14
_LONGEST_STAGE_CELLS_NARROW = 9
_NARROW_CELLS = 80
_LINES_BESIDE_LANES = 5
_TIME_CELLS = 7
_EXPECTED_CELLS = 10


class LanesView:
    """Writes the state of a run as text for a screen of a given size."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._stage_cells = 0
        """Only grows, so that columns do not jump."""

    def render(self, now: float, width: int, height: int, *, ascii_only: bool = False) -> Text:
        """All lines, each at most ``width`` - 1 cells; lanes that do not fit are summed up in one."""
        board, width = self._board, max(width - 1, 20)
        lines = Text(no_wrap=True, overflow="crop", end="")
        lines.append("\n")
        rate = board.learnt_rate(now)
        room = max(height - _LINES_BESIDE_LANES, 1)
        shown = board.lanes if len(board.lanes) <= room else board.lanes[: room - 1]
        label_cells = min(max((len(lane.label) for lane in shown), default=3), 12)
        for lane in shown:
            lines.append_text(self._lane_line(lane, rate, now, width, max(label_cells, 5), ascii_only))
            lines.append("\n")
        if len(shown) < len(board.lanes):
            lines.append(fit_end(self._hidden_lanes(len(shown)), width) + "\n", "dim")
        lines.append_text(self._total_line(now, width, max(label_cells, 5), ascii_only))
        lines.append("\n" + fit_end(" " * max(label_cells + 2, 7) + self._counts(now), width))
        return lines

    def _lane_line(
        self, lane: Lane, rate: float | None, now: float, width: int, label_cells: int, ascii_only: bool
    ) -> Text:
        label = pad(fit_end(printable(lane.label), label_cells), label_cells) + "  "
        item = self._board.running.get(lane.index)
        if item is None:
            return Text.assemble((label, "dim"), ("idle", "dim"))
        right = self._right_part(item, rate, now, width, ascii_only)
        again = f" (try {item.number})" if item.number > 1 else ""
        room = width - len(label) - right.cell_len - 2
        # Not every terminal joins emoji: without the joiner all agree on the width.
        shown = printable(item.task.video.relative).replace("\u200d", "")
        name = fit_start(shown, room - len(again))
        return Text.assemble(
            (label, "cyan"), name, (again, "yellow"), " " * (room + 2 - Text(name + again).cell_len), right
        )

    def _right_part(self, item: Running, rate: float | None, now: float, width: int, ascii_only: bool) -> Text:
        """Stage, bar, share, time: as much as there is room for."""
        elapsed, share = now - item.started_at, self._board.share_of(item, rate, now)
        longest = _LONGEST_STAGE_CELLS if width >= _NARROW_CELLS else _LONGEST_STAGE_CELLS_NARROW
        stage = fit_end(one_line(item.stage), longest)
        self._stage_cells = min(max(self._stage_cells, Text(stage).cell_len), longest)
        right = Text()
        if self._stage_cells:
            right.append(pad(stage, self._stage_cells) + "  ", "blue")
        if width >= _BAR_FROM_CELLS:
            right.append_text(_bar(share, _BAR_CELLS, ascii_only)).append("  ")
        told = "" if item.share_done >= 0 else "~"
        right.append((f"{told}{int(share * 100)} %" if share >= 0 else "").rjust(6) + "  ")
        right.append(clock(elapsed).rjust(_TIME_CELLS), "bold")
        if width >= _BAR_FROM_CELLS:
            expected = self._board.expected_s(item, rate) if item.share_done < 0 else None
            right.append((f" of ~{clock(expected)}" if expected else "").ljust(_EXPECTED_CELLS), "dim")
        return right

    def _hidden_lanes(self, shown: int) -> str:
        rest = self._board.lanes[shown:]
        busy = sum(lane.index in self._board.running for lane in rest)
        return f"… and {len(rest)} more lanes, {busy} of them busy"

    def _total_line(self, now: float, width: int, label_cells: int, ascii_only: bool) -> Text:
        share = self._board.share_done(now)
        text = f"  {int(share * 100):3d} %  {about(self._board.remaining_s(now))} left"
        label = pad("total", label_cells) + "  "
        room = max(width - len(label) - len(text), 0)
        return Text.assemble(
            (label, "bold"),
            _bar(share, min(room, 60), ascii_only),
            (fit_end(text, width - len(label)), "bold"),
        )

    def _counts(self, now: float) -> str:
        board = self._board
        counts = board.counts
        done = counts["done"]
        parts = [
            f"{done} of {board.to_run} done",
            f"{counts['failed']} failed" if counts["failed"] else "",
            f"{counts['blocked']} blocked" if counts["blocked"] else "",
            f"{board.retries} tried again" if board.retries else "",
            f"{counts['up_to_date']} up to date" if counts["up_to_date"] else "",
        ]
        return " · ".join([*filter(None, parts), clock(now - board.started_at)])


def _bar(share: float, cells: int, ascii_only: bool) -> Text:
    full, empty = ("#", ".") if ascii_only else ("━", "─")
    done = int(max(min(share, 1.0), 0.0) * cells)
    return Text.assemble((full * done, "green"), (empty * (cells - done), "bright_black"))
