"""LR-ASD the naive way: each window of each of the six lengths through the whole network by itself.

What the program is measured against (``benchmarks.lr_asd_cost``), and what its tests hold it to. The face encoder is
the authors' layers as they are, three-dimensional and in one graph; sound encoder and detector are the program's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vidfleet.speakers.nets.lr_asd import (
    BLOCKS,
    FACE,
    FACE_DEVIATION,
    FACE_MEAN,
    FACE_RATE,
    FACE_SIZE,
    MFCC_PER_FACE,
    WINDOWS_S,
    LrAsdNet,
    convolve,
)
from vidfleet.speakers.nets.onnx_graph import Graph
from vidfleet.speakers.nets.session import open_session

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vidfleet.speakers.nets.checkpoint import Checkpoint


class NaiveLrAsd:
    """The network as its authors run it."""

    def __init__(self, tensors: Checkpoint, *, threads: int = 1) -> None:
        self.net = LrAsdNet(tensors, threads=threads)
        self._face = open_session(_face_encoder(tensors), threads=threads, device="cpu")

    def features(self, faces: NDArray[np.uint8], mfcc: NDArray[np.float32]) -> NDArray[np.float32]:
        """(T, 256) of one window: faces (T, 112, 112) and cepstra (4T, 13)."""
        seen = self._face.run(None, {"faces": faces[None]})[0][0]
        return np.concatenate((self.net.hear(mfcc[None])[0], seen), axis=1)

    def score_windows(self, faces: NDArray[np.uint8], mfcc: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Raw scores (T,) for each length in ``WINDOWS_S``, the windows' scores joined."""
        scores = []
        for length_s in WINDOWS_S:
            parts = [np.zeros(0, np.float32)]
            for start in range(0, len(faces), length_s * FACE_RATE):
                end = min(start + length_s * FACE_RATE, len(faces))
                heard = mfcc[MFCC_PER_FACE * start : MFCC_PER_FACE * end]
                parts.append(self.net.detect(self.features(faces[start:end], heard)[None])[0])
            scores.append(np.concatenate(parts))
        return tuple(scores)


def _face_encoder(tensors: Checkpoint) -> bytes:
    """Graph from faces (batch, T, 112, 112), bytes, to features (batch, T, 128)."""
    graph = Graph()
    scale = graph.constant(np.float32(1 / (255 * FACE_DEVIATION)))
    shift = graph.constant(np.float32(FACE_MEAN / FACE_DEVIATION))
    grey = graph.add("Sub", graph.add("Mul", graph.add("Cast", "faces", to=1), scale), shift)
    image = graph.add("Unsqueeze", grey, graph.constant([1]))
    for block in BLOCKS:
        for layer in ("s_1", "s_2", "t_1", "t_2"):
            stride = 2 if (block, layer) == (1, "s_1") else 1
            image = convolve(graph, image, tensors, f"{FACE}{block}", layer, strides=[1, stride, stride])
        if block < BLOCKS[-1]:
            pads = [0, 1, 1, 0, 1, 1]
            image = graph.add("MaxPool", image, kernel_shape=[1, 3, 3], strides=[1, 2, 2], pads=pads)
    largest = graph.add("ReduceMax", image, axes=[3, 4], keepdims=0)
    features = graph.add("Transpose", largest, perm=[0, 2, 1])
    return graph.model("faces", ["batch", "frames", FACE_SIZE, FACE_SIZE], features, kind="uint8")
