"""The record of one output folder, ``vidfleet.json``: who made it, of what, and what it holds.

It is written last, so a folder that has one is whole. Done comes from records alone: ``runner/changes.py`` compares
a record with the video and the workload of today.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidfleet.data import HELPED, Took
from vidfleet.errors import RecordError
from vidfleet.runner.failures import DONE
from vidfleet.runner.identity import identify
from vidfleet.runner.lines import attempt_for_record
from vidfleet.runner.reading import read_json, read_small
from vidfleet.runner.writing import write_whole

if TYPE_CHECKING:
    from vidfleet.data import Attempt, Task
    from vidfleet.runner.provenance import MadeBy
    from vidfleet.workloads.base import Description, Promise

RECORD_NAME = "vidfleet.json"
_LONGEST_S = 1e7
"""Four months: no attempt takes so long, but clocks are set."""
_to_json = json.JSONEncoder().encode
_LISTS = re.compile(rb'"(?:beside|put_aside)": \[\]')
_NOTHING_BESIDE = frozenset((b'"beside": []', b'"put_aside": []'))
SCHEMA = 2
"""1: without sidecars, whole hash, packages and what was put aside; read as if there were none of them."""


@dataclass(frozen=True, slots=True)
class Record:
    """One folder's record, as it was read."""

    input: Mapping[str, Any]
    workload: Mapping[str, Any]
    outputs: Mapping[str, Any]
    attempts: Sequence[Any] = ()

    @property
    def maker(self) -> str:
        """The workload's name."""
        return str(self.workload["name"])

    @property
    def is_fallback(self) -> bool:
        """Made with less than the workload's best: see ``Description.fallback``."""
        return bool(self.workload.get("fallback", False))

    @property
    def beside(self) -> frozenset[str]:
        """Names of files that were published beside the video."""
        return frozenset(self.outputs.get("beside", ()))

    @property
    def put_aside(self) -> frozenset[str]:
        """Names of somebody else's folders beside the video, in whose place this one came."""
        return frozenset(self.outputs.get("put_aside", ()))

    @property
    def is_adopted(self) -> bool:
        """Somebody else's output, declared to be ours by ``--existing adopt``."""
        return bool(self.outputs.get("adopted", False))

    @property
    def took(self) -> Took | None:
        """What the attempt that made it took, helpers and all, and on what; None where that is not in good order."""
        try:
            last = self.attempts[-1]
            helped = (item for item in last.get("helpers", ()) if item.get("kind") == HELPED)
            seconds = sum(float(item["ended_at"]) - float(item["started_at"]) for item in (last, *helped))
            device = last["device"]["name"] or str(last["lane"]).partition(":")[0]
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
            return None
        return Took(seconds, str(device)) if last.get("kind") == DONE and 0 < seconds < _LONGEST_S else None


