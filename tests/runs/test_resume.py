"""What runs again, and what does not: the record decides, row by row."""

from __future__ import annotations

import json
import os
import shutil
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fleet import Fleet

_BODY = """
    with open(os.path.join(os.path.dirname(__file__), "ran"), "a") as file:
        file.write(os.path.realpath(video).rsplit("/", 1)[1] + "\\n")
    os.makedirs(out + "/pyframes")
    for index in range(3):
        leave(f"pyframes/{index}.jpg", video)
    leave()
"""


@pytest.fixture
def script(fleet: Fleet) -> Path:
    """A script that writes down what it ran on."""
    return fleet.script(_BODY)


@pytest.fixture(autouse=True, params=["script", "template", "class"])
def contract(request: pytest.FixtureRequest, fleet: Fleet) -> None:
    """Each row of the table holds for all three contracts."""
    (fleet.scripts / "contract").write_text(request.param)


def _run(fleet: Fleet, script: Path, *more: str) -> tuple[int, list[str]]:
    """Exit status, and the videos that ran."""
    ran = fleet.scripts / "ran"
    ran.unlink(missing_ok=True)
    ours, theirs = (more[: more.index("--")], more[more.index("--") + 1 :]) if "--" in more else (more, ())
    way = fleet.way((fleet.scripts / "contract").read_text(), script, *theirs)
    result = fleet.run("--expect", "result.txt", "--devices", "cpu:2", *ours, *way)
    return result.returncode, sorted(ran.read_text().split()) if ran.exists() else []


def test_nothing_changed_nothing_runs(fleet: Fleet, script: Path) -> None:
    """And no trace of a run that did nothing."""
    fleet.videos(3)
    assert _run(fleet, script) == (0, ["v00.mp4", "v01.mp4", "v02.mp4"])
    runs = len(list((fleet.root / ".vidfleet" / "runs").iterdir()))
    assert _run(fleet, script) == (0, [])
    assert len(list((fleet.root / ".vidfleet" / "runs").iterdir())) == runs


def test_a_video_added_in_front_runs_alone(fleet: Fleet, script: Path) -> None:
    """Where GNU parallel's resume skips it and runs another twice."""
    fleet.videos(3)
    _run(fleet, script)
    fleet.video("a_first.mp4")
    assert _run(fleet, script) == (0, ["a_first.mp4"])


def test_a_video_renamed_with_its_folder_concerns_no_other(fleet: Fleet, script: Path) -> None:
    """Nothing runs, or only that one."""
    fleet.videos(3)
    _run(fleet, script)
    (fleet.root / "v01.mp4").rename(fleet.root / "w.mp4")
    (fleet.root / "v01").rename(fleet.root / "w")
    status, ran = _run(fleet, script)
    assert status == 0
    assert ran in ([], ["w.mp4"])


def test_a_replaced_video_runs_and_its_output_is_replaced_whole(fleet: Fleet, script: Path) -> None:
    """The old output stands until the new one is whole."""
    videos = fleet.videos(2)
    _run(fleet, script)
    before = json.loads((fleet.root / "v00" / "vidfleet.json").read_text())
    fleet.video("v00.mp4", frames=9)
    assert videos[0].stat().st_size != before["input"]["size_bytes"]
    assert _run(fleet, script) == (0, ["v00.mp4"])
    after = json.loads((fleet.root / "v00" / "vidfleet.json").read_text())
    assert after["input"]["frames"] == 9
    assert not list(fleet.root.glob("*.old"))


def test_a_touched_video_with_the_same_content_does_not_run(fleet: Fleet, script: Path) -> None:
    """A copy has another modification time."""
    videos = fleet.videos(1)
    _run(fleet, script)
    os.utime(videos[0], (time.time() + 99, time.time() + 99))
    assert _run(fleet, script) == (0, [])


@pytest.mark.parametrize("gone", ["v01", "v01/result.txt", "v01/pyframes/1.jpg", "v01/vidfleet.json"])
def test_an_output_that_is_no_longer_whole_runs(fleet: Fleet, script: Path, gone: str) -> None:
    """A folder deleted, a promised file, one frame; without its record a folder is somebody else's."""
    fleet.videos(2)
    _run(fleet, script)
    path = fleet.root / gone
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    expected = (1, []) if gone.endswith(".json") else (0, ["v01.mp4"])
    assert _run(fleet, script) == expected


