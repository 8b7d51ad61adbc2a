"""When a run says that it will end, as others see it while it runs: looked up in its ``live.json``."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.speed import ours

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_EVERY_S = 0.25
KEYS = ("ends_at", "expected_end_at")
"""Where the end stands, in seconds since 1970; the first that is there counts."""


@dataclass
class Foreseen:
    """What was said so far: when, and which end."""

    told: list[tuple[float, float]] = field(default_factory=list)

    @classmethod
    @contextlib.contextmanager
    def watching(cls, root: Path) -> Iterator[Foreseen]:
        """Look four times a second at the run over ``root`` that begins now."""
        seen, through = cls(), threading.Event()

        def look() -> None:
            while not through.wait(_EVERY_S):
                with contextlib.suppress(OSError, ValueError):  # none yet; just being written
                    seen.take(json.loads((ours.last_run(root) / "live.json").read_text()), time.time())

        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            yield seen
        finally:
            through.set()
            watcher.join()

    def take(self, live: dict[str, Any], at: float) -> None:
        for key in KEYS:
            if isinstance(live.get(key), int | float):
                self.told.append((at, float(live[key])))
                return

    def last_before(self, at: float) -> float | None:
        """The end that was told last by then; None where nothing was said."""
        ends = [end for said_at, end in self.told if said_at <= at]
        return ends[-1] if ends else None
