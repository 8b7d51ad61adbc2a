"""Why a finished output is not current any more: the input, the workload, or the output itself has changed.

Each answer is a few words for people, empty where nothing has changed; equal ones are counted together in a plan.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vidfleet.runner.identity import input_difference
from vidfleet.runner.record import count_files, folder_time_ns, has_content

if TYPE_CHECKING:
    from pathlib import Path

    from vidfleet.data import Video
    from vidfleet.runner.record import Record
    from vidfleet.settings import RunSettings
    from vidfleet.workloads.base import Description, Promise

_MOST_NAMED = 4
_LONGEST_VALUE = 60
_SAID = {"script": "the script's text has changed", "source": "the class's source has changed"}


def difference(record: Record, video: Video, description: Description, folder: Path, settings: RunSettings) -> str:
    """What keeps ``record`` from being current; with ``--keep-stale`` the workload does not."""
    return (
        input_difference(
            record.input,
            video,
            content=settings.fingerprint == "content",
            sidecars=description.traits.inputs,
        )
        or ("" if settings.keep_stale else workload_difference(record, description))
        or output_difference(record.outputs, folder, description.promise)
    )


def workload_difference(record: Record, description: Description) -> str:
    """What has changed in the script, its arguments, or the files that it depends on."""
    if record.workload["fingerprint"] == description.fingerprint:
        return ""
    old: Mapping[str, Any] = record.workload["parts"]
    new: Mapping[str, Any] = json.loads(json.dumps(dict(description.parts)))
    names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    return "; ".join(_explain(name, old.get(name), new.get(name)) for name in names) or "its fingerprint has changed"


def _explain(name: str, old: object, new: object) -> str:
    """One part of the fingerprint, before and now."""
    if name in _SAID:
        return _SAID[name]
    if name == "arguments" and isinstance(old, list) and isinstance(new, list):
        return f"its arguments have changed: {_words(old, new)}"
    if name in ("files", "depends"):
        return _named(_mapping(old), _mapping(new))
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
        return ", ".join(_value(f"{name}.{key}", old.get(key), new.get(key)) for key in keys[:_MOST_NAMED])
    return _value(name, old, new)


def _words(old: Sequence[Any], new: Sequence[Any]) -> str:
    """The words that differ, as ``--minTrack 5 → --minTrack 10``."""
    before, after = [str(word) for word in old], [str(word) for word in new]
    said = []
    for what, i, j, k, m in difflib.SequenceMatcher(a=before, b=after, autojunk=False).get_opcodes():
        if what == "equal":
            continue
        # The flag in front says which argument it is.
        start = 1 if i and k and before[i - 1].startswith("-") else 0
        was, now = " ".join(before[i - start : j]), " ".join(after[k - start : m])
        said.append(f"{_short(was) or 'nothing'} → {_short(now) or 'nothing'}")
    return ", ".join(said[:_MOST_NAMED])


def _named(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Files by name: changed, new, gone."""
    said = [
        f"{_short(name)} {'is new' if name not in old else 'is gone' if name not in new else 'has changed'}"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]
    more = f" and {len(said) - _MOST_NAMED} more files" if len(said) > _MOST_NAMED else ""
    return ", ".join(said[:_MOST_NAMED]) + more


def _value(name: str, old: object, new: object) -> str:
    before, after = json.dumps(old, ensure_ascii=False), json.dumps(new, ensure_ascii=False)
    if len(before) > _LONGEST_VALUE or len(after) > _LONGEST_VALUE:
        return f"{name} has changed"
    return f"{name} has changed: {before} → {after}"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def output_difference(recorded: Mapping[str, Any], folder: Path, promise: Promise) -> str:
    """What was promised and is not there any more."""
    for name in {**recorded["files"], **dict.fromkeys(promise.files)}:
        if not has_content(folder / name):
            return f"{name} is gone or empty"
    for name, there in recorded["counts"].items():
        if folder_time_ns(folder / name) != there["mtime_ns"] and count_files(folder / name) != there["files"]:
            return f"files in {name}/ are gone"
    return ""
