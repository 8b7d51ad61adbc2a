"""Reads tensors out of a PyTorch checkpoint without PyTorch, and without running what it says.

A checkpoint is a zip: ``<top>/data.pkl`` is a pickle that names tensors, ``<top>/data/<key>`` holds their
bytes (format: torch.serialization). A pickle may call any function that it names, so this reader knows a few
names and refuses every other one.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vidfleet.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE_LIMIT_BYTES = 64 << 20
"""All of a checkpoint's parts together; LR-ASD's have 3.4 MB. A zip can claim to hold any amount."""

STORAGE_TYPES = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "LongStorage": "<i8"}
"""The storages that we read, and how their elements lie in the file."""

UNREADABLE = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a damaged or hostile file makes zipfile, pickle and numpy raise."""


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of one file."""

    path: Path
    tensors: Mapping[str, NDArray[Any]]
    """By the name that the network's authors gave them."""

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        """One tensor; raises :class:`WeightsError` where the file has none of that name."""
        if name not in self.tensors:
            raise WeightsError(f"{self.path} has no tensor {name}: it is the checkpoint of another network")
        return self.tensors[name].astype(np.float32)


@dataclass(frozen=True, slots=True)
class _StorageType:
    """Stands for a class such as ``torch.FloatStorage``."""

    layout: str


def read_checkpoint(path: Path) -> Checkpoint:
    """All tensors of a checkpoint that ``torch.save`` wrote as a zip.

    Raises :class:`WeightsError` where the file is damaged, too large, or asks for anything but tensors.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size_bytes = sum(part.file_size for part in archive.infolist())
            if size_bytes > SIZE_LIMIT_BYTES:
                raise WeightsError(f"{path} claims to hold {size_bytes} bytes; no checkpoint of ours does")
            found = _Unpickler(archive).load()
    except UNREADABLE as error:
        raise WeightsError(f"{path} cannot be read as a checkpoint: {type(error).__name__}: {error}") from error
    if not isinstance(found, dict):
        raise WeightsError(f"{path} holds a {type(found).__name__} instead of named tensors")
    return Checkpoint(path, {str(k): v for k, v in found.items() if isinstance(v, np.ndarray)})


class _Unpickler(pickle.Unpickler):
    """Builds dicts and arrays; any other name that the pickle asks for is refused."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        names = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
        if len(names) != 1:
            raise pickle.UnpicklingError("no data.pkl in it")
        super().__init__(io.BytesIO(archive.read(names[0])))
        self._archive = archive
        self._top = names[0].removesuffix("data.pkl")

    def find_class(self, module: str, name: str, /) -> Callable[..., Any] | _StorageType:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda *arguments: _rebuild(*arguments[:4])
        if module == "torch" and name in STORAGE_TYPES:
            return _StorageType(STORAGE_TYPES[name])
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no checkpoint of tensors needs")

    def persistent_load(self, pid: Any, /) -> NDArray[Any]:  # noqa: ANN401 - the base class's type
        """The elements that ``('storage', type, key, device, count)`` names."""
        kind, storage, key, _device, count = pid
        if kind != "storage" or not isinstance(storage, _StorageType) or not isinstance(key, str):
            raise pickle.UnpicklingError(f"it refers to {pid!r}")
        elements = np.frombuffer(self._archive.read(f"{self._top}data/{key}"), dtype=storage.layout)
        if elements.size != count:
            raise pickle.UnpicklingError(f"storage {key} has {elements.size} elements instead of {count}")
        return elements


def _rebuild(elements: NDArray[Any], offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> NDArray[Any]:
    """The tensor of this shape and stride (in elements) within a storage, as an array of its own."""
    if min((offset, *shape, *stride), default=0) < 0 or len(shape) != len(stride):
        raise pickle.UnpicklingError(f"a tensor of shape {shape} and stride {stride} makes no sense")
    if 0 in shape:
        return np.zeros(shape, elements.dtype)
    last = offset + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
    count = int(np.prod(shape, dtype=object))
    if last >= elements.size or count > elements.size:
        raise pickle.UnpicklingError(f"a tensor of shape {shape} reaches past its storage")
    steps = tuple(step * elements.itemsize for step in stride)
    return np.lib.stride_tricks.as_strided(elements[offset:], shape, steps).copy()