def test_an_edited_script_or_another_argument_runs_all(fleet: Fleet, script: Path) -> None:
    """Also a changed file that an argument names."""
    fleet.videos(2)
    both = ["v00.mp4", "v01.mp4"]
    config = fleet.scripts / "config.yaml"
    config.write_text("a: 1")
    assert _run(fleet, script, "--", str(config)) == (0, both)
    assert _run(fleet, script, "--", str(config)) == (0, [])
    config.write_text("a: 2")
    assert _run(fleet, script, "--", str(config)) == (0, both)
    assert _run(fleet, script, "--", str(config), "more") == (0, both)
    script.write_text(script.read_text() + "\n# edited\n")
    assert _run(fleet, script, "--", str(config), "more") == (0, both)


def test_a_moved_or_copied_root_is_still_done(fleet: Fleet, script: Path, tmp_path: Path) -> None:
    """Records travel with the data; a copy has new modification times."""
    fleet.videos(2)
    fleet.video("deep/er/x.mp4")
    _run(fleet, script)
    shutil.copytree(fleet.root, tmp_path / "copy", copy_function=shutil.copyfile, symlinks=True)
    fleet.root = tmp_path / "copy"
    assert _run(fleet, script) == (0, [])


def test_failed_videos_run_again_unless_told_otherwise(fleet: Fleet) -> None:
    """``--no-retry-failed``."""
    fleet.videos(2)
    script = fleet.script("leave() if stem == 'v00' else sys.exit(4)")
    assert fleet.run("--script", script).returncode == 1
    assert fleet.run("--script", script, "--no-retry-failed").returncode == 1
    assert fleet.run("--script", script, "--retries", "0").returncode == 1
    assert len(fleet.events("attempt_started")) == 1


def test_a_whole_stage_of_a_killed_runner_is_published_not_redone(fleet: Fleet, script: Path) -> None:
    """Killed between the record and the rename."""
    fleet.videos(1)
    _run(fleet, script)
    stage = next(path for path in (fleet.root / ".vidfleet").iterdir() if path.name.startswith("v00-"))
    (stage / "v00").unlink()
    (fleet.root / "v00").rename(stage / "v00")
    assert _run(fleet, script) == (0, [])
    assert (fleet.root / "v00" / "result.txt").is_file()


def test_outputs_may_be_mirrored_elsewhere(fleet: Fleet, script: Path, tmp_path: Path) -> None:
    """``--output``: nothing is written below the root."""
    fleet.video("S/a.mp4")
    before = sorted(fleet.root.rglob("*"))
    assert _run(fleet, script, "--output", str(tmp_path / "out")) == (0, ["a.mp4"])
    assert sorted(fleet.root.rglob("*")) == before
    assert (tmp_path / "out" / "S" / "a" / "vidfleet.json").is_file()
    assert _run(fleet, script, "--output", str(tmp_path / "out")) == (0, [])


_CHOOSY = """
import os

class Choosy:
    @classmethod
    def describe(cls, arguments):
        full = os.path.exists({weights!r})
        wants = "embedded" in arguments
        return {{"fingerprint": {{"full": full and not wants}}, "fallback": "" if full or wants else "no weights here",
                "notices": []}}

    @classmethod
    def from_arguments(cls, arguments):
        return cls()

    def process(self, video, out):
        with open(os.path.join(out, "x"), "w") as file:
            file.write("1")
"""


def test_a_lesser_method_never_replaces_what_the_full_one_made(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 3 and one sentence; asked for by name, it may."""
    fleet.videos(2)
    weights = fleet.scripts / "weights"
    (fleet.scripts / "choosy.py").write_text(_CHOOSY.format(weights=str(weights)))
    monkeypatch.chdir(fleet.scripts)
    assert fleet.run("--worker", "choosy:Choosy").returncode == 0
    weights.touch()
    assert fleet.run("--worker", "choosy:Choosy").returncode == 0, "the better method replaces the lesser"
    assert fleet.run("--worker", "choosy:Choosy").stdout.count("up to date") == 1
    weights.unlink()
    refused = fleet.run("--worker", "choosy:Choosy")
    assert refused.returncode == 3
    assert "no weights here" in refused.stdout
    assert fleet.run("--worker", "choosy:Choosy", "--", "embedded").returncode == 0
