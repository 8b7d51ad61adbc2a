"""Lanes over time, as SVG: a row for each lane, a bar for each attempt, coloured by its kind.

The drawing stays small however many attempts there were: those too short to be told apart on a screen are drawn
as one bar, and the failures among them as another, in the colour of the most frequent; it says how many they are.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from vidfleet.data import HELPED, Attempt
from vidfleet.runner.text import clock, fit_start, length, plural, printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vidfleet.data import Lane, Summary

_MOST_BARS = 6000
"""Of all lanes together; as many again may be failures."""
_MOST_SLOTS = 600
"""Places on one lane; narrower bars are hard to see."""
_BAR_HEIGHT_PX = 14
_LONGEST_NAME_CELLS = 120
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)
_WANTED_TICKS = 6
KNOWN_KINDS = ("done", "helped", "bad_input", "gpu_memory", "host_memory", "device", "timeout", "crash", "error",
               "missing_output", "setup", "disk_full", "interrupted", "running")  # fmt: skip
"""Those that have a colour of their own in ``report.css``, in the order of the legend."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """An attempt, and the row of its video in the page's table."""

    attempt: Attempt
    name: str
    row: int
    helps: bool = False
    """It was none, but help for another lane's."""


@dataclass(slots=True)
class _Bunch:
    """One attempt, or several that are too short to be told apart."""

    start_at: float
    end_at: float
    pieces: list[_Piece]

    def kinds(self) -> list[tuple[str, int]]:
        """How often there is each kind, the most frequent first."""
        return Counter(piece.attempt.kind for piece in self.pieces).most_common()


def kind_class(kind: str) -> str:
    """The CSS class that gives a kind its colour."""
    return f"k-{kind}" if kind in KNOWN_KINDS else "k-other"


def draw_lanes(summary: Summary, rows: Mapping[str, int]) -> str:
    """HTML of all lanes; ``rows`` gives the row in the table of a video by its relative path."""
    pieces: dict[int, list[_Piece]] = defaultdict(list)
    for outcome in summary.outcomes:
        for attempt in outcome.attempts:
            name = outcome.video.relative
            row = rows.get(name, -1)
            pieces[attempt.lane.index].append(_Piece(attempt, name, row))
            for helper in attempt.helpers:
                pieces[helper.lane.index].append(_Piece(helper, name, row, helps=True))
    lanes = {lane.index: lane for lane in summary.lanes}
    lanes |= {index: found[0].attempt.lane for index, found in pieces.items() if index not in lanes}
    if not pieces:
        return '<p class="quiet">Nothing ran.</p>'
    begin = min(summary.started_at, *(p.attempt.started_at for found in pieces.values() for p in found))
    end = max(summary.ended_at, *(p.attempt.ended_at for found in pieces.values() for p in found))
    scale = _Scale(begin, max(end - begin, 1e-3), max(10, min(_MOST_SLOTS, _MOST_BARS // len(lanes))))
    drawn = [_lane(lanes[index], pieces[index], scale) for index in sorted(lanes)]
    return "\n".join(['<div class="lanes">', *drawn, _axis(scale), "</div>"])


@dataclass(frozen=True, slots=True)
class _Scale:
    begin_at: float
    span_s: float
    slots: int

    def slot(self, at: float) -> int:
        return int((at - self.begin_at) / self.span_s * self.slots)

    def percent(self, at: float) -> float:
        return min(max((at - self.begin_at) / self.span_s * 100, 0.0), 100.0)


def _lane(lane: Lane, pieces: Sequence[_Piece], scale: _Scale) -> str:
    busy = min(sum(piece.attempt.seconds for piece in pieces) / scale.span_s, 1.0)
    bars = "".join(_bars(pieces, scale))
    name = escape(printable(lane.label))
    title = escape(f"lane {lane.index}, {printable(lane.device.name or lane.device.kind)}, {lane.threads} threads")
    return (
        f'<span class="lane" title="{title}">{name}</span>'
        f'<svg class="track" width="100%" height="{_BAR_HEIGHT_PX}" role="img" aria-label="{name}: '
        f'{plural(len(pieces), "attempt")}">{bars}</svg><span class="busy" title="share of the time with work">'
        f"{busy:.0%}</span>"
    )


def _bars(pieces: Sequence[_Piece], scale: _Scale) -> list[str]:
    """What is done first, so that a failure is never hidden behind it."""
    bunches: dict[tuple[int, bool], _Bunch] = {}
    ordered = sorted(pieces, key=lambda piece: (piece.attempt.kind != "done", piece.attempt.started_at))
    drawn: list[_Bunch] = []
    for piece in ordered:
        attempt = piece.attempt
        if attempt.seconds / scale.span_s * scale.slots >= 1:
            drawn.append(_Bunch(attempt.started_at, attempt.ended_at, [piece]))
            continue
        key = (scale.slot(attempt.started_at), attempt.kind == "done")
        bunch = bunches.get(key)
        if bunch is None:
            bunches[key] = bunch = _Bunch(attempt.started_at, attempt.ended_at, [])
            drawn.append(bunch)
        bunch.pieces.append(piece)
        bunch.end_at = max(bunch.end_at, attempt.ended_at)
    return [_bar(bunch, scale) for bunch in drawn]


def _bar(bunch: _Bunch, scale: _Scale) -> str:
    left = scale.percent(bunch.start_at)
    width = max(scale.percent(bunch.end_at) - left, 100 / scale.slots)
    left = min(left, 100 - width)
    first, kind = bunch.pieces[0], bunch.kinds()[0][0]
    link = f' data-row="{first.row}"' if len(bunch.pieces) == 1 and first.row >= 0 else ""
    return (
        f'<rect class="{kind_class(kind)}" x="{left:.2f}%" width="{width:.2f}%" height="{_BAR_HEIGHT_PX}"{link}>'
        f"<title>{escape(_words(bunch, scale))}</title></rect>"
    )


def _words(bunch: _Bunch, scale: _Scale) -> str:
    attempt = bunch.pieces[0].attempt
    at = f"{clock(bunch.start_at - scale.begin_at)} to {clock(bunch.end_at - scale.begin_at)}"
    if len(bunch.pieces) > 1:
        kinds = ", ".join(f"{count} {printable(kind).replace('_', ' ')}" for kind, count in bunch.kinds())
        return f"{plural(len(bunch.pieces), 'attempt')}: {kinds}\n{at}"
    kind = printable(attempt.kind).replace("_", " ")
    name = fit_start(printable(bunch.pieces[0].name), _LONGEST_NAME_CELLS)
    if bunch.pieces[0].helps and attempt.kind != HELPED:
        kind = f"help: {kind}"
    again = f", try {attempt.number}" if attempt.number > 1 else ""
    return f"{name}\n{kind}{again}, {at}, {length(attempt.seconds)}"


def _axis(scale: _Scale) -> str:
    step = next((s for s in _STEPS_S if scale.span_s / s <= _WANTED_TICKS), 0)
    step = step or math.ceil(scale.span_s / _WANTED_TICKS / 86400) * 86400
    marks = []
    for number in range(int(scale.span_s / step) + 1):
        left = 100 * number * step / scale.span_s
        anchor = "start" if left < 4 else "end" if left > 96 else "middle"
        marks.append(
            f'<g><line x1="{left:.2f}%" x2="{left:.2f}%" y1="0" y2="4"/>'
            f'<text x="{left:.2f}%" y="15" text-anchor="{anchor}">{clock(number * step)}</text></g>'
        )
    return f'<span></span><svg class="axis" width="100%" height="18" aria-hidden="true">{"".join(marks)}</svg>'
