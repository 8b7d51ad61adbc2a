"""The record of one output folder, ``vidfleet.json``: who made it, of what, and what it holds.

It is written last, so a folder that has one is whole. Done comes from records alone: ``difference`` compares a
record with the video and the workload of today and names the first thing that differs.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vidfleet.errors import RecordError

if TYPE_CHECKING:
    from pathlib import Path

    from vidfleet.data import Attempt, Task, Video
    from vidfleet.runner.provenance import MadeBy
    from vidfleet.settings import RunSettings
    from vidfleet.workloads.base import Description, Promise

RECORD_NAME = "vidfleet.json"
SCHEMA = 1
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Record:
    """One folder's record, as it was read."""

    input: Mapping[str, Any]
    workload: Mapping[str, Any]
    outputs: Mapping[str, Any]

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


def read_record(folder: Path) -> Record | None:
    """The record in ``folder``, or nothing where there is none; raises RecordError where it is damaged."""
    try:
        plain = json.loads((folder / RECORD_NAME).read_bytes())
        if plain["schema"] > SCHEMA:
            raise RecordError(
                f"{folder / RECORD_NAME} was written by a newer vidfleet (schema {plain['schema']}, known is {SCHEMA})"
            )
        record = Record(plain["input"], plain["workload"], plain["outputs"])
        _check(record)
        return record
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise RecordError(f"{folder / RECORD_NAME} cannot be read ({error.strerror})") from error
    except KeyError as error:
        raise RecordError(f"{folder / RECORD_NAME} is damaged: it has no {error}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise RecordError(f"{folder / RECORD_NAME} is damaged: {error}") from error


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
    if not all(isinstance(name, str) for name in (*record.beside, *record.outputs["files"])):
        raise TypeError("a file's name is no text")


def published_beside(folder: Path) -> frozenset[str]:
    """Names of files that the output ``folder`` put beside its video; nothing where no record tells."""
    try:
        record = read_record(folder)
    except RecordError:
        return frozenset()
    return record.beside if record else frozenset()


def difference(record: Record, video: Video, description: Description, folder: Path, settings: RunSettings) -> str:
    """What keeps ``record`` from being current, in a few words; empty when the folder is done."""
    return (
        _input_difference(record.input, video)
        or _workload_difference(record.workload, description)
        or _output_difference(record.outputs, folder, description.promise)
    )


def _input_difference(recorded: Mapping[str, Any], video: Video) -> str:
    if recorded["name"] != video.path.name:
        return "the video has another name"
    if recorded["size_bytes"] != video.size_bytes:
        return "the video has another size"
    if recorded["mtime_ns"] != video.mtime_ns and recorded["ends_sha256"] != _ends_now(video.path):
        return "the video has another content"
    return ""


def _ends_now(path: Path) -> str:
    try:
        return hash_ends(path)
    except OSError:  # the probe says what is wrong with it
        return "unreadable"


def _workload_difference(recorded: Mapping[str, Any], description: Description) -> str:
    if recorded["fingerprint"] == description.fingerprint:
        return ""
    old, new = recorded["parts"], json.loads(json.dumps(dict(description.parts)))
    changed = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    return f"changed since: {', '.join(changed)}"


def _output_difference(recorded: Mapping[str, Any], folder: Path, promise: Promise) -> str:
    for name in {**recorded["files"], **dict.fromkeys(promise.files)}:
        if not _has_content(folder / name):
            return f"{name} is gone or empty"
    for name, there in recorded["counts"].items():
        if _folder_time_ns(folder / name) != there["mtime_ns"] and count_files(folder / name) != there["files"]:
            return f"files in {name}/ are gone"
    return ""


def missing_promises(folder: Path, promise: Promise) -> list[str]:
    """Promised files that are not there or empty; with no promise, the folder itself must hold something."""
    if promise.files:
        return [name for name in promise.files if not _has_content(folder / name)]
    try:
        with os.scandir(folder) as entries:
            return [] if any(entries) else [f"{folder.name}/"]
    except OSError:
        return [f"{folder.name}/"]


def make_record(
    task: Task,
    description: Description,
    attempts: tuple[Attempt, ...],
    beside: tuple[str, ...],
    made_by: MadeBy,
) -> dict[str, Any]:
    """The record of a finished attempt whose output is in the task's stage; plain JSON values."""
    video, probe, output = task.video, task.probe, task.stage.output
    return {
        "schema": SCHEMA,
        "input": {
            "name": video.path.name,
            "size_bytes": video.size_bytes,
            "mtime_ns": video.mtime_ns,
            "ends_sha256": _ends_as_found(video),
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
        },
        "method": dict(description.method),
        "attempts": [plain_attempt(attempt) for attempt in attempts],
        "environment": _environment(attempts),
        "outputs": {
            "files": {name: (output / name).stat().st_size for name in description.promise.files},
            "counts": {
                name: {"files": count_files(output / name), "mtime_ns": _folder_time_ns(output / name)}
                for name in description.promise.counted
                if (output / name).is_dir()
            },
            "beside": list(beside),
            "adopted": False,
        },
        "vidfleet": dict(made_by.vidfleet),
    }


def _ends_as_found(video: Video) -> str:
    """The hash of its ends; nothing where the video was changed while we worked: no content matches that."""
    try:
        status = video.path.stat()
        found = (status.st_size, status.st_mtime_ns)
        return hash_ends(video.path) if found == (video.size_bytes, video.mtime_ns) else ""
    except OSError:
        return ""


def plain_attempt(attempt: Attempt) -> dict[str, Any]:
    """An attempt as plain JSON values, for record, ledger and report."""
    lane, evidence = attempt.lane, attempt.evidence
    return {
        "number": attempt.number,
        "lane": lane.label,
        "device": {"name": lane.device.name, "uuid": lane.device.uuid, "driver": lane.device.driver},
        "host": attempt.host,
        "started_at": attempt.started_at,
        "ended_at": attempt.ended_at,
        "kind": attempt.kind,
        "reason": attempt.reason,
        "exit_status": evidence.exit_status,
        "signal": evidence.signal,
        "cpu_s": round(evidence.cpu_s, 3),
        "peak_memory_bytes": evidence.peak_memory_bytes,
        "ended_leftovers": evidence.ended_leftovers,
    }


def _environment(attempts: tuple[Attempt, ...]) -> dict[str, Any]:
    last = attempts[-1]
    return {
        "variables": {
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
            "CUDA_VISIBLE_DEVICES": last.lane.device.visible,
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(last.lane.threads)),
        },
    }


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write aside, then rename: there is a whole record or none."""
    aside = folder / f".{RECORD_NAME}.{os.getpid()}"
    aside.write_text(json.dumps(record, indent=1, ensure_ascii=True) + "\n", encoding="ascii")
    aside.replace(folder / RECORD_NAME)


def forget_beside(folder: Path, names: Sequence[str]) -> None:
    """Take names out of a record's list of what was published beside the video."""
    plain = json.loads((folder / RECORD_NAME).read_bytes())
    plain["outputs"]["beside"] = [name for name in plain["outputs"]["beside"] if name not in names]
    write_record(folder, plain)


def hash_ends(path: Path) -> str:
    """SHA-256 of a file's first and last MiB (of all of it up to 2 MiB)."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest.update(file.read(_MIB))
        if size > _MIB:
            file.seek(max(size - _MIB, _MIB))
            digest.update(file.read(_MIB))
    return digest.hexdigest()


def count_files(folder: Path) -> int:
    """How many entries ``folder`` has; 0 where there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            return sum(1 for _ in entries)
    except OSError:
        return 0


def _folder_time_ns(folder: Path) -> int:
    """The folder's modification time: while it stays, no entry came or went. -1 where there is no folder."""
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return -1


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False
