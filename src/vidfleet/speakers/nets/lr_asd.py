"""LR-ASD, the network that tells whether lips move with the speech that is heard (Liao et al., IJCV 2025).

::

    sound (batch, 4T, 13) ──────────────────────▶ sound encoder ───────────▶ (batch, T, 128) ─┐ features
    faces (batch, T, 112, 112) ▶ looks ▶ motion of block 1 ▶ of 2 ▶ of 3 ──▶ (batch, T, 128) ─┴▶ detector ▶ (batch, T)

The parts are ONNX graphs, built here from the authors' PyTorch checkpoint with batch norms folded into the
convolutions before them, and run by ONNX Runtime. The face encoder is cut where a convolution over time begins:
what comes before one is the same in every window that shows the frame, what comes after it differs near a window's
edges, where the authors' network sees zeros. ``lr_asd_windows`` puts the pieces together.

No convolution of the network reaches over space and time at once, so all of them are two-dimensional, over
(height, width) or over (time, pixels): ONNX Runtime has fast code for those and none for three dimensions
(0.05 instead of 0.09 s for one pass over a second of track, on one core).
"""

from __future__ import annotations

from math import isqrt
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vidfleet.speakers.nets.onnx_graph import Graph
from vidfleet.speakers.nets.session import open_session

if TYPE_CHECKING:
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
FACE, SOUND = "model.visualEncoder.block", "model.audioEncoder.block"
UNITS = 64
"""Of the recurrent layer, each way."""
BLOCKS = (1, 2, 3)
FACE_SHAPES = ((32, 56 * 56), (64, 28 * 28), (128, 14 * 14))
"""(channels, pixels) of a frame that goes into the motion of each block."""


