"""Bars of several parts as SVG, in the manner of ``benchmarks.speed.charts``."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from benchmarks.pipeline.stages import Group
from benchmarks.speed.charts import BAR, LEFT, RIGHT, ROW, SOFT, TEXT, TOP, WIDTH, opening

if TYPE_CHECKING:
    from collections.abc import Sequence


LEGEND = 44
SWATCH = 12


@dataclass(frozen=True)
class Stack:
    """One bar."""

    label: str
    parts: tuple[tuple[Group, float], ...]
    """From left to right."""
    shown: str
    """The whole in words, at the bar's end."""
    is_ours: bool

    @property
    def value(self) -> float:
        """Its length."""
        return sum(value for _, value in self.parts)


def stacked_chart(title: str, subtitle: str, stacks: Sequence[Stack]) -> str:
    """An SVG; the longest bar takes all the room that there is."""
    most = max(stack.value for stack in stacks)
    told = "; ".join(
        f"{stack.label} {stack.shown}: " + ", ".join(f"{group.name} {value:.2f}" for group, value in stack.parts)
        for stack in stacks
    )
    parts = opening(title, subtitle, TOP + ROW * len(stacks) + LEGEND, told)
    for row, stack in enumerate(stacks):
        parts += _one_stack(stack, TOP + row * ROW, (WIDTH - LEFT - RIGHT) / most)
    groups = list(dict.fromkeys(group for stack in stacks for group, _ in stack.parts))
    parts += _legend(groups, TOP + ROW * len(stacks) + 22)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _one_stack(stack: Stack, top: float, pixels: float) -> list[str]:
    weight = ' font-weight="bold"' if stack.is_ours else ""
    middle, y, x = top + ROW / 2 + 5, top + (ROW - BAR) / 2, float(LEFT)
    label = escape(stack.label)
    parts = [f'<text x="{LEFT - 12}" y="{middle}" text-anchor="end" fill="{TEXT}"{weight}>{label}</text>']
    for group, value in stack.parts:
        width = value * pixels
        parts.append(f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{group.colour}"/>')
        x += width
    parts.append(f'<text x="{x + 10:.1f}" y="{middle}" fill="{TEXT}"{weight}>{escape(stack.shown)}</text>')
    return parts


def _legend(groups: Sequence[Group], y: int) -> list[str]:
    parts, x = [], 24.0
    for group in groups:
        parts.append(
            f'<rect x="{x:.0f}" y="{y - SWATCH + 1}" width="{SWATCH}" height="{SWATCH}" fill="{group.colour}"/>'
        )
        parts.append(f'<text x="{x + SWATCH + 6:.0f}" y="{y}" fill="{SOFT}" font-size="13">{escape(group.name)}</text>')
        x += SWATCH + 34 + 7.2 * len(group.name)
    return parts
