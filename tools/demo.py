"""The demo, run by ``make demo``: sample videos, or your own (VIDEOS=DIR), through the default script."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TOP = Path(__file__).resolve().parents[1]
SHARED = TOP.parent / "shared"
PARTS = {
    "index.html": "the page: the film, who speaks when, what was said",
    "transcript.*": "the same for programs (.json) and players (.srt, .vtt, .ass)",
    "people.json": "who is who: change the names, then call .venv/bin/vidfleet people",
    "pyavi/": "the film with a box around each face, green while it speaks: video_out.avi",
    "pywork/": "shots, faces, tracks and scores, for programs",
    "pycrop/": "one small film for each face",
    "pyframes/": "pictures of the film",
}
MOST_SHOWN = 10
REAL_PEOPLE = ("grid_2people_turns_cut.mp4", "visualvoice_interview.mp4", "retalking_face2.mp4")


def find_videos() -> Path:
    """The person's own folder, or one with samples: real people where we have some, else made-up ones."""
    if os.environ.get("VIDEOS"):
        return Path(os.environ["VIDEOS"]).expanduser().resolve()
    root = TOP / "demo" / "video"
    clips = [clip for name in REAL_PEOPLE if (clip := SHARED / "media" / name).exists()]
    if not clips:
        subprocess.run([sys.executable, "-m", "tools.sample_clips", str(root / "Mission")], cwd=TOP, check=True)
    for clip in clips:
        (root / "People").mkdir(parents=True, exist_ok=True)
        if not (root / "People" / clip.name).exists():
            shutil.copyfile(clip, root / "People" / clip.name)
    return root


def find_results(root: Path) -> Iterator[str]:
    """The finished output folders below `root`."""
    for folder, folders, files in os.walk(root):
        if "vidfleet.json" in files:
            folders.clear()  # thousands of pictures, and nothing else that we look for
            yield folder


def show(results: Sequence[str]) -> None:
    """Say where the results lie, and what is in them."""
    if not results:
        print("\nNo results.")
        return
    print("\nResults:")
    for folder in results[:MOST_SHOWN]:
        print(f"  {folder}")
    if len(results) > MOST_SHOWN:
        print(f"  and {len(results) - MOST_SHOWN} more")
    print("In each of them:")
    for part, meaning in PARTS.items():
        print(f"  {part:13} {meaning}")


def main() -> int:
    """Run the user's own command and say where its results lie."""
    root = find_videos()
    # The sample clips have subtitles beside them; nobody waits for half a gigabyte of a Whisper model to see a demo.
    environment = {"HF_HUB_OFFLINE": "1", **os.environ}
    if (SHARED / "weights").is_dir():
        environment.setdefault("VIDFLEET_WEIGHTS", str(SHARED / "weights"))
    print(f"cd inference_folder && python parallel_runner.py --video_root {shlex.quote(str(root))}\n", flush=True)
    command = [sys.executable, "parallel_runner.py", "--video_root", str(root)]
    status = subprocess.run(command, cwd=TOP / "inference_folder", env=environment, check=False).returncode
    show(sorted(find_results(root)))
    return status


if __name__ == "__main__":
    sys.exit(main())
