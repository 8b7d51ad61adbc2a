"""What ``vidfleet doctor`` finds out about installed packages, ONNX Runtime's wheels, and networks' weights."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from importlib import metadata
from typing import TYPE_CHECKING, Any

from vidfleet.runner.care.doctor_machine import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_PACKAGES, _WEIGHTS = "Packages", "Weights of vidfleet speakers"
_CPU_WHEEL, _GPU_WHEEL = "onnxruntime", "onnxruntime-gpu"
_EXTRAS = ("speakers", "sam2")
"""Of which each missing package is named; others are for development and demonstration."""
_ANSWER_LIMIT_S = 60.0
_ASK_PROVIDERS = "import json, onnxruntime; print(json.dumps(onnxruntime.get_available_providers()))"
_ASK_CUDA = "import json; from vidfleet.speakers.nets.session import cuda_trouble; print(json.dumps(cuda_trouble()))"
_PIP = f"{shlex.quote(sys.executable)} -m pip"

Versions = dict[str, str]


def examine_packages(*, has_gpu: bool, version_of: Callable[[str], str] | None = None) -> Iterator[Finding]:
    """The packages that runs and the speakers pipeline need; ``version_of`` stands in for the installed ones."""
    ask = version_of or installed_version
    needed = _required("")
    yield from _listed("vidfleet needs", {name: ask(name) for name in needed}, "bad", "vidfleet")
    named: set[str] = set()
    for extra in _EXTRAS:
        own = [name for name in _required(extra) if name not in named]  # an extra of an extra is spelt out
        versions = {name: ask(name) or (ask(_GPU_WHEEL) if name == _CPU_WHEEL else "") for name in own}
        named.update(own)
        yield from _listed(f"vidfleet[{extra}]", versions, "note", f"vidfleet[{extra}]")
    yield from _onnxruntime(ask(_CPU_WHEEL), ask(_GPU_WHEEL), has_gpu=has_gpu)


def installed_version(name: str) -> str:
    """The version of an installed package; empty where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _required(extra: str) -> list[str]:
    """The packages that vidfleet's own metadata names for an extra, or for all."""
    try:
        lines = metadata.requires("vidfleet") or []
    except metadata.PackageNotFoundError:  # run from a folder, not installed
        lines = []
    found = []
    for line in lines:
        wanted = re.search(r"extra\s*==\s*['\"]([^'\"]+)", line)
        name = re.match(r"[A-Za-z0-9._-]+", line)
        if name and (wanted[1] if wanted else "") == extra:
            found.append(name[0])
    return found


def _listed(title: str, versions: Versions, grade: Any, install: str) -> Iterator[Finding]:  # noqa: ANN401
    there = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    missing = [name for name, version in versions.items() if not version]
    if there:
        yield Finding(_PACKAGES, title, "ok", there)
    if missing:
        yield Finding(_PACKAGES, title, grade, f"not installed: {', '.join(missing)}", f"{_PIP} install '{install}'")


def _onnxruntime(cpu: str, gpu: str, *, has_gpu: bool) -> Iterator[Finding]:
    """Its two wheels hold the same files: with both, what works is a matter of luck."""
    name = "ONNX Runtime"
    if cpu and gpu:
        remove = f"{_PIP} uninstall -y {_CPU_WHEEL} {_GPU_WHEEL}"
        wheel = _GPU_WHEEL if has_gpu else _CPU_WHEEL
        yield Finding(_PACKAGES, name, "bad", f"{_CPU_WHEEL} {cpu} and {_GPU_WHEEL} {gpu} overwrite each other",
                      f"{remove}\n{_PIP} install {wheel}")  # fmt: skip
        return
    if not cpu and not gpu:
        return  # named with its extra
    try:
        providers = ", ".join(_ask([sys.executable, "-c", _ASK_PROVIDERS]))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        yield Finding(_PACKAGES, name, "bad", f"it cannot be imported ({type(error).__name__})",
                      f"{_PIP} install --force-reinstall {_GPU_WHEEL if gpu else _CPU_WHEEL}")  # fmt: skip
        return
    if has_gpu and "CUDAExecutionProvider" not in providers:
        yield Finding(_PACKAGES, name, "note", f"{providers}: the networks of vidfleet speakers run on the processor",
                      f"{_PIP} uninstall -y {_CPU_WHEEL}\n{_PIP} install {_GPU_WHEEL}")  # fmt: skip
        return
    trouble = _cuda_trouble() if has_gpu else ""
    if trouble:
        yield Finding(_PACKAGES, name, "note", f"{trouble}: the networks of vidfleet speakers run on the processor",
                      f"{_PIP} install '{_GPU_WHEEL}[cuda,cudnn]'")  # fmt: skip
        return
    yield Finding(_PACKAGES, name, "ok", providers)


def _cuda_trouble() -> str:
    """Why it cannot compute on the GPU, though it names the provider; a process of its own tries."""
    try:
        return str(_ask([sys.executable, "-c", _ASK_CUDA]))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return f"computing on the GPU failed ({type(error).__name__})"


def examine_weights(argv: Sequence[str] = (sys.executable, "-m", "vidfleet.speakers.which_weights")) -> list[Finding]:
    """Which of the networks' weights are here; a process of its own answers, as no runner knows of networks."""
    try:
        return [_weight(said) for said in _ask(argv)]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
        why = f"nobody can say ({type(error).__name__})"
        return [Finding(_WEIGHTS, "weights", "note", why, f"{_PIP} install 'vidfleet[speakers]'")]


def _weight(said: dict[str, str]) -> Finding:
    if said["trouble"]:
        what, *more = said["trouble"].splitlines()
        return Finding(_WEIGHTS, said["name"], "bad", what, "\n".join([*more, said["command"]]))
    if said["path"]:
        return Finding(_WEIGHTS, said["name"], "ok", said["path"])
    why = "not here: fetched when first wanted; without a network, --models auto does without it"
    return Finding(_WEIGHTS, said["name"], "note", why, said["command"])


def _ask(argv: Sequence[str]) -> Any:  # noqa: ANN401 - JSON
    answer = subprocess.run(
        list(argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True,
        timeout=_ANSWER_LIMIT_S,
    )  # fmt: skip
    return json.loads(answer.stdout)
