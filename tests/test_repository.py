"""The rules of this repository: sizes, links, text that belongs nowhere, pages that must match the code."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[1]
NOT_OURS = {".git", ".venv", "demo", "dist", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"}


def repository_files() -> list[Path]:
    """Everything that git knows or would take; every file where this is no git checkout."""
    command = ["git", "-C", str(TOP), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        listed = [str(path.relative_to(TOP)) for path in TOP.rglob("*") if not NOT_OURS & set(path.parts)]
    return sorted(TOP / name for name in set(listed) if name and (TOP / name).is_file())


FILES = repository_files()
TEXTS = [path for path in FILES if path.suffix in {".py", ".md", ".toml", ".sh", ".svg", ".json", ".csv", ""}]
PYTHON = [path for path in FILES if path.suffix == ".py"]
PAGES = [path for path in FILES if path.suffix == ".md"]


def name(path: Path) -> str:
    """The path below the top, for messages."""
    return path.relative_to(TOP).as_posix()


@pytest.mark.parametrize(
    ("below", "most"),
    [
        ("src/", 500),
        ("tests/", 500),
        ("tools/", 250),
        ("benchmarks/", 300),
        ("examples/", 60),
        ("inference_folder/", 30),
        ("Makefile", 40),
    ],
)
def test_a_module_fits_a_sitting(below: str, most: int) -> None:
    lengths = {name(path): len(path.read_text().splitlines()) for path in TEXTS if name(path).startswith(below)}
    assert not {path: length for path, length in lengths.items() if length > most}


def test_a_function_fits_a_screen() -> None:
    long = []
    for path in PYTHON:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                long += [f"{name(path)}:{node.lineno} {node.name}: {lines}"] if lines > 50 else []
    assert not long


def test_every_python_file_says_what_it_is() -> None:
    assert not [name(path) for path in PYTHON if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]


def test_links_between_pages_lead_somewhere() -> None:
    dead = []
    for page in PAGES:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            path = target.partition("#")[0]
            if path and not re.match(r"[a-z]+:", path) and not (page.parent / path).exists():
                dead.append(f"{name(page)}: {target}")
    assert not dead


def test_text_lines_fit() -> None:
    """Tables, pictures and lines with an address may be longer; ruff looks after Python."""
    free = re.compile(r"^\s*\||https?://|^\s*<|^!\[")
    long = [
        f"{name(path)}:{number}"
        for path in TEXTS
        if path.suffix in {".md", ".sh"} or name(path) in {"Makefile", ".ci/run"}
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if len(line) > 120 and not free.search(line)
    ]
    assert not long


FOREIGN_TEXT = {
    "a path of somebody's machine": r"(?<![\w.}])/(?:work|root|workspace)/|/home/\w",
    "a package registry's address": r"pypi\.|pythonhosted\.|[-]index[-]url|find[-]links",
    "how the text came about": r"\bA[I]\b|\bassistan[t]s?\b|(?<!user-)\bagen[t]s?\b",
}


@pytest.mark.parametrize("what", FOREIGN_TEXT)
def test_no_text_that_belongs_nowhere(what: str) -> None:
    pattern = re.compile(FOREIGN_TEXT[what])
    found = [
        f"{name(path)}:{number}: {line.strip()[:80]}"
        for path in TEXTS
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if pattern.search(line)
    ]
    assert not found, f"{what}: {found}"


def test_nothing_large_and_no_media_weights_or_locks() -> None:
    media = {".mp4", ".avi", ".mov", ".mkv", ".mpg", ".webm", ".wav", ".flac", ".mp3", ".m4a"}
    weights = {
        ".onnx",
        ".model",
        ".pt",
        ".pth",
        ".ckpt",
        ".safetensors",
        ".npz",
        ".npy",
        ".pckl",
        ".pkl",
        ".bin",
    }
    locks = {"uv.lock", "poetry.lock", "Pipfile.lock", "pdm.lock", "package-lock.json", "yarn.lock"}
    assert not [name(path) for path in FILES if path.suffix.lower() in media | weights or path.name in locks]
    assert not [name(path) for path in FILES if path.stat().st_size > 300_000]


def test_each_source_folder_is_known_to_the_architecture_page() -> None:
    page = (TOP / "ARCHITECTURE.md").read_text(encoding="utf-8")
    packages = {path.parent.name for path in (TOP / "src" / "vidfleet").glob("*/__init__.py")}
    assert not [package for package in sorted(packages) if f"{package}/" not in page]


def test_the_changelog_knows_this_version() -> None:
    import vidfleet

    assert f"## {vidfleet.__version__}" in (TOP / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_command_line_page_matches_the_program() -> None:
    from tools.cli_page import PAGE, make_page

    assert PAGE.read_text(encoding="utf-8") == make_page(), "docs/cli.md is behind: make docs"
