"""Faces in a picture: YuNet on ONNX Runtime, and OpenCV's cascade where there are no weights."""

from __future__ import annotations

import hashlib
from pathlib import Path
from threading import local
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np

from vidfleet.errors import SetupError
from vidfleet.speakers.data import Face, Method
from vidfleet.speakers.models import HAAR_NAME, YUNET_NAME
from vidfleet.speakers.nets.session import open_session

if TYPE_CHECKING:
    from fractions import Fraction

    from numpy.typing import NDArray

    from vidfleet.speakers.data import GridFrame
    from vidfleet.speakers.nets.session import Device

LONGEST_SIDE = 640
"""Pixels on the longer side of the picture that detectors see, unless a scale is set."""
STRIDES = (8, 16, 32)
"""YuNet's three grids: one anchor for each cell of so many pixels."""
YUNET_CONFIDENCE = 0.6
OVERLAP = 0.3
"""Of two faces that overlap by more than this (intersection over union), the surer one stays."""
HAAR_SIDE = 480
HAAR_STEP = 1.2
HAAR_SMALLEST = 1 / 16
"""The cascade's view in pixels, the ratio of the sizes that it looks for, and the smallest as a share of the view.

On 254 pictures of talking people with 238 faces by YuNet: 198 found and none wrong at 42 ms; at 640 pixels and
a ratio of 1.1 it is 207 found and 7 wrong at 97 ms."""
HAAR_CONFIDENCE = 0.6


class FaceDetector(Protocol):
    """Finds the faces in one picture; several threads may ask at once."""

    method: Method

    def find(self, frame: GridFrame, *, pixel_aspect: Fraction) -> tuple[Face, ...]:
        """Return the faces of ``frame`` in pixels of its full-size picture, surest first.

        ``pixel_aspect`` is the width of a pixel over its height.
        """
        ...


