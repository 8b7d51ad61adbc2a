"""A Ray cluster of several nodes on this machine, in processes of its own, whose nodes can be added and killed.

``python -m tests.support.ray_cluster`` is the process that holds them: it reads orders as lines of JSON, and ends
with its standard input. Tests talk to it through :class:`RayCluster`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

TOP = Path(__file__).resolve().parents[2]


class RayCluster:
    """The cluster as tests see it; its head runs nothing."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.support.ray_cluster"], cwd=TOP, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self.address: str = self._ask({})["address"]
        self._raylets: dict[str, int] = {}

    def add(self, name: str, **resources: object) -> str:
        """Have a node join, such as ``num_cpus=2, num_gpus=2``; returns its name."""
        self._raylets[name] = self._ask({"node_name": name, **resources})["pid"]
        return name

    def kill(self, name: str, *, whole: bool = False) -> None:
        """SIGKILL to a node's raylet; ``whole``: and to everything below it in the same instant."""
        raylet = psutil.Process(self._raylets.pop(name))
        below = raylet.children(recursive=True) if whole else []
        for process in (raylet, *below):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def actors(self, name: str) -> list[psutil.Process]:
        """The processes of Ray that hold our lanes on a node."""
        below = psutil.Process(self._raylets[name]).children()
        return [process for process in below if process.cmdline()[0].startswith("ray::LaneActor")]

    def close(self) -> None:
        """End all of it."""
        below = psutil.Process(self._process.pid).children(recursive=True)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(20)
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        for process in below:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def _ask(self, order: dict[str, object]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("{"):
                plain: dict[str, Any] = json.loads(line)
                return plain
        raise AssertionError("the cluster has ended")


def main() -> None:
    """Hold the cluster."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    least = {"object_store_memory": 80 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "num_gpus": 0, **least})
    for line in sys.stdin:
        order = json.loads(line)
        told: dict[str, object] = {"address": cluster.address}
        if order:
            node = cluster.add_node(wait=True, **least, **order)
            told = {"pid": node.all_processes["raylet"][0].process.pid}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
    cluster.shutdown()


if __name__ == "__main__":
    main()
