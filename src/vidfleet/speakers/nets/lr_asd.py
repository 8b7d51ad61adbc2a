"""LR-ASD, the network that tells whether lips move with the speech that is heard (Liao et al., IJCV 2025).

::

    sound (batch, 4T, 13) ──▶ sound encoder ──┐
                                              ├─▶ features (batch, T, 256) ──▶ detector ──▶ scores (batch, T)
    faces (batch, T, 112, 112) ▶ face encoder ┘

The three parts are ONNX graphs, built here from the authors' PyTorch checkpoint with batch norms folded into
the convolutions before them, and run by ONNX Runtime. Convolutions over time stay three-dimensional: that is
faster there than folding them into two dimensions (0.16 against 0.23 s per second of track on one core).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from vidfleet.speakers.nets.checkpoint import Checkpoint

WINDOWS_S = (1, 2, 3, 4, 5, 6)
"""The lengths of window in which a track is scored."""
FACE_RATE = 25
"""Faces per second."""
MFCC_PER_FACE = 4
FACE_SIZE = 112
FACE_MEAN, FACE_DEVIATION = 0.4161, 0.1688
NORM_EPSILON = 1e-3
UNITS = 64
"""Of the recurrent layer, each way."""
FRAMES_PER_RUN = 150
"""Faces that go through the face encoder at once: its largest layer then takes 60 MB."""


class LrAsdNet:
    """The network, ready to run.

    ``device`` says where: ``cuda`` needs ONNX Runtime's CUDA build, and means the processor where that is not
    there. Raises :class:`~vidfleet.errors.WeightsError` where the checkpoint is not LR-ASD's.
    """

    def __init__(self, tensors: Checkpoint, *, threads: int = 1, device: Literal["cpu", "cuda"] = "cpu") -> None:
        self._sound = _session(_sound_encoder(tensors), threads, device)
        self._face = _session(_face_encoder(tensors), threads, device)
        self._detector = _session(_detector(tensors), threads, device)

    def features(self, faces: NDArray[np.uint8], mfcc: NDArray[np.float32]) -> NDArray[np.float32]:
        """(batch, T, 256) of windows: faces (batch, T, 112, 112) and cepstra (batch, 4T, 13)."""
        heard = self._sound.run(None, {"mfcc": mfcc})[0]
        seen = self._face.run(None, {"faces": faces})[0]
        return np.concatenate((heard, seen), axis=2)

    def detect(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores (batch, T) of windows' features (batch, T, 256)."""
        scores: NDArray[np.float32] = self._detector.run(None, {"features": features})[0]
        return scores

    def score_windows(self, faces: NDArray[np.uint8], mfcc: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Raw scores (T,) for each length in :data:`WINDOWS_S`, the windows' scores joined.

        faces (T, 112, 112), grey; mfcc (4T, 13). Windows follow one another from the start, the last is
        shorter.
        """
        if len(mfcc) != MFCC_PER_FACE * len(faces):
            raise ValueError(f"{len(faces)} faces need {MFCC_PER_FACE * len(faces)} cepstra, not {len(mfcc)}")
        return tuple(self._score(faces, mfcc, length_s * FACE_RATE) for length_s in WINDOWS_S)

    def _score(self, faces: NDArray[np.uint8], mfcc: NDArray[np.float32], window: int) -> NDArray[np.float32]:
        scores = [np.zeros(0, np.float32)]
        for start, end in _batches(len(faces), window):
            length = min(window, end - start)
            seen = faces[start:end].reshape(-1, length, FACE_SIZE, FACE_SIZE)
            heard = mfcc[MFCC_PER_FACE * start : MFCC_PER_FACE * end]
            features = self.features(seen, heard.reshape(-1, MFCC_PER_FACE * length, heard.shape[1]))
            scores.append(self.detect(features).reshape(-1))
        return np.concatenate(scores)


def _batches(frames: int, window: int) -> Iterator[tuple[int, int]]:
    """Stretches [start, end) of whole windows that run together, then the shorter window that is left."""
    whole = frames - frames % window
    step = max(FRAMES_PER_RUN // window, 1) * window
    for start in range(0, whole, step):
        yield start, min(start + step, whole)
    if whole < frames:
        yield whole, frames


def _session(model: bytes, threads: int, device: str) -> Any:  # noqa: ANN401 - onnxruntime has no types
    """An ONNX Runtime session; memory of one run is given back after it, since windows differ in shape."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    providers: list[Any] = ["CPUExecutionProvider"]
    if device == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        # TF32 rounds to 10 bits: scores would move by more than the 1e-3 that we promise.
        providers.insert(0, ("CUDAExecutionProvider", {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}))
    return onnxruntime.InferenceSession(model, options, providers=providers)


def _sound_encoder(tensors: Checkpoint) -> bytes:
    """Graph from mfcc (batch, 4T, 13) to features (batch, T, 128)."""
    graph = _Graph()
    image = graph.add("Unsqueeze", graph.add("Transpose", "mfcc", perm=[0, 2, 1]), graph.constant([1]))
    for block in (1, 2, 3):
        for layer in ("m_1", "m_2", "t_1", "t_2"):
            image = _convolve(graph, image, tensors, f"model.audioEncoder.block{block}", layer)
        if block < 3:
            image = graph.add("MaxPool", image, kernel_shape=[1, 3], strides=[1, 2], pads=[0, 1, 0, 1])
    mean = graph.add("ReduceMean", image, axes=[2], keepdims=0)
    features = graph.add("Transpose", mean, perm=[0, 2, 1])
    return graph.model("mfcc", ["batch", "steps", 13], features)


def _face_encoder(tensors: Checkpoint) -> bytes:
    """Graph from faces (batch, T, 112, 112), bytes, to features (batch, T, 128)."""
    graph = _Graph()
    scale = graph.constant(np.float32(1 / (255 * FACE_DEVIATION)))
    shift = graph.constant(np.float32(FACE_MEAN / FACE_DEVIATION))
    grey = graph.add("Sub", graph.add("Mul", graph.add("Cast", "faces", to=1), scale), shift)
    image = graph.add("Unsqueeze", grey, graph.constant([1]))
    for block in (1, 2, 3):
        for layer in ("s_1", "s_2", "t_1", "t_2"):
            stride = 2 if (block, layer) == (1, "s_1") else 1
            name = f"model.visualEncoder.block{block}"
            image = _convolve(graph, image, tensors, name, layer, strides=[1, stride, stride])
        if block < 3:
            pads = [0, 1, 1, 0, 1, 1]
            image = graph.add("MaxPool", image, kernel_shape=[1, 3, 3], strides=[1, 2, 2], pads=pads)
    largest = graph.add("ReduceMax", image, axes=[3, 4], keepdims=0)
    features = graph.add("Transpose", largest, perm=[0, 2, 1])
    return graph.model("faces", ["batch", "frames", FACE_SIZE, FACE_SIZE], features, kind="uint8")


def _detector(tensors: Checkpoint) -> bytes:
    """Graph from features (batch, T, 256) to scores (batch, T): gate, both recurrent layers, gate, linear."""
    # (T, batch, C) throughout: 1x1 convolutions between transposes, and a vector as the last weight, were
    # optimised by ONNX Runtime 1.32 into another function. tests/speakers/test_lr_asd.py watches over it.
    graph = _Graph()
    series = graph.add("Transpose", "features", perm=[1, 0, 2])
    both = _recur(graph, _gate(graph, series, tensors, "model.fusion"), tensors)
    # (T, 2, batch, 64) → (T, batch, 128): forward first.
    ways = graph.add("Transpose", both, perm=[0, 2, 1, 3])
    merged = graph.add("Reshape", ways, graph.constant([0, 0, 2 * UNITS]))
    memory = _gate(graph, merged, tensors, "model.detector.attention")
    weight, bias = tensors["lossAV.FC.weight"][1:], tensors["lossAV.FC.bias"][1:]
    score = graph.add("Add", graph.add("MatMul", memory, graph.constant(weight.T.copy())), graph.constant(bias))
    flat = graph.add("Squeeze", score, graph.constant([2]))
    return graph.model("features", ["batch", "frames", 4 * UNITS], graph.add("Transpose", flat, perm=[1, 0]), rank=2)


def _convolve(
    graph: _Graph,
    image: str,
    tensors: Checkpoint,
    block: str,
    layer: str,
    *,
    strides: Sequence[int] | None = None,
) -> str:
    """A convolution that keeps the size, its batch norm, ReLU."""
    way, number = layer.split("_")
    weight, bias = _fold(tensors[f"{block}.{layer}.weight"], tensors, f"{block}.{way}_norm_{number}")
    half = [size // 2 for size in weight.shape[2:]]
    attributes = {"strides": list(strides)} if strides else {}
    inputs = (image, graph.constant(weight), graph.constant(bias))
    return graph.add("Relu", graph.add("Conv", *inputs, pads=half + half, **attributes))


def _gate(graph: _Graph, series: str, tensors: Checkpoint, name: str) -> str:
    """(T, batch, C) times the sigmoid of its own 1x1 convolution with batch norm."""
    weight, bias = _fold(tensors[f"{name}.attention.weight"], tensors, f"{name}.bn")
    product = graph.add("MatMul", series, graph.constant(weight[:, :, 0].T.copy()))
    return graph.add("Mul", series, graph.add("Sigmoid", graph.add("Add", product, graph.constant(bias))))


def _fold(
    weight: NDArray[np.float32], tensors: Checkpoint, norm: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weight and bias of the convolution that does the batch norm too."""
    mean, variance, scale, shift = (
        tensors[f"{norm}.{part}"].astype(np.float64) for part in ("running_mean", "running_var", "weight", "bias")
    )
    gain = scale / np.sqrt(variance + NORM_EPSILON)
    folded = weight * gain.reshape(-1, *[1] * (weight.ndim - 1))
    return folded.astype(np.float32), (shift - mean * gain).astype(np.float32)


def _recur(graph: _Graph, series: str, tensors: Checkpoint) -> str:
    """Two gated recurrent layers, forward and backward in time: (T, batch, 256) → (T, 2, batch, 64)."""

    def gates(part: str) -> NDArray[np.float32]:
        """(2, 3 x 64, ...): PyTorch orders the gates reset, update, new; ONNX update, reset, new."""
        ways = [np.split(tensors[f"model.detector.gru_{way}.{part}_l0"], 3) for way in ("forward", "backward")]
        return np.stack([np.concatenate((update, reset, new)) for reset, update, new in ways])

    biases = np.concatenate((gates("bias_ih"), gates("bias_hh")), axis=1)
    constants = [graph.constant(values) for values in (gates("weight_ih"), gates("weight_hh"), biases)]
    # PyTorch multiplies by the reset gate after the recurrent product and its bias.
    return graph.add("GRU", series, *constants, hidden_size=UNITS, direction="bidirectional", linear_before_reset=1)


@dataclass
class _Graph:
    """An ONNX graph in the making; what it computes goes by name."""

    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def constant(self, values: Any) -> str:  # noqa: ANN401 - whatever numpy takes
        from onnx import numpy_helper

        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:  # noqa: ANN401
        from onnx import helper

        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def model(self, source: str, shape: list[str | int], result: str, *, kind: str = "float32", rank: int = 3) -> bytes:
        """The finished model, with one input and one output, as ONNX Runtime reads it."""
        from onnx import TensorProto, checker, helper

        kinds = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8}
        inputs = [helper.make_tensor_value_info(source, kinds[kind], shape)]
        outputs = [helper.make_tensor_value_info(result, TensorProto.FLOAT, [None] * rank)]
        graph = helper.make_graph(self.nodes, "lr_asd", inputs, outputs, self.constants)
        # Opset 17 and IR 8: every ONNX Runtime that pyproject.toml allows reads them.
        model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
        checker.check_model(model)
        serialised: bytes = model.SerializeToString()
        return serialised
