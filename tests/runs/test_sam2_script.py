"""``parallel_runner.py --script inference_folder_sam2.py``: the user's own command, with a model and without."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.speakers.films import noise, two_shots, write_video
from tests.speakers.sam2_models import has_sam2, save_tiny
from vidfleet.errors import SetupError
from vidfleet.speakers import models
from vidfleet.speakers.pipeline import Speakers

if TYPE_CHECKING:
    from subprocess import CompletedProcess

pytestmark = pytest.mark.timeout(120)

HERE = Path(__file__).parents[2] / "inference_folder"
FAST = ("--models", "embedded", "--words", "none", "--lean")
needs_sam2 = pytest.mark.skipif(not has_sam2(), reason="PyTorch and transformers are not installed (extra sam2)")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with two videos of a real face."""
    for name in ("one.mp4", "sub/two.mkv"):
        path = tmp_path / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, two_shots(), sound=noise(2.4))
    return tmp_path / "videos"


def command(root: Path, *words: str, hub: Path) -> CompletedProcess[str]:
    """The user's command, in the user's folder, where the hub cannot be reached and its cache is empty."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(hub)}
    environment.pop("VIDFLEET_WEIGHTS", None)
    argv = [sys.executable, "parallel_runner.py", "--video_root", str(root), "--script", "inference_folder_sam2.py"]
    argv += ["--devices", "cpu:1", *words]
    return subprocess.run(argv, cwd=HERE, env=environment, capture_output=True, text=True, timeout=100, check=False)


def tree(root: Path) -> list[tuple[str, int, int]]:
    return sorted((str(p.relative_to(root)), p.stat().st_size, p.stat().st_mtime_ns) for p in root.rglob("*"))


@needs_sam2
def test_every_video_is_followed_by_masks_and_lies_where_the_original_put_it(root: Path, tmp_path: Path) -> None:
    model = save_tiny(tmp_path / "sam2-mine")
    done = command(root, "--", *FAST, "--sam2", str(model), "--sam2-when", "always", "--masks", hub=tmp_path / "hub")
    assert done.returncode == 0, done.stdout + done.stderr
    for folder in (root / "one", root / "sub" / "two"):
        assert {"pyavi", "pyframes", "pywork", "pycrop", "vidfleet.json"} <= {path.name for path in folder.iterdir()}
        record = json.loads((folder / "vidfleet.json").read_text())
        assert record["method"]["tracks"]["name"] == "SAM 2 mine"
        assert len(record["method"]["tracks"]["sha256"]) == 64
        told = record["attempts"][-1]["told"]["tracking"]
        assert (told["shots"], told["shots_by_masks"], told["when"]) == (2, 2, "always")
        assert json.loads((folder / "pywork" / "tracking.json").read_text()) == told
        assert "pywork/tracking.json" in record["outputs"]["files"]
        lines = [json.loads(line) for line in (folder / "pywork" / "masks.jsonl").read_text().splitlines()]
        assert {line["track"] for line in lines} <= {0, 1}
        assert all(line["size"] == [256, 320] for line in lines)
    again = command(root, "--", *FAST, "--sam2", str(model), "--sam2-when", "always", "--masks", hub=tmp_path / "hub")
    assert again.returncode == 0
    assert "all up to date" in again.stdout


@needs_sam2
def test_without_the_weights_one_message_says_how_to_get_them_before_any_video(root: Path, tmp_path: Path) -> None:
    before = tree(root)
    failed = command(root, "--", *FAST, hub=tmp_path / "hub")
    assert failed.returncode == 3, failed.stdout + failed.stderr
    assert "hf download facebook/sam2.1-hiera-tiny" in failed.stderr
    assert "Traceback" not in failed.stdout + failed.stderr
    assert tree(root) == before


@pytest.mark.skipif(has_sam2(), reason="PyTorch and transformers are installed here")
def test_without_the_packages_one_message_says_how_to_get_them_before_any_video(root: Path, tmp_path: Path) -> None:
    before = tree(root)
    failed = command(root, "--", *FAST, hub=tmp_path / "hub")
    assert failed.returncode == 3, failed.stdout + failed.stderr
    assert re.search(r"needs torch, transformers\.\nInstall: pip install 'vidfleet\[sam2\]'", failed.stderr)
    assert "Traceback" not in failed.stdout + failed.stderr
    assert tree(root) == before


def test_a_missing_package_is_named_with_the_command_that_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "SAM2_PACKAGES", ("json", "no_such_package_here"))
    with pytest.raises(SetupError, match=r"needs no_such_package_here\.\nInstall: pip install 'vidfleet\[sam2\]'"):
        Speakers.describe([*FAST, "--sam2", "tiny"])


def test_never_needs_neither_packages_nor_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "SAM2_PACKAGES", ("no_such_package_here",))
    said = Speakers.describe([*FAST, "--sam2", "tiny", "--sam2-when", "never"])
    assert "tracks" not in said["method"]
    assert said["fingerprint"] == Speakers.describe([*FAST])["fingerprint"]
