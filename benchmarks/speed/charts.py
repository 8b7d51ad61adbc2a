"""Bars as SVG, on a ground of their own, so that they can be read on light and on dark pages."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDTH, _LEFT, _RIGHT, _TOP, _ROW, _FOOT = 1000, 330, 210, 64, 34, 16
_BAR = 20
_GROUND, _TEXT, _SOFT = "#fbfaf7", "#222", "#555"
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
    height = _TOP + _ROW * len(bars) + _FOOT
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
            f'width="{_WIDTH}" height="{height}" '
            'role="img" aria-labelledby="title" font-family="Helvetica, Arial, sans-serif" font-size="15">'
        ),
        f'<title id="title">{escape(title)}: {escape("; ".join(f"{bar.label} {bar.shown}" for bar in bars))}</title>',
        f'<rect width="{_WIDTH}" height="{height}" rx="10" fill="{_GROUND}"/>',
        f'<text x="24" y="30" fill="{_TEXT}" font-weight="bold">{escape(title)}</text>',
        f'<text x="24" y="50" fill="{_SOFT}" font-size="13">{escape(subtitle)}</text>',
    ]
    for row, bar in enumerate(bars):
        parts += _one_bar(bar, _TOP + row * _ROW, most)
    return "\n".join([*parts, "</svg>"]) + "\n"


def bar_length(value: float, most: float) -> float:
    """Pixels, between 1 and the room that there is."""
    room = _WIDTH - _LEFT - _RIGHT
    return min(max(value / most * room, 1.0), float(room))


def _one_bar(bar: Bar, top: float, most: float) -> list[str]:
    fill, edge = (_OURS, _OURS_EDGE) if bar.is_ours else (_PEER, _PEER_EDGE)
    weight = ' font-weight="bold"' if bar.is_ours else ""
    length, middle, y = bar_length(bar.value, most), top + _ROW / 2 + 5, top + (_ROW - _BAR) / 2
    parts = [
        f'<text x="{_LEFT - 12}" y="{middle}" text-anchor="end" fill="{_TEXT}"{weight}>{escape(bar.label)}</text>',
        f'<rect x="{_LEFT}" y="{y}" width="{length:.1f}" height="{_BAR}" rx="3" fill="{fill}" stroke="{edge}"/>',
    ]
    if bar.value > most:
        x = _LEFT + length - 50
        parts.append(f'<path d="M{x} {y + _BAR + 2}l8 -{_BAR + 4}h{_BREAK}l-8 {_BAR + 4}z" fill="{_GROUND}"/>')
    parts.append(f'<text x="{_LEFT + length + 10:.1f}" y="{middle}" fill="{_TEXT}"{weight}>{escape(bar.shown)}</text>')
    return parts
