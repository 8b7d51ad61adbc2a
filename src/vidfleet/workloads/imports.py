"""What a script imports, as its text says, without running it; and the commit that its folder is at."""

from __future__ import annotations

import ast
from pathlib import Path

_MOST_FILES = 200


def imported_by(script: Path) -> tuple[str, ...]:
    """Top-level modules that a script names, and the modules beside it that it imports name; sorted.

    What is imported by a name made up at run time is not seen.
    """
    waiting, seen, found = [script], set[Path](), set[str]()
    while waiting and len(seen) < _MOST_FILES:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        for name in _imports(path):
            beside = _beside(script.parent, name)
            waiting += beside
            if not beside and not (script.parent / name.partition(".")[0]).is_dir():
                found.add(name.partition(".")[0])
    return tuple(sorted(found))


def _imports(path: Path) -> set[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, ValueError, SyntaxError, RecursionError):
        return set()
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def _beside(folder: Path, name: str) -> list[Path]:
    """The script's own files that an import of ``name`` reads: of each package on the way, and of the module."""
    found = []
    for part in name.split("."):
        found += [file for file in (folder / f"{part}.py", folder / part / "__init__.py") if file.is_file()]
        folder /= part
    return found


def git_commit(path: Path) -> str | None:
    """The commit that the repository around ``path`` is at, read from its files; None where there is none."""
    for folder in path.resolve().parents:
        git = folder / ".git"
        try:
            if git.is_file():  # a worktree or a submodule: "gitdir: <path>"
                git = folder / git.read_text("utf-8").partition(":")[2].strip()
            if (git / "HEAD").is_file():
                return _resolve(git)
        except (OSError, ValueError):
            return None
    return None


def _resolve(git: Path) -> str | None:
    head = (git / "HEAD").read_text("utf-8").strip()
    if not head.startswith("ref:"):
        return head or None
    name = head.partition(":")[2].strip()
    common = git / (git / "commondir").read_text("utf-8").strip() if (git / "commondir").is_file() else git
    for place in (git, common):
        if (place / name).is_file():
            return (place / name).read_text("utf-8").strip() or None
    packed = common / "packed-refs"
    lines = packed.read_text("utf-8").splitlines() if packed.is_file() else []
    return next((line.split()[0] for line in lines if line.endswith(f" {name}")), None)
