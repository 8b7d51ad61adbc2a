"""Run a script over every video under a folder, each on one GPU: python parallel_runner.py --video_root DIR."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PYTHON = HERE.parent / ".venv" / "bin" / "python"

try:
    from vidfleet.cli import parallel_runner
except ModuleNotFoundError as missing:
    if (
        (missing.name or "").partition(".")[0] == "vidfleet"
        and PYTHON.exists()
        and Path(sys.prefix) != PYTHON.parents[1]
    ):
        os.execv(PYTHON, [str(PYTHON), str(Path(__file__).resolve()), *sys.argv[1:]])  # noqa: S606 - no shell
    sys.exit(f"{missing}\nvidfleet is not installed for {sys.executable}; this installs it:\n"
             f"  {sys.executable} -m pip install '{HERE.parent}[speakers]'")  # fmt: skip

if __name__ == "__main__":
    sys.exit(parallel_runner(HERE))
