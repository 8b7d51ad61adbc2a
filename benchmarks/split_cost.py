"""How long one film of ten minutes takes on one lane and, with ``--split``, on two, each of one core.

    python -m benchmarks.split_cost --media DIR --weights DIR

makes a film of 1280 x 720 of clips of ``DIR``, cut at other places each time they come, and runs the real command over
it with ``--devices cpu:1`` and with ``--devices cpu:2 --split``, one core a lane, in turns. It compares all files of
the outputs, and writes medians to ``results/split_cost.json``. ``--alone`` adds ``--split`` on one lane, where nobody
helps: what dividing costs. ``--by-hand`` leaves the runner out: two processes that are bound to a core each, one calls
``process``, the other ``help``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np

from benchmarks.pipeline.about import about
from vidfleet.speakers.media import VideoSource, extract_sound
from vidfleet.speakers.pipeline import Speakers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

RESULT = Path(__file__).parent / "results" / "split_cost.json"
CLIPS = (
    "visualvoice_interview.mp4", "musetalk_sun.mp4", "latentsync_demo1.mp4", "grid_2people_turns_cut.mp4",
    "face_recognition_short_hamilton_clip.mp4",
)  # fmt: skip
SIZE = (1280, 720)
PIECES_S = (3.2, 7.0, 4.4, 9.6, 5.6)
"""Lengths of shots, in turn: 6 s on the mean."""
SETTINGS = ("--lean", "--words", "none")
_LANE = """
import os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
from vidfleet.speakers.pipeline import Speakers
does, video, out, *arguments = sys.argv[2:]
speakers = Speakers.from_arguments(arguments)
speakers.setup("cpu")
print("ready", flush=True)
sys.stdin.readline()
getattr(speakers, does)(video, out, lambda stage, share: None)
"""


@dataclass(frozen=True)
class Run:
    """One run over the film."""

    way: str
    wall_s: float
    processor_s: float
    """Of all its processes; imports and loading of models included."""


def write_film(path: Path, media: Path, *, seconds: float) -> None:
    """Put clips in a row, resized to 720p, x264 with a key frame at least every two seconds and not at the cuts."""
    with av.open(path, "w") as container, tempfile.TemporaryDirectory() as folder:
        options = {"preset": "veryfast", "crf": "23", "g": "50", "sc_threshold": "0"}
        stream: Any = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 25)
        audio: Any = container.add_stream("aac", rate=16_000, layout="mono")
        for number, (picture, samples) in enumerate(_moments(media, Path(folder), round(seconds * 25))):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
            block = av.AudioFrame.from_ndarray(samples[None].astype(np.float32) / 32768, format="fltp", layout="mono")
            block.sample_rate, block.pts, block.time_base = 16_000, number * 640, Fraction(1, 16_000)
            container.mux(audio.encode(block))
        container.mux(stream.encode(None))
        container.mux(audio.encode(None))


def _moments(media: Path, folder: Path, frames: int) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int16]]]:
    """Picture and sound of so many grid frames: the clips in turn, each time from another place on."""
    given = turn = 0
    while given < frames:
        clip = media / CLIPS[turn % len(CLIPS)]
        source = VideoSource.open(clip)
        sound = extract_sound(clip, folder / "sound.wav", zero=source.zero)
        length = round(PIECES_S[turn % len(PIECES_S)] * 25)
        skipped = (turn * 37) % max(1, source.info.expected_frames - length)
        for frame in source.frames():
            if skipped <= frame.index < skipped + length and given < frames:
                samples = np.zeros(640, np.int16)
                if sound is not None:
                    samples[:] = sound.read(frame.index * 640, frame.index * 640 + 640)
                yield _fitted(frame.bgr), samples
                given += 1
        turn += 1


def _fitted(bgr: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture as large as fits, on grey."""
    factor = min(SIZE[0] / bgr.shape[1], SIZE[1] / bgr.shape[0])
    inner = cv2.resize(bgr, (round(bgr.shape[1] * factor), round(bgr.shape[0] * factor)))
    whole = np.full((SIZE[1], SIZE[0], 3), 110, np.uint8)
    whole[: inner.shape[0], : inner.shape[1]] = inner
    return whole


