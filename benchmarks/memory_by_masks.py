"""What a lane holds in memory while faces are followed by masks, minute by minute of one long shot.

::

    python -m benchmarks.memory_by_masks                          10 minutes of film; a model of random weights
    python -m benchmarks.memory_by_masks --sam2 DIR --minutes 2   your own model

Two painted faces pace in front of each other, through each other every six seconds, in one shot. They are found by
their paint, so that no weights are needed; all else is the pipeline with ``--lean --sam2-when always``, one thread.
What is held (``VmRSS``) is asked for at the end of each minute of film. Without ``--sam2`` the model is that of the
tests: the code of SAM 2, 128 x 128 pixels, random weights.
"""

from __future__ import annotations

import argparse
import gc
import os
import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np

from tests.speakers.sam2_models import save_tiny
from vidfleet.speakers.data import GRID_RATE, Face, GridFrame, Method
from vidfleet.speakers.hub import ModelFiles
from vidfleet.speakers.nets.sam2 import Sam2Segmenter
from vidfleet.speakers.pipeline import Speakers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from numpy.typing import NDArray

WIDTH, HEIGHT, SIDE = 320, 180, 40
RED, BLUE = (0, 0, 255), (255, 0, 0)
PACE = 150
"""Frames from one side to the other, and back."""
SETTINGS = (
    *("--models", "embedded", "--words", "none", "--threads", "1", "--lean", "--no-page"),
    *("--sam2", "unused", "--sam2-when", "always"),
)


class PaintedFaces:
    """Finds a painted face where three quarters of it are seen."""

    method = Method("paint", "")

    def find(self, frame: GridFrame, *, pixel_aspect: Fraction) -> tuple[Face, ...]:  # noqa: ARG002
        """See ``FaceDetector``."""
        found = []
        for colour, x in places(frame.index):
            seen = np.abs(frame.bgr[60 : 60 + SIDE, x : x + SIDE].astype(int) - colour).sum(axis=2) < 120
            if seen.mean() >= 0.75:
                found.append(Face(frame.index, (x, 60, x + SIDE, 60 + SIDE), 0.9))
        return tuple(found)


def places(frame: int) -> list[tuple[tuple[int, int, int], int]]:
    """The faces of a frame, the last in front: colour, and the left edge of the box."""
    way = round(200 * abs(frame % (2 * PACE) - PACE) / PACE)
    return [(RED, 20 + way), (BLUE, 260 - way)]


def write_film(path: Path, minutes: float) -> None:
    """Encode the film: H.264, no sound."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=GRID_RATE, options={"preset": "ultrafast", "crf": "18"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(round(minutes * 60 * GRID_RATE)):
            picture: NDArray[np.uint8] = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
            for colour, x in places(index):
                picture[60 : 60 + SIDE, x : x + SIDE] = colour
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())


def held_mib() -> float:
    """What this process holds."""
    gc.collect()
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{os.getpid()}/status").read_text("ascii"))
    return int(found[1]) / 1024 if found else 0.0


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--sam2", type=Path, help="the folder of a model")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "pacing.mp4"
        write_film(film, options.minutes)
        files = ModelFiles("tests", options.sam2 or save_tiny(Path(folder) / "model"))
        speakers = Speakers.from_arguments(SETTINGS[:-4])
        speakers.setup("cpu")
        speakers.settings = replace(speakers.settings, sam2="unused", sam2_when="always")
        speakers.stages = replace(
            speakers.stages, detector=PaintedFaces(), segmenter=Sam2Segmenter(files, threads=1)
        )  # fmt: skip
        print(f"| minute of film | MiB held |\n|--:|--:|\n| before | {held_mib():.0f} |", flush=True)
        minutes = iter(range(1, 1 + int(options.minutes)))
        following = next(minutes, None)

        def report(stage: str, share: float) -> None:
            nonlocal following
            seen = (share - 0.03) / 0.97 * options.minutes if stage == "faces and scores" else 0.0
            if following is not None and seen >= following - 0.01:
                print(f"| {following} | {held_mib():.0f} |", flush=True)
                following = next(minutes, None)

        told = speakers.process(str(film), str(Path(folder) / "out"), report)
        print(f"\nAt the end {held_mib():.0f} MiB; {told}")


if __name__ == "__main__":
    main()
