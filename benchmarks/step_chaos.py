"""Kills in the midst of a video: does the next attempt make what an undisturbed one makes?

::

    python -m benchmarks.step_chaos                  200 kills; writes benchmarks/results/step_chaos.json
    python -m benchmarks.step_chaos --seed 17        one case again

The pipeline works on a short film with words beside it and is killed when it has written a random number of bytes;
the rest of what it was doing is lost in the middle of a write. One case in three is killed a second time in its next
attempt. Then it runs to its end, and every file must be what an undisturbed run makes, byte for byte. All counts
must be 0.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import vidfleet
from tests.speakers.films import FAST, noise, scene, write_video
from vidfleet.speakers.layout import STEPS
from vidfleet.speakers.pipeline import Speakers

RESULTS = Path(__file__).parent / "results" / "step_chaos.json"
SETTINGS = (*FAST, "--grid-video", "--panel", "--words", "sidecar")
WORDS = {"segments": [{"start": 0.2, "end": 1.0, "text": "hello there"}]}
POLL_S = 0.0005


def written(out: Path) -> int:
    """How many bytes lie below a folder."""
    total = 0
    for folder, _, names in os.walk(out):
        for name in names:
            try:
                total += os.lstat(f"{folder}/{name}").st_size
            except OSError:
                continue
    return total


def contents(out: Path) -> dict[str, bytes]:
    """Every file but those that tell times."""
    paths = {str(path.relative_to(out)): path for path in out.rglob("*") if path.is_file()}
    return {
        name: path.read_bytes()
        for name, path in paths.items()
        if name != "pywork/time_log.jsonl" and not name.startswith(STEPS)
    }


def attempt(speakers: Speakers, video: Path, out: Path, *, kill_at: int | None) -> bool:
    """Process the video in a fork; killed when so much is written. True where it came to its end."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            speakers.process(str(video), str(out), lambda _stage, _share: None)
            status = 0
        finally:
            os._exit(status)
    while True:
        pid, state = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(state) == 0
        if kill_at is not None and written(out) >= kill_at:
            os.kill(child, signal.SIGKILL)
            kill_at = None
        time.sleep(POLL_S)


def case(seed: int, speakers: Speakers, video: Path, top: Path, *, whole: dict[str, bytes], most: int) -> list[str]:
    """Run one case; what happened, as words to count."""
    chance, out, happened = random.Random(seed), top / f"case-{seed}", []
    for _ in range(1 + (chance.random() < 1 / 3)):
        ended = attempt(speakers, video, out, kill_at=chance.randrange(most))
        happened.append("ended before its kill" if ended else "killed")
    if not attempt(speakers, video, out, kill_at=None):
        return [*happened, "could not go on"]
    now = contents(out)
    if now.keys() != whole.keys():
        happened.append("other files")
    happened += ["other content"] * any(now[name] != whole[name] for name in now.keys() & whole.keys())
    shutil.rmtree(out)
    return happened


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, help="run this case alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="step-chaos-") as name:
        top = Path(name)
        video = write_video(top / "a.mp4", [scene(80 + i // 4, (160, 60, 60)) for i in range(40)], sound=noise(1.6))
        (top / "a.json").write_text(json.dumps(WORDS))
        speakers = Speakers.from_arguments([*SETTINGS])
        speakers.setup("cpu")
        if not attempt(speakers, video, top / "whole", kill_at=None):
            sys.exit("the undisturbed run failed")
        whole, most = contents(top / "whole"), written(top / "whole")
        counts: Counter[str] = Counter()
        seed, began = options.seed or 0, time.monotonic()
        while counts["killed"] < (1 if options.seed is not None else options.kills):
            counts.update(["cases", *case(seed, speakers, video, top, whole=whole, most=most)])
            seed += 1
        took_s = time.monotonic() - began
    bad = {what: counts[what] for what in ("could not go on", "other files", "other content")}
    told = {
        "date": datetime.now(UTC).date().isoformat(),
        "version": vidfleet.__version__,
        "load": round(os.getloadavg()[0], 1),
        "seconds": round(took_s),
        "files": len(whole),
        "bytes": most,
        "counts": {**dict(counts), **bad},
    }
    print(json.dumps(told, indent=1))
    if options.seed is None:
        RESULTS.write_text(json.dumps(told, indent=1) + "\n")
    return int(any(bad.values()))


if __name__ == "__main__":
    sys.exit(main())
