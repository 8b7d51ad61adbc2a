"""vidfleet: one inference script, every video under a folder, every GPU of the machine.

``vidfleet.run(root, workload)`` is the whole interface from Python; the command line is one call of it.
Nothing heavy is imported here: names are looked up when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vidfleet.data import Outcome, Summary
    from vidfleet.errors import VidfleetError
    from vidfleet.runner.run import run  # "vidfleet.runner.run" is also a module, and mypy prefers it
    from vidfleet.settings import RunSettings
    from vidfleet.workloads import Command, PythonClass, Script

__version__ = "0.1.0"

_HOME = {
    "Command": "vidfleet.workloads",
    "Outcome": "vidfleet.data",
    "PythonClass": "vidfleet.workloads",
    "RunSettings": "vidfleet.settings",
    "Script": "vidfleet.workloads",
    "Summary": "vidfleet.data",
    "VidfleetError": "vidfleet.errors",
    "run": "vidfleet.runner",
}

__all__ = [
    "Command",
    "Outcome",
    "PythonClass",
    "RunSettings",
    "Script",
    "Summary",
    "VidfleetError",
    "__version__",
    "run",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module's attribute may be anything
    """Import a public name where it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module 'vidfleet' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
