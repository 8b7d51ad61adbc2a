"""Where the tests of executors run: on this machine, and on a Ray and a Slurm cluster that are on it too."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

from tests.support.places import Place
from tests.support.slurm_cluster import SlurmCluster, why_not

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


@pytest.fixture(scope="session")
def slurm_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """Three nodes that stay up for all tests of this process."""
    if missing := why_not():
        pytest.skip(missing)
    made = SlurmCluster(tmp_path_factory.mktemp("slurm"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def slurm(slurm_nodes: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmCluster]:
    """The nodes, free of jobs before and afterwards."""
    monkeypatch.setenv("SLURM_CONF", str(slurm_nodes.configuration))
    yield slurm_nodes
    slurm_nodes.end_jobs()


@pytest.fixture(
    params=["local", pytest.param("ray", marks=pytest.mark.ray), pytest.param("slurm", marks=pytest.mark.slurm)]
)
def place(request: pytest.FixtureRequest) -> Place:
    """Every executor that there is."""
    if request.param == "local":
        return Place("local", ("--num-gpus", "2"))
    if request.param == "slurm":
        request.getfixturevalue("slurm")
        return Place("slurm", ("--executor", "slurm", "--slurm", "gpus=2", "--num-gpus", "2"), runner_may_die=False)
    cluster: RayCluster = request.getfixturevalue("ray_cluster")
    return Place("ray", ("--executor", "ray", "--address", cluster.address, "--num-gpus", "2"))
