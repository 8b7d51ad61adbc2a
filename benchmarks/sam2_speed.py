"""How many pictures per second SAM 2 follows objects through, on the device that is here.

::

    python -m benchmarks.sam2_speed                       5 minutes on an H100; half of them PyTorch compiles
    python -m benchmarks.sam2_speed --quick
    python -m benchmarks.sam2_speed --models tiny --compile vision_encoder memory_encoder

The models have the published shapes and random weights, and are loaded as real ones are. A picture's time is all of
``push``: from its pixels in main memory to the masks of full size there. The first pictures are left out, until the
memory is full (16 pictures) and all is compiled; then medians. Needs numpy, PyTorch and transformers only.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.sam2_shapes import BACKBONES, PUBLISHED_BYTES, save_random
from vidfleet.speakers.nets.sam2 import COMPILED, Sam2Segmentation, compile_parts, load_sam2

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from vidfleet.speakers.boxes import Box
    from vidfleet.speakers.nets.session import Device

SIZES = {"720p": (720, 1280), "1080p": (1080, 1920)}
OBJECTS = (1, 3)
WARM_UP, MEASURED = 24, 100
QUICK_MEASURED = 30
PARTS = ("vision_encoder", "memory_attention", "prompt_encoder", "mask_decoder", "memory_encoder")


@dataclass(frozen=True)
class Cell:
    """One row of the table."""

    model: str
    way: str
    size: str
    objects: int
    ms: float
    """Of a picture, the median."""
    slow_ms: float
    """Of a picture, the 90th percentile."""
    peak_mb: float
    """Of GPU memory, with the weights; 0 on a processor."""
    first_s: float
    """Of the pictures before, what is compiled with them included."""


def measure(model: Any, name: str, way: str, *, size: str, objects: int, pictures: int, warm_up: int) -> Cell:  # noqa: ANN401
    """Follow objects through pictures of noise."""
    import torch

    on_gpu = model.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    rng = np.random.default_rng(0)
    shown = [rng.integers(0, 255, (*SIZES[size], 3), dtype=np.uint8) for _ in range(4)]
    following, times = Sam2Segmentation(model), []
    for number in range(warm_up + pictures):
        began = time.perf_counter()
        following.push(shown[number % len(shown)], boxes(objects, shown[0]) if number == 0 else {})
        times.append(1000 * (time.perf_counter() - began))
    peak = torch.cuda.max_memory_allocated() / 1e6 if on_gpu else 0.0
    settled = times[warm_up:]
    slow = float(np.percentile(settled, 90))
    return Cell(name, way, size, objects, median(settled), slow, peak, sum(times[:warm_up]) / 1000)


def where_time_goes(model: Any, *, objects: int, pictures: int, warm_up: int) -> dict[str, float]:  # noqa: ANN401
    """Milliseconds of a 720p picture in each part of the model; parts wait for the device, so their sum is more."""
    import torch

    on_gpu, spent, began = model.device.type == "cuda", defaultdict(list), {}

    def wait() -> float:
        if on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter()

    def before(part: str) -> Any:  # noqa: ANN401
        return lambda *_: began.update({part: wait()})

    def after(part: str) -> Any:  # noqa: ANN401
        return lambda *_: spent[part].append(1000 * (wait() - began[part]))

    hooks = [
        hook
        for part in PARTS
        for hook in (
            getattr(model, part).register_forward_pre_hook(before(part)),
            getattr(model, part).register_forward_hook(after(part)),
        )
    ]
    cell = measure(model, "", "", size="720p", objects=objects, pictures=pictures, warm_up=warm_up)
    for hook in hooks:
        hook.remove()
    times = {part: sum(spent[part]) / (warm_up + pictures) for part in PARTS}
    return {**times, "all": cell.ms}


def boxes(objects: int, picture: NDArray[np.uint8]) -> dict[int, Box]:
    """Faces side by side."""
    height, width = picture.shape[:2]
    step = width / objects
    return {
        number: (step * (number + 0.3), height * 0.3, step * (number + 0.6), height * 0.6) for number in range(objects)
    }


def cells(arguments: argparse.Namespace, device: Device) -> Iterator[Cell]:
    """All rows, model by model: first as it is, then compiled."""
    pictures = arguments.pictures or (QUICK_MEASURED if arguments.quick else MEASURED)
    how_many = {"pictures": pictures, "warm_up": arguments.warm_up}
    for name in arguments.models:
        with TemporaryDirectory() as folder:
            save_random(name, Path(folder))
            if Path(folder, "model.safetensors").stat().st_size != PUBLISHED_BYTES[name]:
                raise SystemExit(f"The model {name} is not as large as the published one: its shape is another.")
            model = load_sam2(Path(folder), threads=arguments.threads, device=device)
        for way in ("eager", "compiled"):
            if way == "compiled":
                compile_parts(model, arguments.compile)
            for size in arguments.sizes:
                for objects in arguments.objects:
                    yield measure(model, name, way, size=size, objects=objects, **how_many)
            if way == "eager":
                for part, spent in where_time_goes(model, objects=1, **how_many).items():
                    sys.stderr.write(f"  {name}, {part}: {spent:.1f} ms\n")
            if not arguments.compile:
                break


def table(rows: Sequence[Cell], device: Device) -> str:
    """Markdown, with what it was measured on."""
    import torch
    import transformers

    what = torch.cuda.get_device_name() if device == "cuda" else f"{platform.processor() or platform.machine()} (CPU)"
    with_what = f"PyTorch {torch.__version__}, transformers {transformers.__version__}"
    exact = "bfloat16" if device == "cuda" else "float32"
    lines = [
        f"Measured {datetime.now(UTC):%Y-%m-%d} on: {what}; {with_what}, {exact}.",
        "",
        "| model | way | pictures | objects | pictures/s | ms, median | ms, 90 % | peak MB | first pictures, s |",
        "|---|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {row.model} | {row.way} | {row.size} | {row.objects} | {1000 / row.ms:.1f} | {row.ms:.1f} "
        f"| {row.slow_ms:.1f} | {row.peak_mb:.0f} | {row.first_s:.1f} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", nargs="+", choices=BACKBONES, default=["tiny", "large"])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--objects", nargs="+", type=int, default=list(OBJECTS))
    parser.add_argument("--compile", nargs="*", choices=PARTS, default=list(COMPILED), help="which parts; none: eager")
    parser.add_argument("--pictures", type=int, help=f"to measure; {MEASURED}, or {QUICK_MEASURED} with --quick")
    parser.add_argument("--warm-up", type=int, default=WARM_UP, help="pictures that are left out")
    parser.add_argument("--quick", action="store_true", help="fewer pictures")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of PyTorch")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    rows = []
    for row in cells(arguments, arguments.device):
        sys.stderr.write(f"{row.model} {row.way} {row.size} {row.objects}: {row.ms:.1f} ms\n")
        rows.append(row)
    print(table(rows, arguments.device))


if __name__ == "__main__":
    main()
