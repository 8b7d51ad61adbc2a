"""Sessions of ONNX Runtime: where they compute, and how.

A wheel of ONNX Runtime may name the CUDA provider and yet not have it: where NVIDIA's libraries or a GPU are missing,
it writes a warning and computes on the processor, or raises. So :func:`cuda_trouble` asks, once a lane, by computing.
"""

from __future__ import annotations

import contextlib
import io
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vidfleet.speakers.nets.onnx_graph import Graph

if TYPE_CHECKING:
    from pathlib import Path

Device = Literal["cpu", "cuda"]

CUDA, PROCESSOR = "CUDAExecutionProvider", "CPUExecutionProvider"
CUDA_OPTIONS = {
    # TF32 rounds to 10 bits: scores would move by more than the 1e-3 that we promise.
    "use_tf32": "0",
    # The default tries all algorithms out for each new shape, and shapes change with pictures and lengths of tracks.
    "cudnn_conv_algo_search": "HEURISTIC",
    # The default doubles what it takes each time; a lane has 17 sessions, and lanes share a GPU.
    "arena_extend_strategy": "kSameAsRequested",
}
"""``device_id`` is 0, of those that ``CUDA_VISIBLE_DEVICES`` leaves: the lane's."""
NO_MEMORY = ("out of memory", "Failed to allocate memory", "CUDA failure 2:")
"""What says that the GPU is full for now. That is no reason to stay on the processor."""


def open_session(model: bytes | Path, *, threads: int, device: Device) -> Any:  # noqa: ANN401 - onnxruntime has no types
    """Open a session; it may run in several threads at once, with so many ``threads`` for each operation.

    Raises what ONNX Runtime raises, where ``device`` is cuda and :func:`cuda_trouble` was not asked before.
    """
    import onnxruntime

    _share_memory()
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.enable_mem_pattern = False  # shapes change from run to run
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that wait spin by default, also between runs. On two busy cores YuNet's run on two threads took 19 ms of
    # processor time, and by the clock up to twice as long; without, 9 ms, and 8 on one thread.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Warnings are off: YuNet's file lists its constants as inputs, and each would be named.
    options.log_severity_level = 3
    providers: list[Any] = [PROCESSOR]
    if device == "cuda" and CUDA in onnxruntime.get_available_providers():
        providers.insert(0, (CUDA, CUDA_OPTIONS))
    # ONNX Runtime's own way back to the processor prints, and would hide that a GPU's memory is full.
    return onnxruntime.InferenceSession(model, options, providers=providers, enable_fallback=0)


def cuda_trouble() -> str:
    """Say why ONNX Runtime cannot compute on this process's GPU; empty where it can.

    Raises what ONNX Runtime raises where the GPU's memory is full.
    """
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    version = onnxruntime.__version__
    if CUDA not in onnxruntime.get_available_providers():
        return f"this ONNX Runtime ({version}) is the one for the processor; vidfleet doctor says how to change it"
    missing = _load_libraries(onnxruntime)
    errors = (RuntimeError, ValueError, state.EPFail, state.Fail, state.NotImplemented, state.RuntimeException)
    try:
        session = open_session(_probe(), threads=1, device="cuda")
        if CUDA in session.get_providers():
            session.run(None, {"image": np.ones((1, 1, 4, 4), np.float32)})
            return ""
    except errors as error:
        if any(sign in str(error) for sign in NO_MEMORY):
            raise
        return f"ONNX Runtime {version}: {str(error).strip().splitlines()[0]}"
    return f"ONNX Runtime {version} cannot load its CUDA provider" + (f": {missing}" if missing else "")


@cache
def _share_memory() -> None:
    """Let all sessions of this process take their memory from one arena.

    Without any, YuNet's run takes a seventh longer, and what LR-ASD's sessions give back lies scattered between what
    tracks keep: 28 MB more with each track. An arena for each session keeps the most that each ever took.
    """
    import onnxruntime

    where = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    onnxruntime.create_and_register_allocator(where, None)


def _load_libraries(onnxruntime: Any) -> str:  # noqa: ANN401
    """Load CUDA and cuDNN from NVIDIA's own wheels, where they are; return its words for the first that is missing."""
    if not hasattr(onnxruntime, "preload_dlls"):  # before 1.21
        return ""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):  # it prints what it does not find
        onnxruntime.preload_dlls(directory="")
    return next(iter(said.getvalue().splitlines()), "")


def _probe() -> bytes:
    """A convolution: what cuDNN lacks shows only when it computes."""
    graph = Graph()
    result = graph.add("Conv", "image", graph.constant(np.ones((1, 1, 3, 3), np.float32)), kernel_shape=[3, 3])
    return graph.model("image", [1, 1, 4, 4], result, rank=4)