class LrAsdNet:
    """The network, ready to run, part by part.

    ``device`` says where: ``cuda`` needs ONNX Runtime's CUDA build, and means the processor where that is not
    there. Raises :class:`~vidfleet.errors.WeightsError` where the checkpoint is not LR-ASD's.
    """

    def __init__(self, tensors: Checkpoint, *, threads: int = 1, device: Literal["cpu", "cuda"] = "cpu") -> None:
        def opened(model: bytes) -> Any:  # noqa: ANN401 - onnxruntime has no types
            return open_session(model, threads=threads, device=device)

        self._sound = opened(_sound_encoder(tensors))
        self._looks = opened(_looks(tensors))
        self._motion = {
            (block, before, after): opened(_motion(tensors, block, before=before, after=after))
            for block in BLOCKS
            for before in (False, True)
            for after in (False, True)
        }
        self._detector = opened(_detector(tensors))

    def hear(self, mfcc: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features (batch, T, 128) of sounds (batch, 4T, 13), each seen as a window of its own."""
        features: NDArray[np.float32] = self._sound.run(None, {"mfcc": mfcc})[0]
        return features

    def look(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What each of the faces (batch, T, 112, 112) looks like by itself: (batch, 32, T, 56 * 56), not contiguous."""
        images = faces.reshape(-1, FACE_SIZE, FACE_SIZE)
        looks: NDArray[np.float32] = self._looks.run(None, {"faces": images})[0]
        return _over_time(looks, len(faces), FACE_SHAPES[0])

    def move(
        self, block: int, frames: NDArray[np.float32], *, before: bool = False, after: bool = False
    ) -> NDArray[np.float32]:
        """The motion of block 1, 2 or 3 in stretches (batch, channels, T, pixels), and on to that of the next block.

        ``before`` says that a window begins with the stretch, ``after`` that one ends with it. Where it does not,
        the three frames on that side only serve the others: they do not come out. Of block 3 features come out,
        (batch, T, 128).
        """
        moved: NDArray[np.float32] = self._motion[block, before, after].run(None, {"frames": frames})[0]
        return moved if block == BLOCKS[-1] else _over_time(moved, len(frames), FACE_SHAPES[block])

    def detect(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores (batch, T) of windows' features (batch, T, 256): sound, then face."""
        scores: NDArray[np.float32] = self._detector.run(None, {"features": features})[0]
        return scores


def _over_time(images: NDArray[np.float32], batch: int, shape: tuple[int, int]) -> NDArray[np.float32]:
    """(batch x T, channels, height, width) as (batch, channels, T, pixels), a view."""
    return images.reshape(batch, -1, *shape).transpose(0, 2, 1, 3)


def _sound_encoder(tensors: Checkpoint) -> bytes:
    """Graph from mfcc (batch, 4T, 13) to features (batch, T, 128)."""
    graph = Graph()
    image = graph.add("Unsqueeze", graph.add("Transpose", "mfcc", perm=[0, 2, 1]), graph.constant([1]))
    for block in BLOCKS:
        for layer in ("m_1", "m_2", "t_1", "t_2"):
            image = convolve(graph, image, tensors, f"{SOUND}{block}", layer)
        if block < 3:
            image = graph.add("MaxPool", image, kernel_shape=[1, 3], strides=[1, 2], pads=[0, 1, 0, 1])
    mean = graph.add("ReduceMean", image, axes=[2], keepdims=0)
    features = graph.add("Transpose", mean, perm=[0, 2, 1])
    return graph.model("mfcc", ["batch", "steps", 13], features)


def _looks(tensors: Checkpoint) -> bytes:
    """Graph from faces (T, 112, 112), bytes, to the first block's (T, 32, 56, 56), before it looks over time."""
    graph = Graph()
    scale = graph.constant(np.float32(1 / (255 * FACE_DEVIATION)))
    shift = graph.constant(np.float32(FACE_MEAN / FACE_DEVIATION))
    grey = graph.add("Sub", graph.add("Mul", graph.add("Cast", "faces", to=1), scale), shift)
    images = _look(graph, graph.add("Unsqueeze", grey, graph.constant([1])), tensors, 1, stride=2)
    return graph.model("faces", ["frames", FACE_SIZE, FACE_SIZE], images, kind="uint8", rank=4)


def _motion(tensors: Checkpoint, block: int, *, before: bool, after: bool) -> bytes:
    """Graph of :meth:`LrAsdNet.move`, to (batch x T) images of the next block, or to (batch, T, 128)."""
    graph = Graph()
    channels, pixels = FACE_SHAPES[block - 1]
    image = "frames"
    for layer, reach in (("t_1", 2), ("t_2", 1)):
        pads = [reach * before, 0, reach * after, 0]
        image = convolve(graph, image, tensors, f"{FACE}{block}", layer, drop=4, pads=pads)
    shape: list[str | int] = ["batch", channels, "frames", pixels]
    if block == BLOCKS[-1]:
        largest = graph.add("ReduceMax", image, axes=[3], keepdims=0)
        return graph.model("frames", shape, graph.add("Transpose", largest, perm=[0, 2, 1]))
    frames = graph.add("Transpose", image, perm=[0, 2, 1, 3])
    side = isqrt(pixels)
    images = graph.add("Reshape", frames, graph.constant([-1, channels, side, side]))
    images = graph.add("MaxPool", images, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    return graph.model("frames", shape, _look(graph, images, tensors, block + 1), rank=4)


def _look(graph: Graph, images: str, tensors: Checkpoint, block: int, *, stride: int = 1) -> str:
    """Both convolutions over space of block 1, 2 or 3: each frame by itself."""
    images = convolve(graph, images, tensors, f"{FACE}{block}", "s_1", drop=2, strides=[stride, stride])
    return convolve(graph, images, tensors, f"{FACE}{block}", "s_2", drop=2)


def _detector(tensors: Checkpoint) -> bytes:
    """Graph from features (batch, T, 256) to scores (batch, T): gate, both recurrent layers, gate, linear."""
    # (T, batch, C) throughout: 1x1 convolutions between transposes, and a vector as the last weight, were
    # optimised by ONNX Runtime 1.32 into another function. tests/speakers/test_lr_asd.py watches over it.
    graph = Graph()
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


def convolve(
    graph: Graph,
    image: str,
    tensors: Checkpoint,
    block: str,
    layer: str,
    *,
    drop: int | None = None,
    **attributes: Any,  # noqa: ANN401
) -> str:
    """A convolution, its batch norm, ReLU; it keeps the size, unless ``pads`` are given.

    ``drop`` names an axis of its weights, of length 1, over which it does not reach.
    """
    way, number = layer.split("_")
    weight, bias = _fold(tensors[f"{block}.{layer}.weight"], tensors, f"{block}.{way}_norm_{number}")
    if drop is not None:
        weight = weight.squeeze(drop)
    half = [size // 2 for size in weight.shape[2:]]
    attributes.setdefault("pads", half + half)
    inputs = (image, graph.constant(weight), graph.constant(bias))
    return graph.add("Relu", graph.add("Conv", *inputs, **attributes))


def _gate(graph: Graph, series: str, tensors: Checkpoint, name: str) -> str:
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


def _recur(graph: Graph, series: str, tensors: Checkpoint) -> str:
    """Two gated recurrent layers, forward and backward in time: (T, batch, 256) → (T, 2, batch, 64)."""

    def gates(part: str) -> NDArray[np.float32]:
        """(2, 3 x 64, ...): PyTorch orders the gates reset, update, new; ONNX update, reset, new."""
        ways = [np.split(tensors[f"model.detector.gru_{way}.{part}_l0"], 3) for way in ("forward", "backward")]
        return np.stack([np.concatenate((update, reset, new)) for reset, update, new in ways])

    biases = np.concatenate((gates("bias_ih"), gates("bias_hh")), axis=1)
    constants = [graph.constant(values) for values in (gates("weight_ih"), gates("weight_hh"), biases)]
    # PyTorch multiplies by the reset gate after the recurrent product and its bias.
    return graph.add("GRU", series, *constants, hidden_size=UNITS, direction="bidirectional", linear_before_reset=1)
