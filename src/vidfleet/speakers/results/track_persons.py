"""The ``person`` column of ``tracks.csv``, known only after all tracks are."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def fill_persons(path: Path, person_by_track: Mapping[int, str]) -> None:
    """Fill the column: written aside row by row, then renamed. Tracks without a person keep it empty."""
    growing = path.with_name(f".{path.name}.growing")
    with path.open(newline="", encoding="utf-8") as old, growing.open("w", newline="", encoding="utf-8") as new:
        rows = csv.reader(old)
        filled = csv.writer(new, lineterminator="\n")
        header = next(rows)
        filled.writerow(header)
        track, person = header.index("track"), header.index("person")
        for row in rows:
            row[person] = person_by_track.get(int(row[track]), "")
            filled.writerow(row)
    growing.replace(path)