def by_command(film: Path, out: Path, way: str, arguments: tuple[str, ...]) -> Run:
    """The whole command, interpreter and all."""
    lanes = 2 if way == "two lanes" else 1
    split = () if way == "one lane" else ("--split",)
    argv = (
        sys.executable, "-m", "vidfleet", "speakers", str(film.parent), "--devices", f"cpu:{lanes}",
        "--cores-per-lane", "1", "--output", str(out), *arguments, *split,
    )  # fmt: skip
    return _timed(way, lambda: _call(argv))


def _call(argv: tuple[str, ...]) -> None:
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def by_hand(film: Path, out: Path, way: str, arguments: tuple[str, ...]) -> Run:
    """Workers that have loaded their models, as a lane's has."""
    split = () if way == "one lane" else ("--split",)
    target = out / film.stem
    target.mkdir(parents=True)
    lanes = ["process", *(["help"] if way == "two lanes" else [])]
    cores = sorted(os.sched_getaffinity(0))
    children = []
    for core, does in zip(cores, lanes, strict=False):
        argv = (sys.executable, "-c", _LANE, str(core), does, str(film), str(target), *arguments, *split)
        children.append(subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()
    shares = Speakers.describe([*arguments, "--split"])["shares"]

    def work() -> None:
        for child in children:
            while child is not children[0] and not (target / shares).exists():
                time.sleep(0.05)
            child.communicate(b"\n") if child is children[-1] else _let_go(child)
        for child in children:
            child.wait()

    return _timed(way, work)


def _let_go(child: subprocess.Popen[bytes]) -> None:
    assert child.stdin is not None
    child.stdin.write(b"\n")
    child.stdin.flush()


def _timed(way: str, work: Any) -> Run:  # noqa: ANN401 - a call without arguments
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    work()
    wall_s, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(way, round(wall_s, 2), round(spent, 2))


def contents(out: Path) -> dict[str, bytes]:
    """All result files but those that tell when and how long."""
    told = {"time_log.jsonl", "vidfleet.json"}
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.suffix != ".done" and path.name not in told
    }


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--media", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--film", type=Path, help="this film, instead of one that is made")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--by-hand", action="store_true")
    parser.add_argument("--more", nargs="*", default=[], help="further arguments, such as --split-seconds=30")
    return parser.parse_args()


def main() -> None:
    """Measure, compare, write."""
    asked = _asked()
    arguments = ("--weights", str(asked.weights.resolve()), "--models", "full", *SETTINGS, *asked.more)
    arguments += ("--threads", "1") if asked.by_hand else ()
    measure = by_hand if asked.by_hand else by_command
    ways = ["one lane", "two lanes", *(["one lane, --split"] if asked.alone else [])]
    runs: list[Run] = []
    head = about(asked.repeat)
    with tempfile.TemporaryDirectory() as name:
        film = Path(name) / "films" / "film.mp4"
        film.parent.mkdir()
        if asked.film:
            shutil.copyfile(asked.film, film)
        else:
            write_film(film, asked.media, seconds=60 * asked.minutes)
        minutes = round(VideoSource.open(film).info.duration_s / 60, 1)
        expected: dict[str, bytes] = {}
        for turn in range(asked.repeat):
            for way in ways if turn % 2 == 0 else ways[::-1]:
                out = Path(name) / f"{turn}-{way.replace(' ', '-')}"
                runs.append(measure(film, out, way, arguments))
                sys.stdout.write(f"{runs[-1]}\n")
                found = contents(out / film.stem)
                expected = expected or found
                if found != expected:
                    different = sorted(key for key in {*found, *expected} if found.get(key) != expected.get(key))
                    raise SystemExit(f"{way}: not the same results: {different}")
    medians = {
        way: {
            "wall_s": statistics.median(run.wall_s for run in runs if run.way == way),
            "processor_s": statistics.median(run.processor_s for run in runs if run.way == way),
        }
        for way in ways
    }
    ratio = round(medians["two lanes"]["wall_s"] / medians["one lane"]["wall_s"], 3)
    said = {
        **head, "minutes": minutes,
        "by_hand": asked.by_hand, "arguments": [*SETTINGS, *asked.more], "medians": medians,
        "two lanes / one lane": ratio, "results": "equal", "runs": [asdict(run) for run in runs],
    }  # fmt: skip
    RESULT.write_text(json.dumps(said, indent=1) + "\n", "utf-8")
    sys.stdout.write(f"{json.dumps(medians, indent=1)}\ntwo lanes take {ratio} of the time of one\n")


if __name__ == "__main__":
    main()
