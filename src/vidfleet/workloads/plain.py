"""A workload as plain JSON, and back: for a runner on another machine, which must not be sent a pickle."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from vidfleet.errors import UsageError
from vidfleet.workloads.command import Command
from vidfleet.workloads.python_class import PythonClass
from vidfleet.workloads.script import Script

if TYPE_CHECKING:
    from vidfleet.workloads.base import Workload

_KINDS: dict[str, type[Script | Command | PythonClass]] = {
    "script": Script,
    "command": Command,
    "class": PythonClass,
}


def to_plain(workload: Workload) -> dict[str, Any]:
    """Write a workload down; raises UsageError for one of the caller's own."""
    for kind, made in _KINDS.items():
        if type(workload) is made:
            plain = asdict(workload)
            return {"kind": kind, **{name: str(value) if name == "path" else value for name, value in plain.items()}}
    raise UsageError(
        f"a {type(workload).__name__} cannot be sent to another machine: give a Script, a Command or a PythonClass"
    )


def from_plain(plain: dict[str, Any]) -> Workload:
    """Read what :func:`to_plain` wrote; raises KeyError, TypeError or ValueError where it is anything else."""
    made: type[Any] = _KINDS[plain["kind"]]
    values = {item.name: plain[item.name] for item in fields(made)}
    read: Workload = made(
        **{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    )
    return read
