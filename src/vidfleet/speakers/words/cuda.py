"""cuBLAS, which Whisper needs on a GPU: CTranslate2's wheel asks the loader for it by name, and brings none."""

from __future__ import annotations

import ctypes
import importlib.util
from pathlib import Path

CUBLAS = "libcublas.so.12"
_PACKAGE = "nvidia.cublas"
_BEFORE_IT = "libcublasLt.so.12"
"""cuBLAS needs it, and would not find it where only its own path is known."""
HELP = "pip install nvidia-cublas-cu12"


def load_cublas() -> bool:
    """Load cuBLAS for CUDA 12 into this process, so that it is there when it is asked for by name.

    Looked for where the loader looks, then in NVIDIA's own wheel, which lies where no loader looks.
    """
    if _loads(CUBLAS):
        return True
    return any(
        _loads(str(folder / _BEFORE_IT)) and _loads(str(folder / CUBLAS))
        for folder in _wheel_folders()
        if (folder / CUBLAS).is_file()
    )


def _wheel_folders() -> list[Path]:
    try:
        package = importlib.util.find_spec(_PACKAGE)
    except ModuleNotFoundError:  # not even the namespace above it
        return []
    return [Path(place, "lib") for place in (package.submodule_search_locations if package else None) or ()]


def _loads(library: str) -> bool:
    """Load it. By its name it is found whoever loaded it; its symbols stay its own, as those of PyTorch do."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def count_gpus() -> int:
    """How many NVIDIA GPUs this machine has, whatever ``CUDA_VISIBLE_DEVICES`` hides of them."""
    import pynvml

    try:
        pynvml.nvmlInit()
        try:
            return int(pynvml.nvmlDeviceGetCount())
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return 0
