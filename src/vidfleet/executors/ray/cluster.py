"""The way to a Ray cluster: find it or start one here, and see which nodes it has."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import tempfile
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import vidfleet
from vidfleet.errors import SetupError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vidfleet.executors.ray.node import NodeFacts, Share

_STORE_BYTES = 100 << 20
"""Nothing of ours goes through Ray's object store; the least that it takes is 75 MiB."""
_KNOCK_S = 10.0
_KNOCK_AGAIN_S = 2.0
_RAYS_PATIENCE = "RAY_gcs_rpc_server_reconnect_timeout_s"
_TO_END_S = 20.0
"""So much before Ray ends a runner whose head is lost, the run ends in order."""
_TOKENS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
_HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster, or what counts as one."""

    id: str
    name: str
    """For people, and no other node's."""
    cores: int
    memory_bytes: int
    gpus: int


def ray_module() -> Any:  # noqa: ANN401 - Ray has no types of its own
    """Ray itself, that tells nobody who uses it; raises UsageError where it is not installed."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else it warns of what is to come
    try:
        import ray
    except ImportError as error:
        raise UsageError(f"--executor ray needs Ray ({error})\nInstall it: pip install 'vidfleet[ray]'") from error
    # What Ray says of killed workers and nodes, it prints to standard output, whatever log_to_driver is. We say it.
    ray._private.worker._worker_logs_enabled = False
    return ray


def join(address: str, said: str) -> bool:
    """Connect to a cluster; False where this process was already. Raises UsageError where there is none.

    ``said`` is how the user gave the address.
    """
    ray = ray_module()
    if ray.is_initialized():
        return False
    if address.startswith("ray://"):
        raise UsageError(
            f"{said}: videos are staged and published from here, so the runner has to be on the "
            "cluster's network\nGive the address of the cluster itself: HOST:6379, or auto on one of its machines."
        )
    if address != "auto":
        try:
            _knock(address, _KNOCK_S)  # Ray would try for minutes
        except ValueError as error:
            raise UsageError(f"{said}: give HOST:PORT, such as 10.0.0.5:6379, or auto") from error
        except OSError as error:
            raise UsageError(f"{said}: no way to the Ray cluster ({error})") from error
    with _signals_kept(), _silenced(), _stderr_kept() as kept:
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
            kept.seek(0)
            why = why_no_way(address, error, kept.read())
            raise UsageError(f"{said}: no way to the Ray cluster\n{why}") from error
    return True


def why_no_way(address: str, error: Exception, written: bytes) -> str:
    """What kept us out, and what helps; ``written`` is what Ray has written to standard error."""
    if isinstance(error, ray_module().exceptions.AuthenticationError) or b"Unauthenticated" in written:
        return (
            "It wants its token of everybody: set RAY_AUTH_MODE=token here too, and have the head's "
            "~/.ray/auth_token here."
        )
    if address == "auto" and isinstance(error, ConnectionError):
        return "No Ray runs on this machine: start it here, or name the cluster's head, --address HOST:6379."
    return f"{_first_lines(error)}\nSomething answers there; is it the head of a Ray cluster?"


def _knock(address: str, within_s: float) -> None:
    """Raise OSError where nobody answers at HOST:PORT, ValueError where that is no address."""
    host, _, port = address.rpartition(":")
    if not host or not 0 < int(port) < 1 << 16:
        raise ValueError(address)
    socket.create_connection((host.strip("[]"), int(port)), timeout=within_s).close()


def head_answers() -> bool:
    """Whether anybody listens at the cluster's head; to ask Ray would take until it ends this process."""
    try:
        _knock(ray_module().get_runtime_context().gcs_address, _KNOCK_AGAIN_S)
    except OSError:
        return False
    return True


def head_patience_s() -> float:
    """How long a head may be away: shorter than Ray would wait for it, as Ray then ends this process on the spot."""
    return max(float(os.environ.get(_RAYS_PATIENCE, "60")) - _TO_END_S, _TO_END_S)


def start_here(*, cores: int, visible: Sequence[str], is_amd: bool) -> Path:
    """Start a cluster of this one machine, with these GPUs, that ends with this process; the folder that it leaves."""
    ray = ray_module()
    names = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES") if is_amd else ("CUDA_VISIBLE_DEVICES",)
    given = {name: ",".join(visible) for name in names} if visible else {}
    if not any(os.environ.get(name) for name in _TOKENS) and not Path("~/.ray/auth_token").expanduser().exists():
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # Ray would make one that all users here may read
    with _signals_kept(), _silenced(), _environment(given):
        try:
            ray.init(
                address="local", num_cpus=cores, num_gpus=len(visible), include_dashboard=False, log_to_driver=False,
                logging_level=logging.ERROR, object_store_memory=_STORE_BYTES, _node_ip_address="127.0.0.1",
            )  # fmt: skip
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise SetupError(f"no Ray cluster can be started here\n{_first_lines(error)}") from error
    return Path(ray._private.worker._global_node.get_session_dir_path())


