"""``python -m benchmarks.speed``, which is ``make bench``: every part in turn, then the page."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import benchmarks.speed
from benchmarks import peers
from benchmarks import threads as thread_budgets
from benchmarks.speed import growth, makespan, noop, page, warm
from benchmarks.speed.measuring import Turn, header, write

RESULTS = Path(__file__).resolve().parents[1] / "results"
REPEATS, QUICK_REPEATS = 5, 2
MOST_THREADS_REPEATS = 3
"""A turn of six libraries, with and without budgets, takes two minutes."""


def threads(_top: Path, repeats: int, *, quick: bool) -> tuple[dict[str, Any], list[Turn[Any]]]:
    """Eight lanes that each take every core, with and without budgets, by the module that knows of these."""
    turns = 1 if quick else min(repeats, MOST_THREADS_REPEATS)
    try:
        found = thread_budgets.measure(repeats=turns, lanes=(8,), pythons={"torch": peers.python()})
    except SystemExit as error:  # so it says that a run has failed
        raise peers.PeerError(str(error)) from error
    return {"repeats": turns, "rows": [asdict(row) for row in found]}, []


PARTS = {
    "noop": noop.measure,
    "makespan": makespan.measure,
    "warm": warm.measure,
    "threads": threads,
    "growth": growth.measure,  # last, as it leaves many files, and the disk is slow for a while after these are gone
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="make bench", description=benchmarks.speed.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=PARTS, action="append", help="this part; may be given several times")
    parser.add_argument("--repeats", type=int, metavar="N", help=f"turns of each part (default: {REPEATS})")
    parser.add_argument("--quick", action="store_true", help="small sizes, two turns; nothing is written")
    parser.add_argument("--output", type=Path, metavar="DIR", help="write results and page here instead")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    repeats = options.repeats or (QUICK_REPEATS if options.quick else REPEATS)
    results = options.output or RESULTS
    with tempfile.TemporaryDirectory(prefix="speed") as folder:
        if options.quick and not options.output:
            results = Path(folder) / "results"
        for name in options.only or PARTS:
            measure_part(name, Path(folder), results, repeats, quick=options.quick)
        if results == RESULTS:
            page.write_page()
        else:
            print(page.make_page(results))
            page.write_charts(results, results)


def measure_part(name: str, top: Path, results: Path, repeats: int, *, quick: bool) -> None:
    began, about = time.monotonic(), header(repeats)
    print(f"{name}: load {os.getloadavg()[0]:.2f}", flush=True)
    place = top / name
    place.mkdir()
    try:
        found, turns = PARTS[name](place, repeats, quick=quick)
    except peers.PeerError as error:
        print(f"{name}: not measured: {error}", file=sys.stderr)
        return
    took = {"took_s": round(time.monotonic() - began), "quick": quick}
    write(results, name, {**about, **took, **found}, turns)


if __name__ == "__main__":
    main()
