"""What the stages of a run are called on the page, and in which of a bar's parts they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Group:
    """One part of a bar."""

    name: str
    colour: str


DECODING = Group("decoding", "#8f9aa6")
PIXELS = Group("pixels and shots", "#d8bf86")
FINDING = Group("finding faces", "#7fa7c9")
CUTTING = Group("tracks, crops, persons", "#c79a9a")
SCORING = Group("who speaks", "#74ad82")
ELSE = Group("all else", "#d9d4c8")
GROUPS = (DECODING, PIXELS, FINDING, CUTTING, SCORING, ELSE)
REST = "all else"
"""What a whole run takes beyond its stages."""
STAGES: dict[str, tuple[str, Group]] = {
    "pictures": ("decoding pictures", DECODING),
    "pixels": ("making pixels of them", PIXELS),
    "shots": ("where shots begin", PIXELS),
    "faces": ("finding faces", FINDING),
    "tracks": ("joining them to tracks", CUTTING),
    "crops": ("cutting faces out", CUTTING),
    "views": ("choosing good views of a face", CUTTING),
    "identity": ("telling persons apart", CUTTING),
    "portraits": ("portraits for the page", CUTTING),
    "scores": ("who speaks: LR-ASD", SCORING),
    "sound": ("the sound, out of the film", ELSE),
    "speech": ("when anybody speaks", ELSE),
    "words": ("words (none are looked for)", ELSE),
    "files": ("files", ELSE),
    "telling": ("results and page", ELSE),
}
"""By the name in ``time_log.jsonl``, in the page's order."""


def words_for(stage: str) -> str:
    """What a reader calls it; its own name where that is not known."""
    return STAGES[stage][0] if stage in STAGES else REST if stage == REST else f"`{stage}`"


def in_order(stages: set[str]) -> list[str]:
    """The stages as they stand on the page: known ones first, the rest of the run last."""
    known = [stage for stage in STAGES if stage in stages]
    return known + sorted(stages - set(known) - {REST}) + [REST] * (REST in stages)


def by_group(spent: Mapping[str, float]) -> dict[Group, float]:
    """Sum of the stages of each part of a bar."""
    sums = dict.fromkeys(GROUPS, 0.0)
    for stage, value in spent.items():
        sums[STAGES[stage][1] if stage in STAGES else ELSE] += value
    return sums
