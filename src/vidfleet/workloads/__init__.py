"""What runs on a video: an unmodified script, any program, or a class that stays loaded.

Names are looked up when they are first used: a lane's worker needs ``base`` alone, and starts 10 ms sooner for it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vidfleet.workloads.base import Description, Workload
    from vidfleet.workloads.command import Command
    from vidfleet.workloads.python_class import BUILT_IN, PythonClass
    from vidfleet.workloads.script import Script

_HOME = {
    "BUILT_IN": "python_class",
    "Command": "command",
    "Description": "base",
    "PythonClass": "python_class",
    "Script": "script",
    "Workload": "base",
}

__all__ = ["BUILT_IN", "Command", "Description", "PythonClass", "Script", "Workload"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module's attribute may be anything
    """Import a public name where it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module 'vidfleet.workloads' has no attribute {name!r}")
    return getattr(import_module(f"vidfleet.workloads.{_HOME[name]}"), name)
