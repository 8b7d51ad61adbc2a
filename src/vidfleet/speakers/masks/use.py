"""How much masks were asked in a film: ``pywork/tracking.json``, and a line of the record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class MaskUse:
    """In how many shots of a film masks said who is who."""

    shots: int
    by_masks: int
    """In so many of them masks were asked, for some seconds or all of it."""
    frames_by_masks: int
    """So many frames were followed by masks, those included that lead to a doubt."""
    doubts: Mapping[str, int]
    """In how many shots boxes left which doubt: ``meet``, ``break``, ``jump``."""

    def as_told(self, *, model: str, when: str) -> dict[str, Any]:
        """The same for the record and for ``tracking.json``."""
        return {
            "model": model, "when": when, "shots": self.shots, "shots_by_masks": self.by_masks,
            "shots_by_boxes": self.shots - self.by_masks, "frames_by_masks": self.frames_by_masks,
            "doubts": dict(self.doubts),
        }  # fmt: skip


def write_told(path: Path, told: Mapping[str, Any]) -> None:
    """Write ``tracking.json``."""
    path.write_text(json.dumps({"schema": SCHEMA, **told}, indent=1) + "\n", "ascii")
