"""What a face looks like, as a vector: two faces of one person have a larger cosine than faces of two.

Vectors are biometric data. Nothing here writes them down.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol

import numpy as np

from vidfleet.errors import SetupError
from vidfleet.speakers.data import Method
from vidfleet.speakers.identity.align import SIDE
from vidfleet.speakers.nets.session import open_session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from vidfleet.speakers.nets.session import Device

SFACE_NAME = "SFace 2021dec"
MOBILE_FACE_NET_NAME = "MobileFaceNet"


class FaceEmbedder(Protocol):
    """Turns aligned faces into vectors; several threads may ask at once."""

    method: Method
    joins_at: float
    """The mean cosine from which two sets of faces are one person's."""

    def embed(self, aligned: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return vectors (N, D) of length 1 for aligned faces (N, 112, 112, 3), BGR; N may be 0."""
        ...


class MobileFaceNet:
    """MobileFaceNet (Chen et al., 2018) as published in lenchik-en/facedetection.

    RGB, (value - 127.5) / 128. On real clips faces of one person have a cosine of 0.6 to 0.9, of two persons of
    0.4 at most. Raises :class:`SetupError` where the file is no such network.
    """

    joins_at = 0.50

    def __init__(self, weights: Path, *, threads: int = 1, device: Device = "cpu") -> None:
        self._network = _Network(weights, threads=threads, device=device)
        self.method = Method(name=MOBILE_FACE_NET_NAME, sha256=self._network.sha256)

    def embed(self, aligned: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :class:`FaceEmbedder`."""
        return self._network.vectors((_as_rgb_planes(aligned) - np.float32(127.5)) / np.float32(128))


class SFace:
    """SFace (Zhong et al., IEEE Transactions on Image Processing 2021) as published in opencv_zoo.

    RGB, 0 to 255; the network itself brings them to its range, as ``cv2.FaceRecognizerSF`` has it. Its publishers
    take two pictures with a cosine of 0.363 for one person. Raises :class:`SetupError` where the file is no such
    network.
    """

    joins_at = 0.363

    def __init__(self, weights: Path, *, threads: int = 1, device: Device = "cpu") -> None:
        self._network = _Network(weights, threads=threads, device=device)
        self.method = Method(name=SFACE_NAME, sha256=self._network.sha256)

    def embed(self, aligned: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :class:`FaceEmbedder`."""
        return self._network.vectors(_as_rgb_planes(aligned))


EMBEDDERS: Mapping[str, Callable[..., FaceEmbedder]] = {"sface": SFace, "mobilefacenet": MobileFaceNet}
"""The known embedders, by the names of their weights."""


class _Network:
    """An ONNX file that takes (N, 3, 112, 112) or (1, 3, 112, 112) and gives one vector for each."""

    def __init__(self, weights: Path, *, threads: int, device: Device) -> None:
        self._session = open_session(weights, threads=threads, device=device)
        inputs = self._session.get_inputs()
        if not inputs or list(inputs[0].shape[1:]) != [3, SIDE, SIDE]:
            raise SetupError(f"{weights} is no network for faces of {SIDE} x {SIDE} pixels")
        self._input = inputs[0].name
        self._one_by_one = inputs[0].shape[0] == 1
        self.sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()

    def vectors(self, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Vectors (N, D) of length 1 for prepared faces (N, 3, 112, 112)."""
        if not len(planes):
            return np.zeros((0, 0), dtype=np.float32)
        batches = [planes[i : i + 1] for i in range(len(planes))] if self._one_by_one else [planes]
        raw = np.concatenate([self._session.run(None, {self._input: batch})[0] for batch in batches])
        flat = raw.reshape(len(planes), -1).astype(np.float32)
        lengths = np.linalg.norm(flat, axis=1, keepdims=True)
        unit: NDArray[np.float32] = flat / np.maximum(lengths, 1e-12)
        return unit


def _as_rgb_planes(aligned: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, 112, 112, 3) BGR as (N, 3, 112, 112) RGB."""
    return np.ascontiguousarray(aligned[..., ::-1].transpose(0, 3, 1, 2), dtype=np.float32)
