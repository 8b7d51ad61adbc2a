"""The built-in pipeline: one video in; a page, a transcript, and the folders pyavi, pyframes, pywork, pycrop out.

Run through the class contract: :meth:`Speakers.describe` once a run, :meth:`Speakers.setup` once a lane,
:meth:`Speakers.process` for each video.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidfleet.speakers import models
from vidfleet.speakers.layout import COUNTED, FOLDERS, SHARES, Layout, promised
from vidfleet.speakers.settings import check, read_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vidfleet.speakers.settings import SpeakersSettings

    Report = Callable[[str, float], None]


class Speakers:
    """Who speaks in a film."""

    def __init__(self, settings: SpeakersSettings) -> None:
        self.settings = check(settings)

    @classmethod
    def describe(cls, arguments: Sequence[str]) -> dict[str, Any]:
        """Say what the pipeline is under ``arguments``; everything JSON. No network is loaded for it.

        Called once a run, before the first video. ``arguments`` of the answer leave nothing open, so that all
        lanes do the same. Raises UsageError, and SetupError where weights are wanted that cannot be had.
        """
        settings = read_settings(arguments)
        models.check_installed()
        sam2 = models.choose_sam2(settings)
        chosen, words = models.choose(settings), models.choose_words(settings)
        return {
            "name": "speakers",
            "arguments": [*arguments, *models.as_arguments(chosen, words, sam2)],
            "fingerprint": models.fingerprint(settings, chosen, words, sam2),
            "expected": list(promised(settings)),
            "counted": list(COUNTED),
            "method": models.methods(settings, chosen, words, sam2),
            "fallback": models.fallback(settings, chosen, words),
            "disk": models.disk_use(settings),
            "notices": models.notices(settings, chosen, words),
            "resumable": True,
            "carry": ["people.json", *(f"{name}/" for name in FOLDERS)],
            "inputs": list(words.inputs),
            **({"shares": SHARES} if settings.split else {}),
        }

    @classmethod
    def from_arguments(cls, arguments: Sequence[str]) -> Speakers:
        """Make one of a command line's words."""
        return cls(read_settings(arguments))

    def setup(self, device: str) -> None:
        """Load the models for ``device``, ``cuda`` or ``cpu``, once a lane.

        Raises SetupError where a package or a model is missing.
        """
        models.check_installed()
        import cv2

        from vidfleet.speakers.stages import load

        share = os.environ.get("OMP_NUM_THREADS", "")
        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        most = max(1, int(share)) if share.isdecimal() else usable
        self._threads = min(self.settings.threads or most, most)
        cv2.setNumThreads(1)  # pictures are looked at side by side, each by one thread
        self.stages = load(self.settings, threads=self._threads, device=device)

    def process(
        self, video: str, out: str, report: Report, original: str = "", published: str = ""
    ) -> dict[str, Any] | None:
        """Process one video into the folder ``out``; ``report(stage, share of the whole)`` tells how far it is.

        Returns what the record shall tell of it: how many shots were followed by masks, where they might have been.

        What an earlier call left in ``out`` is used where it is whole and depends on nothing that has changed.
        Raises :class:`~vidfleet.errors.BadInputError` where the video cannot be read.
        """
        from vidfleet.speakers.step_plan import Places
        from vidfleet.speakers.work import Work

        places = Places(Path(video), Path(original or video), Path(published or out))
        layout = Layout(Path(out))
        work = Work(places, layout, settings=self.settings, stages=self.stages, threads=self._threads, report=report)
        work.run()
        return work.told

    def help(self, video: str, out: str, report: Report, original: str = "", published: str = "") -> None:
        """Take shares of a video that another lane processes into the folder ``out`` just now, until none is left.

        Nothing is written but below ``pywork/.parts``; the other lane makes up for what we do not finish.
        Raises :class:`~vidfleet.errors.SplitError` where it goes by other settings, models or versions.
        """
        from vidfleet.speakers.parts.helper import help_with
        from vidfleet.speakers.step_plan import Places

        places = Places(Path(video), Path(original or video), Path(published or out))
        layout = Layout(Path(out))
        help_with(places, layout, settings=self.settings, stages=self.stages, threads=self._threads, report=report)
