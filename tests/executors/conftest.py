"""Where the tests of executors run: this machine, and a Ray cluster on it."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.ray_cluster import RayCluster


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[RayCluster]:
    """A head that runs nothing, and one node with two processors and two GPUs that are none."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed here: pip install 'vidfleet[ray]'")
    from tests.support.ray_cluster import RayCluster

    made = RayCluster()
    made.add("n0", num_cpus=2, num_gpus=2)
    yield made
    made.close()
