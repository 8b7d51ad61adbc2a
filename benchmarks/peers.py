"""The other runners that ours is measured beside: where they are, and which versions.

Those of the package index are put into a virtual environment of their own, ``.venv/bench``, the first time they are
asked for; a few hundred MB, most of it PyTorch. GNU parallel and xargs are Debian's.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[1] / ".venv" / "bench"
SCHEDULERS = ("simple_gpu_scheduler==0.1.4", "gpusched==0.4.0")
REQUIREMENTS = (*SCHEDULERS, "ray>=2.60,<3", "joblib>=1.4,<2", "torch==2.13.0", "numpy>=1.26,<3")
"""PyTorch to the digit: a script that imports it is a case of its own, and other versions bring gigabytes."""


class PeerError(Exception):
    """A peer did not do what was asked of it; its own words are the message."""


def tools() -> Path:
    """The folder of the peers' programs, which is made where it is not there or was made for other versions."""
    mark = TOOLS / hashlib.sha256("\n".join(REQUIREMENTS).encode()).hexdigest()[:16]
    if not mark.exists():
        print(f"Setting up the other runners in {TOOLS}; this takes a few minutes.", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(TOOLS)], check=True)
        pip = [str(TOOLS / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *REQUIREMENTS], check=True)
        mark.touch()
    return TOOLS / "bin"


def python() -> str:
    """The interpreter that has Ray, joblib and PyTorch."""
    return str(tools() / "python")


def debian(program: str, package: str) -> str:
    """Where one of Debian's programs is; raises PeerError with the command that installs it."""
    found = shutil.which(program)
    if not found:
        raise PeerError(f"not here: apt install {package}")
    return found


def parallel() -> str:
    """Where GNU parallel is."""
    return debian("parallel", "parallel")


def version_of(program: str, package: str) -> str:
    """What one of Debian's programs calls itself; empty where it is not installed."""
    try:
        command = [debian(program, package), "--version"]
    except PeerError:
        return ""
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return said.splitlines()[0].split()[-1]


def versions() -> dict[str, str]:
    """Of every peer, by its name."""
    listed = subprocess.run(
        [python(), "-m", "pip", "list", "--format=json", "--disable-pip-version-check"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    found = {entry["name"].replace("-", "_").lower(): entry["version"] for entry in json.loads(listed)}
    names = [re.split(r"[=<>]", requirement)[0] for requirement in REQUIREMENTS]
    return {
        "GNU parallel": version_of("parallel", "parallel"),
        "xargs": version_of("xargs", "findutils"),
        **{name: found[name] for name in names},
    }
