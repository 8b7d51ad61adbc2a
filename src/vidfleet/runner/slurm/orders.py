"""What elements are told: the workload, the settings, where everything lies; and which videos are whose."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidfleet.errors import SetupError
from vidfleet.options import checked
from vidfleet.runner.ledger import RunFolder
from vidfleet.runner.lines import read_task, task_to_plain
from vidfleet.runner.places import stage_of
from vidfleet.runner.reading import open_regular, read_json
from vidfleet.runner.writing import write_whole
from vidfleet.settings import RunSettings
from vidfleet.workloads.base import Workload
from vidfleet.workloads.plain import from_plain, to_plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vidfleet.data import Task
    from vidfleet.runner.slurm.place import Place

SCHEMA = 1
_DEFAULT = RunSettings()


@dataclass(frozen=True, slots=True)
class Orders:
    """Everything that an element has to know but its share."""

    word: str
    """A random word: who reads another has another folder under the same path."""
    root: Path
    base: Path
    """Where everything of the run lies: the root, or ``--output``."""
    workload: Workload
    settings: RunSettings
    name: str
    """Whose outputs these are."""
    fingerprint: str
    """What the results depend on; an element on whose node it is another must not work."""

    def is_alike(self, other: Orders) -> bool:
        """Whether they mean the same work; where elements run, and who follows them, makes no difference."""
        return self._what() == other._what()

    def _what(self) -> tuple[object, ...]:
        work = json.dumps(to_plain(self.workload), sort_keys=True)
        return self.root, self.base, work, _what_matters(self.settings), self.name, self.fingerprint


def _what_matters(settings: RunSettings) -> RunSettings:
    return replace(
        settings, slurm=_DEFAULT.slurm, chunk_minutes=_DEFAULT.chunk_minutes, max_jobs=_DEFAULT.max_jobs,
        detach=_DEFAULT.detach,
    )  # fmt: skip


def write_orders(place: Place, orders: Orders) -> None:
    """Write them down; raises UsageError for a workload that cannot be."""
    plain = {
        "schema": SCHEMA,
        "word": orders.word,
        "user": os.getuid(),
        "root": str(orders.root),
        "base": str(orders.base),
        "workload": to_plain(orders.workload),
        "settings": _settings_to_plain(orders.settings),
        "name": orders.name,
        "fingerprint": orders.fingerprint,
    }
    write_whole(place.orders, json.dumps(plain) + "\n")


def _settings_to_plain(settings: RunSettings) -> dict[str, Any]:
    """Without what has its default."""
    plain = {item.name: getattr(settings, item.name) for item in fields(settings)}
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in plain.items()
        if value != getattr(_DEFAULT, name)
    }


def read_orders(place: Place) -> Orders:
    """Read them; raises SetupError where there are none, or another version's."""
    try:
        plain: dict[str, Any] = read_json(place.orders)
        if plain["schema"] != SCHEMA or plain["user"] != os.getuid():
            raise ValueError("another version's, or another user's")
        return Orders(
            word=str(plain["word"]), root=Path(plain["root"]), base=Path(plain["base"]),
            workload=from_plain(plain["workload"]),
            settings=checked(RunSettings(**plain["settings"])),
            name=str(plain["name"]), fingerprint=str(plain["fingerprint"]),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SetupError(f"{place.orders} cannot be read ({error})") from error


def write_share(place: Place, number: int, tasks: Sequence[Task]) -> None:
    """Write a share's videos down, in the order in which they are to be taken."""
    plain = [{**task_to_plain(task), "target": task.stage.target.name} for task in tasks]
    write_whole(place.share(number), json.dumps({"schema": SCHEMA, "tasks": plain}) + "\n")


def read_share(place: Place, number: int, orders: Orders) -> list[Task]:
    """Read a share's videos; nothing where there is no such share, or it cannot be read just now."""
    try:
        with open_regular(place.share(number)) as file:  # may be larger than other small files
            plain = json.load(file)
        return [_with_stage(item, orders) for item in plain["tasks"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []


def _with_stage(plain: dict[str, Any], orders: Orders) -> Task:
    task = read_task(plain, str(orders.root))
    return replace(task, stage=stage_of(task.video, orders.root, orders.settings, target_name=plain["target"]))


def run_folder(place: Place) -> RunFolder:
    """The run whose folder this is in: the logs of all elements lie there."""
    return RunFolder(place.path.parent)
