"""A record says where an output comes from: the script's commit, the interpreter, packages, variables."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import textwrap
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest

from vidfleet.workloads.imports import git_commit, imported_by

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fleet import Fleet


def _write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(textwrap.dedent(text))


def test_a_scripts_imports_are_read_from_its_text_and_from_what_lies_beside_it(tmp_path: Path) -> None:
    """Also those inside functions; a broken file among them is passed over."""
    _write(tmp_path, {
        "main.py": """
            import os, numpy as np
            from model.talk import Net
            from .nothing import x
            import helper
            def late():
                import av.video
        """,
        "helper.py": "import helper, main, broken, scipy.signal",
        "broken.py": "import (",
        "model/__init__.py": "import yaml",
        "model/talk.py": "import psutil",
    })  # fmt: skip
    assert imported_by(tmp_path / "main.py") == ("av", "numpy", "os", "psutil", "scipy", "yaml")


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=n", "-c", "user.email=e@example.org", "-C", str(folder), *words],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.mark.parametrize("state", ["branch", "packed", "detached", "worktree"])
def test_the_commit_is_read_from_gits_files(tmp_path: Path, state: str) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    assert git_commit(repository / "deep" / "script.py") is None
    _git(repository, "init", "-q")
    assert git_commit(repository / "script.py") is None, "no commit yet"
    _write(repository, {"deep/script.py": "pass"})
    _git(repository, "add", ".")
    _git(repository, "commit", "-qm", "first")
    if state == "packed":
        _git(repository, "pack-refs", "--all")
    if state == "detached":
        _git(repository, "checkout", "-q", "--detach")
    if state == "worktree":
        _git(repository, "worktree", "add", "-q", "-b", "other", str(tmp_path / "worktree"))
        repository = tmp_path / "worktree"
    assert git_commit(repository / "deep" / "script.py") == _git(repository, "rev-parse", "HEAD")


def _record(fleet: Fleet) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads((fleet.root / "v00" / "vidfleet.json").read_text())
    return plain


def test_a_scripts_record_has_commit_interpreter_packages_and_variables(fleet: Fleet) -> None:
    fleet.videos(1)
    script = fleet.script("import psutil, json\nleave()")
    _git(fleet.scripts, "init", "-q")
    _git(fleet.scripts, "add", ".")
    _git(fleet.scripts, "commit", "-qm", "first")
    assert fleet.run("--script", script).returncode == 0
    record = _record(fleet)
    assert record["workload"]["git_commit"] == _git(fleet.scripts, "rev-parse", "HEAD")
    environment = record["environment"]
    assert environment["interpreter"] == {
        "path": sys.executable, "version": platform.python_version(), "implementation": "CPython",
    }  # fmt: skip
    assert environment["packages"] == {"psutil": version("psutil")}
    assert environment["variables"]["CUDA_VISIBLE_DEVICES"] == ""
    assert "OMP_NUM_THREADS" in environment["variables"]
    assert record["input"]["content_sha256"] is None
    assert record["attempts"][0]["peak_gpu_memory_bytes"] is None


def test_a_classs_record_has_the_packages_that_it_has_loaded(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what it imports only while it works; the same for its second video."""
    fleet.videos(2)
    (fleet.scripts / "lazy.py").write_text(
        textwrap.dedent("""
        class Lazy:
            def process(self, video, out):
                import psutil
                open(out + "/x", "w").write("x")
    """)
    )
    monkeypatch.chdir(fleet.scripts)
    assert fleet.run("--worker", "lazy:Lazy", "--devices", "cpu:1", "--fingerprint", "content").returncode == 0
    for name in ("v00", "v01"):
        record = json.loads((fleet.root / name / "vidfleet.json").read_text())
        assert record["environment"]["packages"]["psutil"] == version("psutil")
        assert len(record["input"]["content_sha256"]) == 64


def test_what_a_class_returns_of_a_video_is_in_the_videos_record(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """A small dictionary of plain JSON; all else is none of the record's business, and fails nothing."""
    returned = {
        "dict": "{'shots': 3, 'why': ['cut']}", "object": "{'a': object()}", "long": "{'a': 'x' * 5000}", "number": "7",
    }  # fmt: skip
    for name in returned:
        fleet.video(f"{name}.mp4")
    (fleet.scripts / "telling.py").write_text(
        textwrap.dedent(f"""
        class Telling:
            def process(self, video, out):
                open(out + "/x", "w").write("x")
                name = video.rpartition("/")[2].partition(".")[0]
                return eval({returned!r}[name])
    """)
    )
    monkeypatch.chdir(fleet.scripts)
    assert fleet.run("--worker", "telling:Telling", "--devices", "cpu:1").returncode == 0
    told = {
        path.parent.name: json.loads(path.read_text())["attempts"][-1].get("told")
        for path in fleet.root.glob("*/vidfleet.json")
    }
    assert told == {"dict": {"shots": 3, "why": ["cut"]}, "object": None, "long": None, "number": None}


def test_a_program_that_is_no_python_has_no_packages(fleet: Fleet) -> None:
    fleet.videos(1)
    assert fleet.run("--", "cp", "{video}", "{out}/copy").returncode == 0
    assert _record(fleet)["environment"]["packages"] == {}
