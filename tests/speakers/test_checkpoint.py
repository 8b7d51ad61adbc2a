"""A checkpoint gives its tensors, and nothing that it says is run."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from vidfleet.errors import WeightsError
from vidfleet.speakers.nets.checkpoint import read_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray


def pickled(tensors: Mapping[str, tuple[int, int, tuple[int, ...], tuple[int, ...]]]) -> bytes:
    """The pickle that torch.save writes; a tensor is (elements of its storage, offset, shape, stride)."""

    def text(value: str) -> bytes:
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(map(number, values)) + b"t"

    empty = b"ccollections\nOrderedDict\n)R"
    items = b""
    for key, (count, offset, shape, stride) in tensors.items():
        storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(key) + text("cuda:0") + number(count)
        arguments = storage + b"tQ" + number(offset) + numbers(shape) + numbers(stride) + b"\x89" + empty
        items += text(key) + b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tR"
    return b"\x80\x02" + empty + b"(" + items + b"u."


def write(path: Path, pickle_bytes: bytes, **storages: NDArray[np.float32]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle_bytes)
        for key, values in storages.items():
            archive.writestr(f"archive/data/{key}", values.astype("<f4").tobytes())
    return path


def test_tensors_come_out_with_shape_stride_and_offset(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float32)
    described = {"plain": (12, 0, (3, 4), (4, 1)), "turned": (12, 2, (2, 3), (1, 4)), "one": (12, 5, (), ())}
    path = write(tmp_path / "c.model", pickled(described), plain=values, turned=values, one=values)
    found = read_checkpoint(path)
    np.testing.assert_array_equal(found["plain"], values.reshape(3, 4))
    np.testing.assert_array_equal(found["turned"], [[2, 6, 10], [3, 7, 11]])
    assert found["one"] == 5
    with pytest.raises(WeightsError, match="has no tensor other"):
        found["other"]


class Hostile:
    """Pickles as a call."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


@pytest.mark.parametrize(
    "call",
    [
        (os.system, "touch hacked"),
        (eval, "open('hacked', 'w')"),
        (getattr, "", "join"),
        (pickle.loads, b"N."),
        (io.open, "hacked", "w"),
    ],
    ids=lambda call: str(call[0].__name__),
)
def test_a_pickle_that_calls_something_is_refused_and_calls_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: tuple[Any, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "c.model", pickle.dumps({"weight": Hostile(*call)}, protocol=2))
    with pytest.raises(WeightsError, match="it asks for"):
        read_checkpoint(path)
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize(
    "tensor",
    [
        (12, 0, (4, 4), (4, 1)),
        (12, 12, (1,), (1,)),
        (12, -1, (2,), (1,)),
        (12, 0, (3,), (-1,)),
        (12, 0, (2, 2), (1,)),
        (12, 0, (2_000_000_000, 1_000), (0, 0)),
        (13, 0, (12,), (1,)),
    ],
)
def test_a_tensor_that_reaches_out_of_its_storage_is_refused(
    tmp_path: Path, tensor: tuple[int, int, tuple[int, ...], tuple[int, ...]]
) -> None:
    path = write(tmp_path / "c.model", pickled({"w": tensor}), w=np.arange(12, dtype=np.float32))
    with pytest.raises(WeightsError):
        read_checkpoint(path)


def test_damaged_files_are_refused_with_the_path(tmp_path: Path) -> None:
    whole = write(tmp_path / "w.model", pickled({"w": (4, 0, (4,), (1,))}), w=np.ones(4, np.float32))
    content = whole.read_bytes()
    for name, damaged in {
        "empty": b"",
        "torn": content[: len(content) // 2],
        "text": b"404: Not Found",
        "page": b"<html></html>",
    }.items():
        path = tmp_path / name
        path.write_bytes(damaged)
        with pytest.raises(WeightsError, match=name):
            read_checkpoint(path)
    with pytest.raises(WeightsError, match="absent"):
        read_checkpoint(tmp_path / "absent")


@pytest.mark.parametrize("content", [b"\x80\x02", b"\x80\x02].", b"\x80\x02N.", b"\x80\x02R.", b"garbage"])
def test_a_pickle_without_tensors_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(WeightsError):
        read_checkpoint(write(tmp_path / "c.model", content))


def test_a_storage_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError):
        read_checkpoint(write(tmp_path / "c.model", pickled({"w": (4, 0, (4,), (1,))})))


def test_a_zip_that_would_swell_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "bomb.model"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickled({}))
        archive.writestr("archive/data/w", bytes(65 << 20))
    with pytest.raises(WeightsError, match="claims to hold"):
        read_checkpoint(path)