def read_record(folder: Path | str) -> Record | None:
    """The record in ``folder``, or nothing where there is none; raises RecordError where it is damaged."""
    try:
        plain = read_json(f"{folder}/{RECORD_NAME}")
        if plain["schema"] > SCHEMA:
            raise RecordError(
                f"{folder}/{RECORD_NAME} was written by a newer vidfleet (schema {plain['schema']}, known is {SCHEMA})"
            )
        record = Record(plain["input"], plain["workload"], plain["outputs"], plain.get("attempts", ()))
        _check(record)
        return record
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise RecordError(f"{folder}/{RECORD_NAME} cannot be read ({error.strerror})") from error
    except KeyError as error:
        raise RecordError(f"{folder}/{RECORD_NAME} is damaged: it has no {error}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise RecordError(f"{folder}/{RECORD_NAME} is damaged: {error}") from error


def _check(record: Record) -> None:
    """Touch all that we read of a record; raises KeyError, TypeError or AttributeError where it is not so."""
    for name in ("name", "size_bytes", "mtime_ns", "ends_sha256"):
        record.input[name]
    for name in ("name", "fingerprint"):
        record.workload[name]
    record.workload["parts"].keys()
    record.outputs["files"].keys()
    for there in record.outputs["counts"].values():
        there["files"] + there["mtime_ns"]
    if not all(isinstance(name, str) for name in (*record.beside, *record.put_aside, *record.outputs["files"])):
        raise TypeError("a file's name is no text")
    record.input.get("sidecars", {}).keys()


def published_beside(folder: Path | str) -> frozenset[str]:
    """Names of what the output ``folder`` put beside its video, or found in its place; nothing without a record."""
    try:
        if _NOTHING_BESIDE.issubset(_lists(read_small(os.path.join(folder, RECORD_NAME)))):
            return frozenset()  # nearly all are so, and reading one as JSON takes five times as long
        record = read_record(Path(folder))
    except (OSError, ValueError, RecordError):
        return frozenset()
    return record.beside | record.put_aside if record else frozenset()


def _lists(text: bytes) -> set[bytes]:
    """What a record's text says of files beside the video, as it stands there; each name may stand there once only."""
    return set(_LISTS.findall(text)) if text.count(b'"beside"') == text.count(b'"put_aside"') == 1 else set()


def missing_promises(folder: Path | str, promise: Promise) -> list[str]:
    """Promised files that are not there or empty; with no promise, the folder itself must hold something."""
    if os.path.islink(folder):
        return [f"{os.path.basename(folder)}/ (a link is no output)"]
    if promise.files:
        return [name for name in promise.files if not has_content(f"{folder}/{name}")]
    try:
        with os.scandir(folder) as entries:
            return [] if any(entries) else [f"{os.path.basename(folder)}/"]
    except OSError:
        return [f"{os.path.basename(folder)}/"]


@dataclass(frozen=True, slots=True)
class Shown:
    """What stands beside the video because of an output, by name."""

    beside: tuple[str, ...] = ()
    """Published with it."""
    put_aside: tuple[str, ...] = ()
    """Somebody else's, which had its place."""


def make_record(
    task: Task,
    description: Description,
    attempts: tuple[Attempt, ...],
    shown: Shown,
    made_by: MadeBy,
    *,
    content: bool = False,
) -> dict[str, Any]:
    """The record of a finished attempt whose output is in the task's stage; plain JSON values."""
    return {
        **_head(task, description, made_by, content=content),
        "attempts": [attempt_for_record(attempt) for attempt in attempts],
        "environment": made_by.environment(attempts[-1], description),
        "outputs": _outputs(task.stage.output_at, description.promise, shown),
        "vidfleet": dict(made_by.vidfleet),
    }


def make_adopted(
    task: Task, description: Description, old: Record | None, made_by: MadeBy, *, content: bool = False
) -> dict[str, Any]:
    """The record of somebody else's output, taken for what ``description`` would make; nothing was run for it."""
    shown = Shown(tuple(sorted(old.beside)), tuple(sorted(old.put_aside))) if old else Shown()
    return {
        **_head(task, description, made_by, content=content),
        "method": {},
        "attempts": [],
        "environment": {},
        "outputs": {
            **_outputs(task.stage.target, description.promise, shown),
            "adopted": True,
            "adopted_from": old.maker if old else "",
        },
        "vidfleet": dict(made_by.vidfleet),
    }


def _head(task: Task, description: Description, made_by: MadeBy, *, content: bool) -> dict[str, Any]:
    video, probe = task.video, task.probe
    return {
        "schema": SCHEMA,
        "input": {
            **identify(video, content=content, sidecars=description.traits.inputs),
            "duration_s": probe.duration_s,
            "frames": probe.frames,
            "width": probe.width,
            "height": probe.height,
            "codec": probe.codec,
        },
        "workload": {
            "name": description.name,
            "kind": description.kind,
            "fallback": bool(description.fallback),
            "fingerprint": description.fingerprint,
            "parts": dict(description.parts),
            "git_commit": made_by.git_commit(description),
        },
        "method": dict(description.method),
    }


def _outputs(folder: Path | str, promise: Promise, shown: Shown) -> dict[str, Any]:
    return {
        "files": {name: os.stat(f"{folder}/{name}").st_size for name in promise.files},
        "counts": {
            name: {"files": count_files(f"{folder}/{name}"), "mtime_ns": folder_time_ns(f"{folder}/{name}")}
            for name in promise.counted
            if os.path.isdir(f"{folder}/{name}")
        },
        "beside": list(shown.beside),
        "put_aside": list(shown.put_aside),
        "adopted": False,
    }


def write_record(folder: Path | str, record: Mapping[str, Any]) -> None:
    """Write aside, then rename: there is a whole record or none; a line for each of its parts."""
    parts = ",\n".join(f' "{name}": {_to_json(part)}' for name, part in record.items())
    write_whole(f"{folder}/{RECORD_NAME}", f"{{\n{parts}\n}}\n")


def forget_beside(folder: Path, names: Sequence[str]) -> None:
    """Take names out of a record's list of what was published beside the video."""
    plain = read_json(folder / RECORD_NAME)
    plain["outputs"]["beside"] = [name for name in plain["outputs"]["beside"] if name not in names]
    write_record(folder, plain)


def count_files(folder: Path | str) -> int:
    """How many entries ``folder`` has; 0 where there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            return sum(1 for _ in entries)
    except OSError:
        return 0


def folder_time_ns(folder: Path | str) -> int:
    """The folder's modification time: while it stays, no entry came or went. -1 where there is no folder."""
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return -1


def has_content(path: Path | str) -> bool:
    """Whether a file is there and not empty."""
    try:
        return os.stat(path).st_size > 0
    except OSError:
        return False
