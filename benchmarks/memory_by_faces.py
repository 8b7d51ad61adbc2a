"""What a lane holds in memory, by the faces in view and by the length of the film.

::

    python -m benchmarks.memory_by_faces --media DIR --weights DIR        8 minutes of processor time

One clip of a face is put into a 720p picture 1, 4 or 16 times, each in a tile of 320 x 180, forwards and backwards in
turn, so that nothing jumps; a film repeats that for as long as it is to last. Each film has a process of its own: the
whole pipeline with ``--lean --detect-every 5``, one thread, no words. What it holds after its models are loaded and
the most that it held after that are what the kernel tells (``VmRSS``, ``VmHWM``).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np

from benchmarks.pipeline.about import about
from vidfleet.speakers.data import GRID_RATE, SAMPLE_RATE
from vidfleet.speakers.media import VideoSource, extract_sound

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESULT = Path(__file__).parent / "results" / "memory_by_faces.json"
CLIP = "grid_bbaf2n.mpg"
FILMS = ((1, 1), (4, 1), (16, 1), (1, 20))
"""Faces, and minutes."""
SIZE, TILE = (1280, 720), (320, 180)
TURN_S = 3
"""So long the clip runs forwards, and as long backwards."""
SETTINGS = (
    *("--models", "full", "--threads", "1", "--words", "none", "--lean", "--detect-every", "5"),
    "--no-page",
)


@dataclass(frozen=True)
class Row:
    """One film."""

    faces: int
    minutes: int
    tracks: int
    """That were found and kept."""
    base_mib: int
    """Held when the models are loaded."""
    peak_mib: int
    """The most that was held after that."""
    processor_s: float


def turn_of(clip: Path, faces: int) -> tuple[list[NDArray[np.uint8]], NDArray[np.int16]]:
    """The pictures and the sound of one turn."""
    source = VideoSource.open(clip)
    with tempfile.TemporaryDirectory() as folder:
        sound = extract_sound(clip, Path(folder, "a.wav"), zero=source.zero)
        heard = sound.read(0, 2 * TURN_S * SAMPLE_RATE) if sound else np.zeros(2 * TURN_S * SAMPLE_RATE, np.int16)
    pictures = []
    for frame in islice(source.frames(), TURN_S * GRID_RATE):
        tile = cv2.resize(cropped(frame.bgr), TILE, interpolation=cv2.INTER_AREA)
        picture = np.full((SIZE[1], SIZE[0], 3), 110, np.uint8)
        for number in range(faces):
            row, column = divmod(number, SIZE[0] // TILE[0])
            picture[row * TILE[1] :, column * TILE[0] :][: TILE[1], : TILE[0]] = tile
        pictures.append(picture)
    return pictures + pictures[::-1], heard


def cropped(bgr: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The middle of a picture that has a tile's shape."""
    height = min(bgr.shape[0], bgr.shape[1] * TILE[1] // TILE[0])
    top = (bgr.shape[0] - height) // 2
    return bgr[top : top + height]


def write_turn(path: Path, pictures: list[NDArray[np.uint8]], sound: NDArray[np.int16]) -> None:
    """Encode one turn."""
    with av.open(path, "w") as container:
        video = container.add_stream("libx264", rate=GRID_RATE, options={"preset": "veryfast", "bf": "0", "g": "50"})
        video.width, video.height = SIZE
        video.pix_fmt, video.codec_context.time_base = "yuv420p", Fraction(1, GRID_RATE)
        audio: Any = container.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout="mono")
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, GRID_RATE)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for start in range(0, len(sound), SAMPLE_RATE):
            block = av.AudioFrame.from_ndarray(sound[None, start : start + SAMPLE_RATE], format="s16", layout="mono")
            block.sample_rate, block.pts, block.time_base = SAMPLE_RATE, start, Fraction(1, SAMPLE_RATE)
            container.mux(audio.encode(block))


def write_film(path: Path, turn: Path, minutes: int) -> None:
    """Repeat a turn: its packets are copied, with later times."""
    length_s = 2 * TURN_S
    with av.open(path, "w") as film, av.open(turn) as first:
        streams = [film.add_stream_from_template(stream) for stream in first.streams]
        for number in range(minutes * 60 // length_s):
            with av.open(turn) as source:
                for packet in source.demux():
                    if packet.dts is None:
                        continue
                    shift = round(number * length_s / packet.time_base)
                    packet.pts, packet.dts = (packet.pts or 0) + shift, packet.dts + shift
                    packet.stream = streams[packet.stream.index]
                    film.mux(packet)


def held_mib(name: str) -> int:
    """``VmRSS`` or ``VmHWM`` of this process."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) // 1024
    raise ValueError(name)


def measure(film: Path, folder: Path, faces: int, minutes: int, weights: Path) -> Row:
    """In this process, which has done nothing else."""
    from vidfleet.speakers.pipeline import Speakers

    speakers = Speakers.from_arguments([*SETTINGS, "--weights", str(weights)])
    speakers.setup("cpu")
    base = held_mib("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", "ascii")  # VmHWM begins anew
    begun = time.process_time()
    speakers.process(str(film), str(folder), lambda _stage, _share: None)
    spent = time.process_time() - begun
    tracks = len(set(column(folder / "pywork" / "tracks.csv", "track")))
    return Row(faces, minutes, tracks, base, held_mib("VmHWM"), round(spent, 1))


def column(path: Path, name: str) -> list[str]:
    """One column of a table."""
    header, *rows = path.read_text("utf-8").splitlines()
    at = header.split(",").index(name)
    return [row.split(",")[at] for row in rows]


def measured(clip: Path, faces: int, minutes: int, weights: Path) -> Row:
    """Make a film, and look at a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_turn(folder / "turn.mkv", *turn_of(clip, faces))
        write_film(folder / "film.mkv", folder / "turn.mkv", minutes)
        argv = [sys.executable, "-m", "benchmarks.memory_by_faces", "--film", str(folder / "film.mkv")]
        argv += ["--faces", str(faces), "--minutes", str(minutes), "--weights", str(weights)]
        said = subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout.decode("utf-8")
    return Row(**json.loads(said.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--media", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--film", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--faces", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--minutes", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    if options.film is not None:
        folder = options.film.with_name("out")
        print(json.dumps(asdict(measure(options.film, folder, options.faces, options.minutes, options.weights))))
        return
    if options.media is None:
        parser.error("--media DIR is needed")
    head, rows = about(1), []
    for faces, minutes in FILMS:
        rows.append(measured(options.media / CLIP, faces, minutes, options.weights))
        print(rows[-1], flush=True)
    lines = [f" {json.dumps(name)}: {json.dumps(value)}" for name, value in head.items()]
    lines.append(' "rows": [\n  ' + ",\n  ".join(json.dumps(asdict(row)) for row in rows) + "\n ]")
    options.output.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


if __name__ == "__main__":
    main()
