"""A class of your own: how bright each second of a film is, as a table beside the film.

From the top of the repository:  vidfleet run DIR --worker examples.brightness:Brightness
"""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import av

if TYPE_CHECKING:
    from collections.abc import Callable


class Brightness:
    """`setup` once in each lane, `process` for each video."""

    def setup(self, device: str) -> None:
        """Load what is slow to load; `device` is "cuda" or "cpu"."""
        self.device = device

    def process(self, video: str, out: str, report: Callable[[str, float], None]) -> None:
        """Write `out`/brightness.csv: the mean brightness of each second, 0 to 255."""
        seconds: defaultdict[int, list[float]] = defaultdict(list)
        with av.open(video) as container:
            frames = container.streams.video[0].frames or 1
            for index, frame in enumerate(container.decode(video=0)):
                seconds[int(frame.time or 0)].append(float(frame.to_ndarray(format="gray").mean()))
                report("brightness", min((index + 1) / frames, 1.0))
        with Path(out, "brightness.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("second", "brightness"))
            rows.writerows((second, f"{sum(values) / len(values):.1f}") for second, values in sorted(seconds.items()))
