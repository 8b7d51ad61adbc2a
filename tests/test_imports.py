"""Who may import whom, and how little `import vidfleet` brings in (ARCHITECTURE.md says why)."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(__file__).resolve().parents[1] / "src" / "vidfleet"
LEAVES = {"data", "errors", "options", "settings"}
MAY_IMPORT = {
    "errors": set[str](),
    "data": {"errors"},
    "options": {"errors"},
    "settings": {"errors", "options"},
    "workloads": LEAVES,
    "worker": LEAVES | {"workloads"},
    "executors": LEAVES | {"workloads", "worker"},
    "runner": LEAVES | {"workloads", "worker", "executors"},
    "commands": LEAVES | {"runner", "speakers.models", "speakers.people", "speakers.telling"},
    "config": {"errors", "options"},
    "cli": LEAVES | {"commands", "config", "workloads", "worker", "executors", "runner", "speakers.settings"},
    "__main__": {"cli", "errors"},
    "speakers": {"data", "errors", "options"},
}
HEAVY = {"PIL", "av", "cv2", "faster_whisper", "numpy", "onnx", "onnxruntime", "pynvml", "ray", "rich"}
HEAVY |= {"scenedetect", "scipy", "submitit", "torch"}
MODULES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def imported(path: Path, tree: ast.AST) -> Iterator[str]:
    """Every module that is named in an import anywhere below `tree`, by its full name."""
    package = ("vidfleet", *path.relative_to(SOURCE).parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) + 1 - node.level]) + "." if node.level else ""
            module = base + (node.module or "")
            yield from (f"{module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_one_way(path: Path) -> None:
    home = path.relative_to(SOURCE).with_suffix("").parts[0]
    assert home in MAY_IMPORT, f"{home} is new: say in MAY_IMPORT and in ARCHITECTURE.md what it may import"
    for name in imported(path, ast.parse(path.read_text(encoding="utf-8"))):
        parts = name.split(".")
        if parts[0] != "vidfleet" or parts[1:2] in ([], [home], ["__version__"]):
            continue
        allowed = parts[1] in MAY_IMPORT[home] or ".".join(parts[1:3]) in MAY_IMPORT[home]
        assert allowed, f"{home} must not import {name}"


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after `code`."""
    script = f"import sys\n{code}\nsys.stderr.write(' '.join({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_import_vidfleet_brings_in_nothing_heavy() -> None:
    assert not loaded_by("import vidfleet") & (HEAVY | {"argparse", "asyncio", "psutil"})


@pytest.mark.parametrize("command", ["--help", "run --help", "speakers --help"])
def test_help_brings_in_nothing_heavy(command: str) -> None:
    argv = ["vidfleet", *command.split()]
    code = f"from vidfleet.__main__ import main\nsys.argv = {argv}\ntry:\n    main()\nexcept SystemExit:\n    pass"
    assert not loaded_by(code) & HEAVY


def test_import_of_each_public_name_works() -> None:
    import vidfleet

    for name in vidfleet.__all__:
        assert getattr(vidfleet, name) is not None
