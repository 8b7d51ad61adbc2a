# ruff: noqa: UP006
"""Which packages some modules belong to. Standard library only: any Python 3.8 runs it, as ``python packages.py``.

Reads a JSON list of module names from standard input and prints what the interpreter is, and for each name that is
an installed package its version.
"""

from __future__ import annotations

import importlib.metadata as metadata
import json
import platform
import sys
from typing import Dict, List, Set  # noqa: UP035 - Python 3.8


def versions(modules: List[str]) -> Dict[str, str]:
    """Package → version, for top-level modules that come from an installed package."""
    known: Set[str] = set(getattr(sys, "stdlib_module_names", ())) | set(sys.builtin_module_names)
    found: Dict[str, str] = {}
    unknown: Set[str] = set()
    for name in modules:
        if name in known or name.startswith("_"):
            continue
        try:
            found[name] = metadata.version(name)
        except (metadata.PackageNotFoundError, ValueError):
            unknown.add(name)
    if unknown:
        found.update(_by_other_names(unknown))
    return found


def _by_other_names(modules: Set[str]) -> Dict[str, str]:
    """For modules that are called otherwise than their package, such as ``cv2``: looks through all packages."""
    found: Dict[str, str] = {}
    for distribution in metadata.distributions():
        names = (distribution.read_text("top_level.txt") or "").split()
        if not names:
            names = [str(file).split("/")[0].split(".")[0] for file in distribution.files or []]
        if modules & set(names):
            found[str(distribution.metadata["Name"])] = distribution.version
    return found


if __name__ == "__main__":
    answer = {
        "path": sys.executable,
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "packages": dict(sorted(versions(json.load(sys.stdin)).items())),
    }
    sys.stdout.write(json.dumps(answer) + "\n")
