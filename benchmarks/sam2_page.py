"""The section of docs/performance.md on SAM 2, out of ``benchmarks/results/sam2_speed.json``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from benchmarks.speed.tables import paragraph, table

if TYPE_CHECKING:
    from pathlib import Path


def summary(results: Path) -> str:
    """The section; nothing where it was not measured."""
    path = results / "sam2_speed.json"
    if not path.exists():
        return ""
    found = json.loads(path.read_text())
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    text = f"""\
        What `--sam2` costs in the seconds in which it is asked ([when](tracking.md#when)): objects followed through
        720p pictures, by models of the published shapes and random weights, which are as fast as trained ones. A
        picture is all of it: from pixels in main memory to full-size masks there. {found["device"]}, {versions},
        bfloat16, {found["date"]}, once (`{found["called"]}`). The authors tell of {found["authors"]["tiny"]} and
        {found["authors"]["large"]} pictures/s for tiny and large on an A100, compiled as a whole.
    """
    rows = [
        [
            row["model"], row["way"], str(row["objects"]), f"{1000 / row['ms']:.0f}",
            f"{row['ms']:.1f} ({row['slow_ms']:.1f})", f"{row['peak_mb']:,}", f"{row['first_s']:.0f}",
        ]
        for row in found["rows"]
    ]  # fmt: skip
    head = ["model", "way", "objects", "pictures/s", "ms, median (90 %)", "GPU memory, MB", "the first 24 pictures, s"]
    after = """\
        Each object is followed by itself, as transformers do it: 6 to 9 ms more for each. The pipeline runs eager;
        compiling takes a minute in each lane, so it pays in runs with hours of hard seconds only, and has no option.
    """
    return f"## SAM 2\n\n{paragraph(text)}\n\n{table(head, rows)}\n\n{paragraph(after)}"
