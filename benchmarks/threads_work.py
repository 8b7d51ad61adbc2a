"""A program that works with one library for a while, as a user's script would: it says nothing about threads.

``python threads_work.py LIBRARY UNITS FILE [VIDEO]``: does so many units of work, and writes into FILE how many
threads the process had, and how many cores they might use.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Seen = tuple[int, int]
"""Threads, and the cores that any of them may use."""


def now() -> Seen:
    """Look at this process."""
    threads = os.listdir("/proc/self/task")  # noqa: PTH208 - names, not paths
    cores: set[int] = set()
    for thread in threads:
        cores |= os.sched_getaffinity(int(thread))
    return len(threads), len(cores)


def _numpy() -> Callable[[], Any]:
    import numpy as np

    a = np.random.default_rng(0).random((700, 700))
    return lambda: a @ a


def _scipy() -> Callable[[], Any]:
    import numpy as np
    import scipy.linalg

    a = np.random.default_rng(0).random((600, 600))
    return lambda: scipy.linalg.lu(a)


def _opencv() -> Callable[[], Any]:
    import cv2
    import numpy as np

    a = np.random.default_rng(0).integers(0, 255, (1080, 1920, 3), np.uint8)
    return lambda: cv2.GaussianBlur(a, (15, 15), 3)


def _onnxruntime() -> Callable[[], Any]:
    import numpy as np
    import onnxruntime

    weights = Path(os.environ["VIDFLEET_WEIGHTS"])
    model = str(next(weights.rglob("*yunet*.onnx")))
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    told = session.get_inputs()[0]
    picture = np.zeros([size if isinstance(size, int) else 640 for size in told.shape], np.float32)
    return lambda: session.run(None, {told.name: picture})


def _pyav() -> Callable[[], Any]:
    import av
    import numpy as np

    noise = np.random.default_rng(0).integers(0, 255, (360, 640, 3), np.uint8)

    def encode() -> Seen:
        with av.open(io.BytesIO(), "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=25, width=640, height=360, pix_fmt="yuv420p")
            for index in range(12):
                frame = av.VideoFrame.from_ndarray(noise, format="rgb24")
                frame.pts = index
                container.mux(stream.encode(frame))
            seen = now()  # the encoder's threads end with it
            container.mux(stream.encode(None))
        return seen

    return encode


def _torch() -> Callable[[], Any]:
    torch = importlib.import_module("torch")  # in an interpreter of its own

    a = torch.rand(700, 700)
    return lambda: a @ a


LIBRARIES = {
    "numpy": _numpy, "scipy": _scipy, "opencv": _opencv, "onnxruntime": _onnxruntime, "pyav": _pyav, "torch": _torch,
}  # fmt: skip


def main() -> None:
    library, units, file = sys.argv[1:4]
    work = LIBRARIES[library]()
    work()
    for _ in range(int(units)):
        seen = work()
    threads, cores = seen if library == "pyav" else now()
    Path(file).write_text(json.dumps({"threads": threads, "cores": cores}))


if __name__ == "__main__":
    main()