class View:
    """The picture that a detector sees, and the way back from it.

    ``scale`` makes the picture smaller (0: until its longer side has ``side`` pixels; never larger). Where pixels
    are not square, the view is as wide as a player would show it.
    """

    def __init__(
        self, bgr: NDArray[np.uint8], *, pixel_aspect: Fraction, scale: float, side: int = LONGEST_SIDE
    ) -> None:
        height, width = bgr.shape[:2]
        shown_width = width * float(pixel_aspect)
        factor = scale or min(1.0, side / max(shown_width, height))
        size = (max(1, round(shown_width * factor)), max(1, round(height * factor)))
        self.bgr: NDArray[np.uint8] = bgr
        if size != (width, height):
            # Area averaging keeps small faces: linear sampling skips pixels below a scale of one half.
            self.bgr = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
        self._back = np.array([width / size[0], height / size[1]])

    def back(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (..., 2) of the view, in pixels of the full-size picture."""
        full: NDArray[np.float64] = points * self._back
        return full


class YuNet:
    """YuNet (Wu et al., Machine Intelligence Research 2023), as an ONNX file that takes any picture size.

    Pictures go in as BGR, 0 to 255, padded to multiples of 32. A face's confidence is the geometric mean of
    the network's two scores, for class and for objectness.

    Raises :class:`SetupError` where the file is not that network.
    """

    def __init__(
        self,
        weights: Path,
        *,
        threads: int = 1,
        device: Device = "cpu",
        scale: float = 0.0,
        confidence: float = YUNET_CONFIDENCE,
    ) -> None:
        self._names = [f"{part}_{stride}" for part in ("cls", "obj", "bbox", "kps") for stride in STRIDES]
        self._session = open_session(weights, threads=threads, device=device)
        if not set(self._names) <= {output.name for output in self._session.get_outputs()}:
            raise SetupError(f"{weights} is not YuNet: it lacks the outputs {', '.join(self._names)}")
        self._scale = scale
        self._confidence = confidence
        sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
        self.method = Method(name=YUNET_NAME, sha256=sha256)

    def find(self, frame: GridFrame, *, pixel_aspect: Fraction) -> tuple[Face, ...]:
        """See :class:`FaceDetector`."""
        view = View(frame.bgr, pixel_aspect=pixel_aspect, scale=self._scale)
        padded = _pad_to_32(view.bgr)
        image = padded.transpose(2, 0, 1)[np.newaxis].astype(np.float32)
        outputs = dict(zip(self._names, self._session.run(self._names, {"input": image}), strict=True))
        found = [
            _decode(
                *(outputs[f"{part}_{stride}"][0] for part in ("cls", "obj", "bbox", "kps")),
                stride=stride,
                columns=padded.shape[1] // stride,
                confidence=self._confidence,
            )
            for stride in STRIDES
        ]
        scores, points = (np.concatenate([part[i] for part in found]) for i in (0, 1))
        keep = _strongest(scores, points)
        return tuple(_face(frame.index, view.back(points[i]), scores[i]) for i in keep)


class HaarFaces:
    """OpenCV's cascade for frontal faces: the embedded method, where there are no weights.

    On frontal talking heads it finds what YuNet finds, on turned heads a third. Its confidence is made of the
    number of neighbouring windows that agreed: n / (n + 4).
    """

    def __init__(self, *, scale: float = 0.0, confidence: float = HAAR_CONFIDENCE) -> None:
        name = "haarcascade_frontalface_alt2.xml"
        self._file = str(Path(cv2.__file__).parent / "data" / name)
        self._loaded = local()
        if self._cascade.empty():
            raise SetupError(
                f"This OpenCV ({cv2.__version__}) lacks {name}. Install: pip install 'opencv-python-headless>=4.10,<5'"
            )
        self._scale = scale
        self._confidence = confidence
        self.method = Method(name=HAAR_NAME, sha256="")

    @property
    def _cascade(self) -> cv2.CascadeClassifier:
        """This thread's own: a cascade keeps the picture that it looks at."""
        cascade: cv2.CascadeClassifier | None = getattr(self._loaded, "cascade", None)
        if cascade is None:
            cascade = self._loaded.cascade = cv2.CascadeClassifier(self._file)
        return cascade

    def find(self, frame: GridFrame, *, pixel_aspect: Fraction) -> tuple[Face, ...]:
        """See :class:`FaceDetector`."""
        view = View(frame.bgr, pixel_aspect=pixel_aspect, scale=self._scale, side=HAAR_SIDE)
        grey = cv2.equalizeHist(cv2.cvtColor(view.bgr, cv2.COLOR_BGR2GRAY))
        smallest = max(20, round(max(grey.shape) * HAAR_SMALLEST))
        boxes, neighbours = self._cascade.detectMultiScale2(
            grey, scaleFactor=HAAR_STEP, minNeighbors=2, minSize=(smallest, smallest)
        )
        faces = []
        for (x, y, width, height), count in zip(boxes, neighbours, strict=True):
            confidence = int(count) / (int(count) + 4)
            if confidence >= self._confidence:
                corners = np.array([[x, y], [x + width, y + height]], dtype=np.float64)
                faces.append(_face(frame.index, view.back(corners), confidence))
        return tuple(sorted(faces, key=lambda face: -face.confidence))


def _pad_to_32(bgr: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = bgr.shape[:2]
    padded: NDArray[np.uint8] = cv2.copyMakeBorder(
        bgr, 0, -height % 32, 0, -width % 32, cv2.BORDER_CONSTANT, value=(0, 0, 0)
    )
    return padded


def _decode(
    cls: NDArray[np.float32],
    obj: NDArray[np.float32],
    box: NDArray[np.float32],
    kps: NDArray[np.float32],
    *,
    stride: int,
    columns: int,
    confidence: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The faces of one stride: scores (K,) and points (K, 7, 2): two corners, then five landmarks.

    Cells run row by row. A box is (dx, dy, log w, log h) of its centre from the cell's corner, in strides.
    """
    # A mean of two numbers up to 1 that reaches the confidence needs each at its square, but for rounding. Of 5000
    # cells few have one of them, and the rest is computed for those alone.
    maybe = np.flatnonzero(obj[:, 0] >= confidence**2 * (1 - 1e-6))
    if not len(maybe):
        return np.zeros(0), np.zeros((0, 7, 2))
    scores = np.sqrt(np.clip(cls[maybe, 0], 0, 1).astype(np.float64) * np.clip(obj[maybe, 0], 0, 1))
    sure = scores >= confidence
    chosen, scores = maybe[sure], scores[sure]
    cells = np.stack([chosen % columns, chosen // columns], axis=1).astype(np.float64)
    centres = (cells + box[chosen, :2]) * stride
    halves = np.exp(box[chosen, 2:].astype(np.float64)) * (stride / 2)
    landmarks = (cells[:, np.newaxis] + kps[chosen].reshape(-1, 5, 2)) * stride
    corners = np.stack([centres - halves, centres + halves], axis=1)
    return scores, np.concatenate([corners, landmarks], axis=1)


def _strongest(scores: NDArray[np.float64], points: NDArray[np.float64]) -> list[int]:
    """The faces that stay when of overlapping ones only the surest does; surest first."""
    if not len(scores):
        return []
    corners, sizes = points[:, 0], points[:, 1] - points[:, 0]
    boxes = np.concatenate([corners, sizes], axis=1).tolist()
    kept = cv2.dnn.NMSBoxes(boxes, scores.tolist(), 0.0, OVERLAP)
    return [int(index) for index in np.ravel(kept)]


def _face(frame: int, points: NDArray[np.float64], confidence: float) -> Face:
    (x1, y1), (x2, y2) = points[:2].tolist()
    landmarks = points[2:].astype(np.float32) if len(points) > 2 else None
    return Face(frame=frame, box=(x1, y1, x2, y2), confidence=float(confidence), landmarks=landmarks)
