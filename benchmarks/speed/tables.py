"""Figures as cells, rows as Markdown."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

Row = dict[str, Any]
"""One row out of a part's file."""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; columns after the first to the right where they hold figures alone."""
    columns = [[row[index] for row in rows] for index in range(len(head))]
    lines = ["--:" if index and all(map(is_figure, column)) else "---" for index, column in enumerate(columns)]
    out = [f"| {' | '.join(head)} |", f"|{'|'.join(lines)}|"]
    return "\n".join(out + [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows])


def is_figure(cell: str) -> bool:
    """Whether a cell holds a figure, or nothing."""
    return cell in ("", "—") or cell.strip("*-")[:1].isdigit()


def median(row: Row, field: str) -> float | None:
    """The median of a figure; None where nobody has measured it."""
    return None if row.get(field) is None else float(row[field]["median"])


def number(value: float | None, digits: int = 2) -> str:
    """A figure, or a dash where there is none."""
    if value is None:
        return "—"
    shown = round(value, digits)
    return f"{shown or 0.0:,.{digits}f}"


def spread(row: Row, field: str, digits: int = 2) -> str:
    """``median (least to most)``, or a dash."""
    if row.get(field) is None:
        return "—"
    found = row[field]
    if found["count"] == 1:
        return f"{number(found['median'], digits)} (once)"
    return f"{number(found['median'], digits)} ({number(found['least'], digits)} to {number(found['most'], digits)})"


def failed(row: Row) -> str:
    """What a system said that did not do its work; empty where it did."""
    words = " ".join(str(row.get("trouble") or "").split())
    return f"failed: {words[:150]}" if words else ""


def paragraph(text: str) -> str:
    """A text in lines that fit."""
    return textwrap.fill(" ".join(text.split()), 116, break_long_words=False, break_on_hyphens=False)


def times(ratio: float | None) -> str:
    """How often one goes into the other."""
    return "—" if ratio is None else f"{ratio:.1f} times"


def by_system(rows: Sequence[Row], **conditions: object) -> dict[str, Row]:
    """The rows that meet some conditions, by their system."""
    return {row["system"]: row for row in rows if all(row.get(key) == value for key, value in conditions.items())}


def over(above: float | None, below: float | None) -> float | None:
    """A ratio; None where one of the two was not measured."""
    return None if above is None or not below else above / below
