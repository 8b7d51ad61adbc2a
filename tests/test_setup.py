"""Setting up on a fresh machine: where it cannot work, it says so in a sentence."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "tools" / "make_venv.sh"
TOO_OLD = """#!/bin/sh
[ "$1" = --version ] && echo 'Python 3.9.2'
exit 1
"""
WITHOUT_VENV = f"""#!/bin/sh
[ "$1" = -m ] && {{ mkdir -p .venv/half; exit 1; }}
exec '{sys.executable}' "$@"
"""


@pytest.mark.parametrize(
    ("interpreter", "sentence"),
    [
        (TOO_OLD, "vidfleet needs Python 3.11 or newer"),
        (WITHOUT_VENV, "apt install python3-venv"),
    ],
)
def test_a_python_that_will_not_do_is_named(tmp_path: Path, interpreter: str, sentence: str) -> None:
    (tmp_path / "tools").mkdir()
    shutil.copy(SCRIPT, tmp_path / "tools")
    python = tmp_path / "python"
    python.write_text(interpreter)
    python.chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", "tools/make_venv.sh", "demo"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHON": str(python)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert sentence in done.stderr
    assert not (tmp_path / ".venv").exists()
