"""Bars as SVG, on a ground of their own, so that they can be read on light and on dark pages."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH, LEFT, RIGHT, TOP, ROW, _FOOT = 1000, 330, 210, 64, 34, 16
BAR = 20
_GROUND, TEXT, SOFT = "#fbfaf7", "#222", "#555"
_OURS, _OURS_EDGE, _PEER, _PEER_EDGE = "#74ad82", "#4f8a5e", "#d9d4c8", "#b9b2a3"
_BREAK = 12
"""Pixels of the gap that says that a bar is longer than the picture."""


@dataclass(frozen=True)
class Bar:
    """One system's bar."""

    label: str
    value: float
    shown: str
    """The value in words, at the bar's end."""
    is_ours: bool


def bar_chart(title: str, subtitle: str, bars: Sequence[Bar], *, most: float) -> str:
    """An SVG. What is longer than ``most`` is cut, with a gap in the bar; below zero counts as zero."""
    height = TOP + ROW * len(bars) + _FOOT
    parts = opening(title, subtitle, height, "; ".join(f"{bar.label} {bar.shown}" for bar in bars))
    for row, bar in enumerate(bars):
        parts += _one_bar(bar, TOP + row * ROW, most)
    return "\n".join([*parts, "</svg>"]) + "\n"


def opening(title: str, subtitle: str, height: int, told: str) -> list[str]:
    """An SVG's beginning: ground, title and subtitle; ``told`` is what it shows, for those who cannot see it."""
    return [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'width="{WIDTH}" height="{height}" '
            'role="img" aria-labelledby="title" font-family="Helvetica, Arial, sans-serif" font-size="15">'
        ),
        f'<title id="title">{escape(title)}: {escape(told)}</title>',
        f'<rect width="{WIDTH}" height="{height}" rx="10" fill="{_GROUND}"/>',
        f'<text x="24" y="30" fill="{TEXT}" font-weight="bold">{escape(title)}</text>',
        f'<text x="24" y="50" fill="{SOFT}" font-size="13">{escape(subtitle)}</text>',
    ]


def bar_length(value: float, most: float) -> float:
    """Pixels, between 1 and the room that there is."""
    room = WIDTH - LEFT - RIGHT
    return min(max(value / most * room, 1.0), float(room))


def _one_bar(bar: Bar, top: float, most: float) -> list[str]:
    fill, edge = (_OURS, _OURS_EDGE) if bar.is_ours else (_PEER, _PEER_EDGE)
    weight = ' font-weight="bold"' if bar.is_ours else ""
    length, middle, y = bar_length(bar.value, most), top + ROW / 2 + 5, top + (ROW - BAR) / 2
    parts = [
        f'<text x="{LEFT - 12}" y="{middle}" text-anchor="end" fill="{TEXT}"{weight}>{escape(bar.label)}</text>',
        f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" rx="3" fill="{fill}" stroke="{edge}"/>',
    ]
    if bar.value > most:
        x = LEFT + length - 50
        parts.append(f'<path d="M{x} {y + BAR + 2}l8 -{BAR + 4}h{_BREAK}l-8 {BAR + 4}z" fill="{_GROUND}"/>')
    parts.append(f'<text x="{LEFT + length + 10:.1f}" y="{middle}" fill="{TEXT}"{weight}>{escape(bar.shown)}</text>')
    return parts
