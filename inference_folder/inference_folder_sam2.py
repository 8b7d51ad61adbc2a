"""The same as inference_folder.py, with SAM 2: python inference_folder_sam2.py --videoFolder DIR."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PYTHON = HERE.parent / ".venv" / "bin" / "python"

try:
    from vidfleet.speakers.folder import main_sam2
except ModuleNotFoundError as missing:
    if (
        (missing.name or "").partition(".")[0] == "vidfleet"
        and PYTHON.exists()
        and Path(sys.prefix) != PYTHON.parents[1]
    ):
        os.execv(PYTHON, [str(PYTHON), str(Path(__file__).resolve()), *sys.argv[1:]])  # noqa: S606 - no shell
    sys.exit(f"{missing}\nvidfleet is not installed for {sys.executable}; this installs it:\n"
             f"  {sys.executable} -m pip install '{HERE.parent}[speakers,sam2]'")  # fmt: skip

if __name__ == "__main__":
    sys.exit(main_sam2(sys.argv[1:]))
