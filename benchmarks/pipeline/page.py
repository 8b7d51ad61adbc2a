"""Writes docs/performance-pipeline.md and its chart from ``benchmarks/results/``: see ``benchmarks.pipeline``.

What was not measured gets no section.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.pipeline import more_sections, sections
from benchmarks.speed.tables import paragraph, table

if TYPE_CHECKING:
    from collections.abc import Callable

RESULTS = Path(__file__).resolve().parents[1] / "results"
DOCS = RESULTS.parents[1] / "docs"
GPU = "what an H100 does for a film is told in [decision 27](decisions/027-hardware.md)"
NAME, CHART = "performance-pipeline.md", "performance-pipeline.svg"
SECTIONS: tuple[tuple[str, Callable[[dict[str, Any]], str]], ...] = (
    ("pipeline_cost", sections.cost),
    ("pipeline_cost", sections.stages),
    ("detect_every", more_sections.detect_every),
    ("memory_by_faces", more_sections.memory_by_faces),
    ("written_cost", more_sections.written_cost),
    ("split_cost", more_sections.split_cost),
    ("pipeline_cost", sections.profile),
    ("lr_asd_cost", more_sections.lr_asd_cost),
)
"""File and section, in the page's order."""
HEAD = """\
# How fast the pipeline is

Written by `python -m benchmarks.pipeline` out of `benchmarks/results/`; what was run is in `benchmarks/pipeline/`. The
ways through a film were measured in turns (A B C, A B C, ...), each turn in a process of its own on one core; the
figures are medians, with the least and the most of all turns in brackets. The load before each turn is in the files.
How fast runners are is another page: [performance.md](performance.md).
"""


def read(results: Path, name: str) -> dict[str, Any] | None:
    """One part's file, where there is one; of one that is a list, this as its rows."""
    path = results / f"{name}.json"
    found: Any = json.loads(path.read_text("utf-8")) if path.exists() else None
    return {"rows": found} if isinstance(found, list) else found


def make_page(results: Path = RESULTS) -> str:
    """The page, of the parts that were measured."""
    parts, about = [HEAD], {}
    for name, section in SECTIONS:
        if found := read(results, name):
            about[name] = found
            parts.append(section(found))
    parts.insert(1, measured(about))
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def measured(about: dict[str, dict[str, Any]]) -> str:
    """When, where, at which load, and of which versions."""
    rows = []
    for name, found in about.items():
        machine = found.get("machine", {})
        loads = [turn["load"] for turn in found.get("turns", [])] or [found.get("load_before")]
        where = f"{machine['cores']} cores of {machine['processor']}, {machine['memory_gib']} GiB" if machine else "—"
        load = "—" if loads[0] is None else f"{min(loads):.1f} to {max(loads):.1f}"
        commit = f"{found['vidfleet']} at `{found['commit']}`" if "commit" in found else "—"
        rows.append([f"`{name}.json`", found.get("date", "—"), load, commit, where])
    versions: dict[str, str] = next((found["versions"] for found in about.values() if "versions" in found), {})
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    head = ["", "measured", "load before", "vidfleet", "machine"]
    text = f"No GPU is used; {GPU}." + (f" {told}." if told else "")
    return f"{table(head, rows)}\n\n{paragraph(text)}"


def summary(results: Path = RESULTS) -> str:
    """A few lines for docs/performance.md; empty where nothing was measured."""
    found = read(results, "pipeline_cost")
    return sections.summary(found) if found else ""


def write_page() -> None:
    if found := read(RESULTS, "pipeline_cost"):
        (DOCS / CHART).write_text(sections.chart(found), "utf-8")
    (DOCS / NAME).write_text(make_page(), "utf-8")


if __name__ == "__main__":
    write_page()