def nodes() -> tuple[Node, ...]:
    """The nodes that are alive and have processors or GPUs for Ray, in order of their names."""
    alive = [plain for plain in ray_module().nodes() if plain["Alive"]]
    useful = [plain for plain in alive if plain["Resources"].get("CPU", 0) or plain["Resources"].get("GPU", 0)]
    names = [_name(plain) for plain in useful]
    several = {name for name, count in Counter(names).items() if count > 1}
    found = [_node(p, f"{n}-{p['NodeID'][:6]}" if n in several else n) for p, n in zip(useful, names, strict=True)]
    return tuple(sorted(found, key=lambda node: node.name))


def _name(plain: dict[str, Any]) -> str:
    """As its owner has called it, else its host's."""
    name, address = str(plain.get("NodeName", "")), plain["NodeManagerAddress"]
    return name if name and name != address else str(plain.get("NodeManagerHostname") or address)


def _node(plain: dict[str, Any], name: str) -> Node:
    has = plain["Resources"]
    return Node(plain["NodeID"], name, int(has.get("CPU", 0)), int(has.get("memory", 0)), int(has.get("GPU", 0)))


def nodes_or_none() -> tuple[Node, ...]:
    """The same, of a cluster whose head may not answer just now: then none."""
    ray = ray_module()
    try:
        return nodes()
    except (ray.exceptions.RayError, RuntimeError, OSError):
        return ()


def task(function: Callable[..., Any], node: Node) -> Any:  # noqa: ANN401
    """A function that runs once on this node, in a process that Ray has there anyway."""
    return ray_module().remote(function).options(num_cpus=0, max_retries=0, **on_node(node))


def answer(ref: Any, within_s: float) -> Any:  # noqa: ANN401
    """Wait for an answer; the exception, where one came in its place or nothing came."""
    ray = ray_module()
    try:
        return ray.get(ref, timeout=within_s)
    except ray.exceptions.RayError as error:
        return error


def answers(refs: Sequence[Any], within_s: float, after_first_s: float | None = None) -> list[Any]:
    """The same of several at once; of those that follow the first one within ``after_first_s``, where that is given."""
    ray = ray_module()
    if refs and after_first_s is not None:
        within_s = after_first_s if ray.wait(list(refs), num_returns=1, timeout=within_s)[0] else 0.0
    if refs:
        ray.wait(list(refs), num_returns=len(refs), timeout=within_s)
    return [answer(ref, 0.0) for ref in refs]


def failing(refs: Sequence[Any], within_s: float) -> list[Any]:
    """Wait for them together; those that have not ended well by then."""
    return [ref for ref, got in zip(refs, answers(refs, within_s), strict=True) if isinstance(got, Exception)]


def kill(actor: Any) -> None:  # noqa: ANN401
    """End an actor, if it is one still."""
    if actor is not None:
        ray_module().kill(actor, no_restart=True)


def on_node(node: Node) -> dict[str, Any]:
    """Options of a task or actor that runs there and nowhere else."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node.id, soft=False)}


def greeting() -> Callable[[str, Share, str], NodeFacts | str]:
    """A function for a node: its facts, or a sentence why it can have no lanes.

    It is sent there as code, not as a name: what it finds out is whether our names are known there.
    """

    def greet(version: str, share: Share, python: str) -> NodeFacts | str:
        import vidfleet

        if vidfleet.__version__ != version:
            return f"it has vidfleet {vidfleet.__version__}, and the runner {version}"
        from vidfleet.executors.ray.node import look

        return look(share, python)

    return greet


def is_late(answer: Any) -> bool:  # noqa: ANN401
    """Whether no answer has come yet."""
    return isinstance(answer, ray_module().exceptions.GetTimeoutError)


def why_not(error: Exception) -> str:
    """Why a node that was asked did not answer, in words."""
    text = str(error)
    if "No module named 'vidfleet'" in text:
        return "it has no vidfleet: install it there too, version " + vidfleet.__version__
    if "No module named 'vidfleet." in text:
        return f"it has another vidfleet than the runner's {vidfleet.__version__}"
    exceptions = ray_module().exceptions
    if isinstance(error, exceptions.TaskUnschedulableError | exceptions.NodeDiedError):
        return "it has just been lost"
    if isinstance(error, exceptions.GetTimeoutError):
        return "it does not answer"
    return _first_lines(error, 1)


def _first_lines(error: Exception, count: int = 6) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "\n".join(lines[:count])


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself; the runner has its own way to end."""
    kept = {number: signal.getsignal(number) for number in _HANDLED}
    try:
        yield
    finally:
        for number, handler in kept.items():
            with contextlib.suppress(ValueError, TypeError):  # not the main thread's business, or not Python's
                signal.signal(number, handler)


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _stderr_kept() -> Iterator[IO[bytes]]:
    """Into a file goes what Ray's core writes there, past Python: a line a second, for 20 s."""
    with tempfile.TemporaryFile() as kept:
        before = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield kept
        finally:
            os.dup2(before, 2)
            os.close(before)


@contextlib.contextmanager
def _environment(given: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def interpreter() -> str:
    """The path that nodes must have Python under, where scripts name no other."""
    return sys.executable
