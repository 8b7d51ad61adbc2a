"""``python -m benchmarks.pipeline``: every part in turn, then the page."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import benchmarks.pipeline
from benchmarks.pipeline import page
from benchmarks.speed import page as speed_page

if TYPE_CHECKING:
    from collections.abc import Mapping

TOP = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Part:
    """A module that writes its own file of ``results/``."""

    name: str
    arguments: tuple[str, ...]
    """Of the command line; ``{weights}``, ``{media}``, ``{golden}`` and ``{work}`` are filled in."""
    minutes: float
    """What it took on 2 cores."""
    module: str = ""
    short: tuple[str, ...] = ()
    """Arguments more, for fewer turns."""
    short_minutes: float = 0.0

    @property
    def name_of_module(self) -> str:
        """Of the module that measures it."""
        return self.module or f"benchmarks.{self.name}"

    @property
    def is_there(self) -> bool:
        """Whether this checkout has it."""
        return find_spec(self.name_of_module) is not None

    def command(self, places: Mapping[str, Path | None], *, short: bool = False) -> list[str] | None:
        """None where one of the places was not given."""
        needed = [name for name in places if any("{" + name + "}" in word for word in self.arguments)]
        if any(places[name] is None for name in needed):
            return None
        words = [*self.arguments, *(self.short if short else ())]
        return [sys.executable, "-m", self.name_of_module, *(word.format(**places) for word in words)]


IN = ("--weights", "{weights}", "--media", "{media}")
PARTS = (
    Part("pipeline_cost", (*IN, "--work", "{work}"), 8, "benchmarks.pipeline.cost"),
    Part("split_cost", (*IN,), 25, short=("--repeat", "1"), short_minutes=10),
    Part("written_cost", (*IN,), 6, short=("--repeats", "1"), short_minutes=3),
    Part("lr_asd_cost", ("--weights", "{weights}", "--golden", "{golden}"), 2),
    Part("detect_every", (*IN,), 5),
    Part("memory_by_faces", (*IN,), 20),
)
"""In the order in which they run: those that a busy machine harms first, those that count last."""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pipeline",
        description=benchmarks.pipeline.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name in ("weights", "media", "work"):
        parser.add_argument(f"--{name}", type=Path, required=True, metavar="DIR")
    parser.add_argument("--golden", type=Path, metavar="DIR", help="the authors' own scores, to compare with")
    parser.add_argument("--only", choices=[part.name for part in PARTS], action="append", help="may be given again")
    parser.add_argument("--short", action="store_true", help="one turn of two long films each: 25 minutes in all")
    parser.add_argument("--minutes", type=float, default=90.0, metavar="N", help="begin no part that would end later")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    places = {name: getattr(options, name) for name in ("weights", "media", "golden", "work")}
    places = {name: place and place.resolve() for name, place in places.items()}
    began = time.monotonic()
    for part in PARTS:
        if options.only and part.name not in options.only:
            continue
        left = options.minutes - (time.monotonic() - began) / 60
        if options.short and part.short:
            part = replace(part, minutes=part.short_minutes)
        run_part(part, part.command(places, short=options.short), left)
    page.write_page()
    speed_page.write_page()  # it has a summary


def run_part(part: Part, command: list[str] | None, minutes_left: float) -> None:
    """Run it, and say how it went; a part that fails or has no time left leaves its file as it is."""
    if not part.is_there:
        print(f"{part.name}: not measured: no such module", flush=True)
    elif command is None:
        print(f"{part.name}: not measured: it needs more folders (--help)", flush=True)
    elif part.minutes > minutes_left:
        print(f"{part.name}: not measured: it takes {part.minutes:g} minutes, {minutes_left:.1f} are left", flush=True)
    else:
        began = time.monotonic()
        print(f"{part.name}: {' '.join(command[1:])}", flush=True)
        status = subprocess.run(command, check=False, cwd=TOP).returncode
        ended = f"failed with exit status {status}" if status else "done"
        print(f"{part.name}: {ended} after {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
