"""What a reader needs to know of the pipeline's figures."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from benchmarks.speed.measuring import header

LIBRARIES = ("av", "numpy", "onnxruntime", "opencv-python-headless", "scenedetect-headless")


def about(repeats: int) -> dict[str, Any]:
    """When, where, of what, and with which libraries."""
    return header(repeats, {name: version(name) for name in LIBRARIES})
