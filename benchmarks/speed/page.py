"""Writes docs/performance.md and its charts from ``benchmarks/results/``: ``python -m benchmarks.speed.page``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import sam2_page
from benchmarks.pipeline import page as pipeline_page
from benchmarks.speed import sections
from benchmarks.speed.tables import paragraph, table

if TYPE_CHECKING:
    from collections.abc import Callable

RESULTS = Path(__file__).resolve().parents[1] / "results"
DOCS = RESULTS.parents[1] / "docs"
SECTIONS: dict[str, Callable[[dict[str, Any]], str]] = {
    "noop": sections.noop,
    "makespan": sections.makespan,
    "warm": sections.warm,
    "threads": sections.threads,
    "growth": sections.growth,
}
CHARTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "noop": sections.noop_chart,
    "makespan": sections.makespan_chart,
    "warm": sections.warm_chart,
}
HEAD = """\
# How fast runners are

Written by `make bench` out of `benchmarks/results/`; what was run is in `benchmarks/speed/`. Every system was run in
turns with the others (A B C, A B C, ...) on one machine; the figures are medians, with the least and the most of all
turns in brackets. The load before each turn is in the files. What runners do when something changes, dies or fails is
another page: [behaviour.md](behaviour.md). What the built-in pipeline costs stands at the end, and in full in
[performance-pipeline.md](performance-pipeline.md).
"""


def read(results: Path, name: str) -> dict[str, Any] | None:
    """One part's file, where there is one; None as well where it does not say when and where it was measured."""
    path = results / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found if "machine" in found else None


def make_page(results: Path = RESULTS) -> str:
    """The page, of the parts that were measured."""
    found = {name: part for name in SECTIONS if (part := read(results, name))}
    parts = [HEAD]
    if found:
        parts.append(measured(found))
    parts += [SECTIONS[name](part) for name, part in found.items()]
    missing = [name for name in SECTIONS if name not in found]
    if missing:
        parts.append(f"Not measured so far: {', '.join(missing)}.")
    parts += [pipeline_page.summary(results), sam2_page.summary(results)]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def measured(found: dict[str, dict[str, Any]]) -> str:
    """When, where, at which load, and of which versions."""
    rows = []
    for name, part in found.items():
        loads = [turn["load"] for turn in part["turns"]] or [part["load_before"]]
        machine = part["machine"]
        where = f"{machine['cores']} cores of {machine['processor']}, {machine['memory_gib']} GiB"
        how = " (a quick look at small sizes)" if part.get("quick") else ""
        rows.append([
            f"{name}{how}", part["date"], f"{part['repeats']}", f"{min(loads):.1f} to {max(loads):.1f}",
            f"{part['took_s']} s", f"{part['vidfleet']} at `{part['commit']}`", where,
        ])  # fmt: skip
    newest = max(found.values(), key=lambda part: str(part["date"]))
    versions = ", ".join(f"{name} {version}" for name, version in newest["versions"].items())
    about = newest["machine"]
    text = f"No GPU is used. Python {about['python']}, {about['system']}. Beside vidfleet: {versions}."
    head = ["", "measured", "turns", "load before", "took", "vidfleet", "machine"]
    return f"{table(head, rows)}\n\n{paragraph(text)}"


def write_charts(results: Path, docs: Path) -> None:
    for name, chart in CHARTS.items():
        if part := read(results, name):
            (docs / f"performance-{name}.svg").write_text(chart(part))


def write_page() -> None:
    write_charts(RESULTS, DOCS)
    (DOCS / "performance.md").write_text(make_page())


if __name__ == "__main__":
    write_page()
