"""Which video meets which device, in which order."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.fleet import Fleet

_NOTE = """
    leave("device.txt", os.environ["CUDA_VISIBLE_DEVICES"] + " " + os.environ["CUDA_DEVICE_ORDER"])
"""


def test_round_robin_gives_video_i_to_gpu_i_mod_n(fleet: Fleet) -> None:
    """The user's text to the letter, and a resumed run keeps the mapping."""
    fleet.videos(10)
    script = fleet.script(_NOTE)
    result = fleet.run("--script", script, "--num_gpus", "4", "--schedule", "round-robin")
    assert result.returncode == 0, result.stdout
    for index in range(10):
        text = (fleet.root / f"v{index:02d}" / "device.txt").read_text()
        assert text == f"{index % 4} PCI_BUS_ID"
    for index in (3, 5):
        shutil.rmtree(fleet.root / f"v{index:02d}")
    assert fleet.run("--script", script, "--num_gpus", "4", "--schedule", "round-robin").returncode == 0
    for index in (3, 5):
        assert (fleet.root / f"v{index:02d}" / "device.txt").read_text().startswith(str(index % 4))


def test_the_longest_comes_first(fleet: Fleet) -> None:
    """The default order."""
    for name, frames in (("a", 5), ("b", 50), ("c", 20)):
        fleet.video(f"{name}.mp4", frames=frames)
    assert fleet.run("--script", fleet.script("leave()"), "--devices", "cpu:1").returncode == 0
    assert [event["video"] for event in fleet.events("attempt_started")] == ["b.mp4", "c.mp4", "a.mp4"]


def test_every_attempt_has_its_share_of_cores(fleet: Fleet) -> None:
    """Eight processes with all cores each are slower than one after the other. Lanes without a video get none."""
    fleet.videos(len(os.sched_getaffinity(0)))
    script = fleet.script('leave("threads.txt", os.environ["OMP_NUM_THREADS"] + os.environ["MKL_NUM_THREADS"])')
    assert fleet.run("--script", script, "--num_gpus", "64").returncode == 0
    assert (fleet.root / "v00" / "threads.txt").read_text() == "11"


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
@pytest.mark.parametrize("library", ["cv2", "av"])
def test_a_library_takes_no_more_threads_than_its_lane_has_cores(fleet: Fleet, library: str) -> None:
    """OpenCV by its variable or by the cores that it may use, FFmpeg by these; with ``all`` both take what is there."""
    fleet.videos(2)
    ask = {
        "cv2": "str(__import__('cv2').getNumThreads())",
        "av": "str(encoders())",
    }[library]
    script = fleet.script(
        """
        def encoders():
            import av, io
            with av.open(io.BytesIO(), "w", format="mp4") as container:
                stream = container.add_stream("libx264", rate=25, width=640, height=480, pix_fmt="yuv420p")
                before = len(os.listdir("/proc/self/task"))
                stream.encode(av.VideoFrame(640, 480, "yuv420p"))
                return 1 + len(os.listdir("/proc/self/task")) - before
        leave("threads.txt", ASK)
        """.replace("ASK", ask)
    )
    count = len(os.sched_getaffinity(0))
    words = ("--script", script, "--devices", f"cpu:{count}")
    fleet.videos(count)
    assert fleet.run(*words).returncode == 0
    assert (fleet.root / "v00" / "threads.txt").read_text() == "1"
    shutil.rmtree(fleet.root / "v00")
    shutil.rmtree(fleet.root / "v01")
    assert fleet.run(*words, "--cores-per-lane", "all").returncode == 0
    assert int((fleet.root / "v00" / "threads.txt").read_text()) > 1


def test_the_users_own_command(fleet: Fleet, tmp_path: Path) -> None:
    """``cd inference_folder; python parallel_runner.py --video_root DIR --num_gpus 4 --script X.py``."""
    fleet.video("Frasier/Frasier_02x01.mp4")
    here = tmp_path / "inference_folder"
    here.mkdir()
    source = Path(__file__).parents[2] / "inference_folder" / "parallel_runner.py"
    shutil.copy(source, here)
    shutil.copy(fleet.script(_NOTE, "mine.py"), here / "inference_folder.py")
    shutil.copy(fleet.script(_NOTE + "    leave('other.txt')\n", "x.py"), here / "other.py")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "parallel_runner.py", "--video_root", str(fleet.root), *words],
            cwd=here, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    result = run("--num_gpus", "4")
    assert result.returncode == 0, result.stderr
    out = fleet.root / "Frasier" / "Frasier_02x01"
    assert (out / "device.txt").read_text() == "0 PCI_BUS_ID"
    assert "no NVIDIA driver" in result.stderr + result.stdout
    shutil.rmtree(out)
    assert run("--script", "other.py").returncode == 0
    assert (out / "other.txt").is_file()
