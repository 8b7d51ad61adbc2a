"""Find who speaks in every video directly in a folder: python inference_folder.py --videoFolder DIR."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PYTHON = HERE.parent / ".venv" / "bin" / "python"

try:
    from vidfleet.speakers.folder import main
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
    sys.exit(main(sys.argv[1:]))
