"""Writes docs/behaviour.md from benchmarks/results/behaviour.json, chaos.json and scale.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "behaviour.md"
OURS = "vidfleet"
TITLES = {
    "resume": "What runs again",
    "kill": "What is left when the runner gets a signal",
    "cost": "What a job costs",
}
WORDS = {
    "resume": "The same four videos a second time, after a change. *again* names what ran and need not have, *not run*"
    "\nwhat was skipped and is now out of date.",
    "kill": "A signal to the runner's process alone while two scripts run, each with a child in a session of its own. "
    "What\nis alive six seconds after the runner's end is an orphan, and holds its GPU's memory. gpusched starts each "
    "script\nthrough a shell, which counts too.",
    "cost": "Two lanes, best of three on a busy machine; most of it is Python's own start. vidfleet opens each video,"
    "\nstages, records and publishes it.",
}


def is_good(row: str, value: str, values: list[str]) -> bool:
    """Whether a cell is what one would want in its row; of times the least."""
    if row.startswith("resume"):
        return value == "right"
    if "exit status" in row:
        return value != "0"
    if row.startswith("cost"):
        return float(value) <= min(map(float, values)) * 1.1
    return value == "0"


def table(section: str, rows: dict[str, dict[str, str]], names: list[str]) -> str:
    lines = [f"| | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
    for row, cells in rows.items():
        if row.startswith(section):
            shown = [f"**{cells[n]}**" if is_good(row, cells[n], list(cells.values())) else cells[n] for n in names]
            lines.append(f"| {row.partition(': ')[2]} | {' | '.join(shown)} |")
    return "\n".join(lines)


def behind(rows: dict[str, dict[str, str]]) -> list[str]:
    """Rows in which somebody does better than we do, and who."""
    found = []
    for row, cells in rows.items():
        ours, values = cells[OURS], list(cells.values())
        if row.startswith("cost"):
            winners = [name for name, value in cells.items() if float(value) < float(ours)]
        else:
            winners = [name for name, value in cells.items() if is_good(row, value, values)]
        if winners and not is_good(row, ours, values):
            found.append(f"{row.partition(': ')[2]}: {', '.join(winners)}")
    return found


def read(name: str) -> dict[str, Any] | None:
    path = HERE / "results" / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def compared(found: dict[str, Any]) -> str:
    rows, names = found["rows"], [system["name"] for system in found["systems"]]
    parts = [f"Measured {found['date']}. Bold is what one would want.", ""]
    parts += ["| | version | called as |", "|---|---|---|"]
    parts += [f"| {s['name']} | {s['version']} | `{s['called']}` |" for s in found["systems"]]
    for section, title in TITLES.items():
        parts += ["", f"## {title}", "", WORDS[section], "", table(section, rows, names)]
    lost = behind(rows)
    parts += ["", "Where another does better than vidfleet: " + ("; ".join(lost) + "." if lost else "in no row.")]
    return "\n".join(parts)


def chaos(found: dict[str, Any]) -> str:
    counts = found["counts"]
    promises = ("torn folder", "finished video ran again", "video lost", "orphans", "exit status", "hang", "traceback")
    rows = "\n".join(f"| {name} | {counts.get(name, 0)} |" for name in (*promises, "litter"))
    hits = sum(found["signals_that_hit"].values())
    return (
        f"## {found['runs']} runs, hit at random moments\n\n"
        f"Measured {found['date']}, vidfleet {found['version']}: runs over {found['videos']} videos on one to four "
        f"lanes, {hits} of them hit by\nINT, TERM, HUP or KILL at the runner, a worker, a guard, a script, or runner "
        "and worker at once; then the\nsame command again to its end. `python -m benchmarks.chaos --seed N` repeats "
        f"one.\n\n| broken | times |\n|---|---|\n{rows}"
    )


def scale(found: dict[str, Any]) -> str:
    rows = "\n".join(f"| {row['what']} | {row['value']} | {row['bound']} |" for row in found["rows"])
    return (
        f"## At scale\n\nMeasured {found['date']} on {found['machine']}.\n\n"
        f"| | measured | bound |\n|---|---|---|\n{rows}"
    )


def write_page() -> None:
    parts = [
        "# How runners behave",
        "Written by `make bench-behaviour` out of `benchmarks/results/`; what was run is in `benchmarks/`.",
    ]
    for name, section in (("behaviour", compared), ("chaos", chaos), ("scale", scale)):
        if found := read(name):
            parts.append(section(found))
    PAGE.write_text("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    write_page()
