"""What all tests share: where the real clips and the weights lie, if they lie beside this checkout; a GPU, if any."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.fleet import Fleet
from vidfleet.worker.gpus import installed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vidfleet.data import Device

TOP = Path(__file__).resolve().parents[1]
SHARED = (TOP.parent / "shared").resolve()


def pytest_configure() -> None:
    """Let everything that tests start find the weights, and look for none on the network.

    And hear of a hang-up, also where the tests themselves run under nohup: what ignores it hands that down.
    """
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if (SHARED / "weights").is_dir():
        os.environ.setdefault("VIDFLEET_WEIGHTS", str(SHARED / "weights"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Clusters first, however the order is shuffled: they take longest, and side by side with all else."""
    items.sort(key=lambda item: "executors" not in item.path.parts)


@pytest.fixture(scope="session")
def media() -> Path:
    """The folder of real clips; a test that needs one is skipped where it is missing."""
    if not (SHARED / "media").is_dir():
        pytest.skip("the real clips are not here: no folder ../shared/media")
    return SHARED / "media"


@pytest.fixture(scope="session")
def weights() -> Path:
    """The folder of model weights, from VIDFLEET_WEIGHTS."""
    folder = Path(os.environ.get("VIDFLEET_WEIGHTS", "nowhere"))
    if not folder.is_dir():
        pytest.skip("no model weights here: VIDFLEET_WEIGHTS names no folder, and there is no ../shared/weights")
    return folder


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """An empty root to put videos into, and a place for scripts."""
    (tmp_path / "root").mkdir()
    (tmp_path / "scripts").mkdir()
    made = Fleet(tmp_path / "root", tmp_path / "scripts", mark=str(tmp_path))
    yield made
    made.close()


@pytest.fixture(scope="session")
def gpu() -> Device:
    """The machine's first GPU of NVIDIA's; a test that needs one is skipped where there is none."""
    found = [device for device in installed().devices() if device.maker == "NVIDIA"]
    if not found:
        pytest.skip("no NVIDIA GPU here, or no driver")
    return found[0]
