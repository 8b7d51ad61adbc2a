"""cuBLAS is found where NVIDIA's wheel puts it, which no loader knows."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vidfleet.speakers.words import cuda
from vidfleet.speakers.words.cuda import CUBLAS, count_gpus, load_cublas


def a_library() -> Path:
    """Any shared library: CTranslate2's own."""
    package = pytest.importorskip("ctranslate2").__file__
    return next(Path(package).parent.glob("_ext*.so"))


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "nvidia" / "cublas" / "lib"
    folder.mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(cuda, "CUBLAS", "libcublas-of-a-test.so.12")
    return folder


def test_without_a_wheel_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "CUBLAS", "libcublas-of-a-test.so.12")
    monkeypatch.setattr(cuda, "_PACKAGE", "nothing_like_it.cublas")
    assert not load_cublas()


def test_the_wheels_library_is_loaded_with_the_one_that_it_needs(wheel: Path) -> None:
    assert not load_cublas(), "the wheel is empty"
    shutil.copy(a_library(), wheel / "libcublas-of-a-test.so.12")
    assert not load_cublas(), "libcublasLt is missing"
    shutil.copy(a_library(), wheel / "libcublasLt.so.12")
    assert load_cublas()


def test_a_library_that_is_none_is_not_loaded(wheel: Path) -> None:
    for name in ("libcublasLt.so.12", "libcublas-of-a-test.so.12"):
        (wheel / name).write_bytes(b"no library")
    assert not load_cublas()


def test_a_machine_without_a_driver_has_no_gpu() -> None:
    if Path("/proc/driver/nvidia").exists():
        pytest.skip("this machine has NVIDIA's driver")
    assert count_gpus() == 0


def test_the_name_is_the_one_that_ctranslate2_asks_for() -> None:
    if sys.platform != "linux":
        pytest.skip("the wheels of other systems know no CUDA")
    folder = Path(pytest.importorskip("ctranslate2").__file__).parents[1] / "ctranslate2.libs"
    library = next(folder.glob("libctranslate2-*"), None)
    if library is None:
        pytest.skip("CTranslate2 does not come from its wheel here")
    found = subprocess.run(["grep", "-c", CUBLAS, str(library)], capture_output=True, text=True, check=False)
    assert int(found.stdout) > 0
