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
_LEAST = {"object_store_memory": 80 << 20}


class RayCluster:
    """The cluster as tests see it; its head runs nothing."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.support.ray_cluster"], cwd=TOP, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self.address: str = self._ask({})["address"]
        self._raylets: dict[str, int] = {}
        self._hidden: list[subprocess.Popen[str]] = []

    def add(self, name: str, **resources: object) -> str:
        """Have a node join, such as ``num_cpus=2, num_gpus=2``; returns its name."""
        self._raylets[name] = self._ask({"node_name": name, **resources})["pid"]
        return name

    def add_hidden(self, name: str, hiding: str, **resources: object) -> str:
        """Have a node join from a mount name space of its own, in which ``hiding`` was run."""
        command = [
            "unshare", "--mount", "sh", "-c", f'{hiding} && exec "$@"', "sh", sys.executable, "-W", "ignore", "-m",
            "tests.support.ray_cluster", self.address, name, json.dumps(resources),
        ]  # fmt: skip
        node = subprocess.Popen(
            command, cwd=TOP, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._hidden.append(node)
        assert node.stdout is not None
        self._raylets[name] = json.loads(next(line for line in node.stdout if line.startswith("{")))["pid"]
        return name

    def names(self) -> list[str]:
        """The nodes that are there."""
        return list(self._raylets)

    def kill(self, name: str, *, whole: bool = False) -> None:
        """SIGKILL to a node's raylet; ``whole``: and to everything below it in the same instant."""
        raylet = psutil.Process(self._raylets.pop(name))
        below = raylet.children(recursive=True) if whole else []
        for process in (raylet, *below):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def suspend(self, name: str) -> None:
        """SIGSTOP to a node's raylet."""
        psutil.Process(self._raylets[name]).suspend()

    def actors(self, name: str) -> list[psutil.Process]:
        """The processes of Ray that hold our lanes on a node."""
        below = psutil.Process(self._raylets[name]).children()
        return [process for process in below if process.cmdline()[0].startswith("ray::LaneActor")]

    def close(self) -> None:
        """End all of it."""
        for node in self._hidden:
            node.communicate(timeout=20)
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
    """Hold the cluster, or one further node of it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if sys.argv[1:]:
        _hold_node(*sys.argv[1:])
        return
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "num_gpus": 0, **_LEAST})
    for line in sys.stdin:
        order = json.loads(line)
        told: dict[str, object] = {"address": cluster.address}
        if order:
            node = cluster.add_node(wait=True, **_LEAST, **order)
            told = {"pid": node.all_processes["raylet"][0].process.pid}
        _tell(told)
    cluster.shutdown()


def _hold_node(address: str, name: str, resources: str) -> None:
    from ray._private.node import Node
    from ray._private.parameter import RayParams

    parameters = RayParams(
        redis_address=address, gcs_address=address, node_name=name, include_log_monitor=False, node_manager_port=0,
        min_worker_port=0, max_worker_port=0, **_LEAST, **json.loads(resources),
    )  # fmt: skip
    node = Node(parameters, head=False, shutdown_at_exit=True, spawn_reaper=False)
    _tell({"pid": node.all_processes["raylet"][0].process.pid})
    sys.stdin.read()
    node.kill_all_processes(check_alive=False, allow_graceful=False)


def _tell(told: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
