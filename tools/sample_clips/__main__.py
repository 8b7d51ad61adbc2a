"""Make the sample clips: ``python -m tools.sample_clips FOLDER``.

Three short films with three "people", made in a few seconds from what packages carry, so that the demo
needs nothing but a package index: turns in one picture, a cut, a close-up, a pause, and a voice whose face
is not seen.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tools.sample_clips.film import Person, Scene, Studio, Turn
from tools.sample_clips.portrait import Look
from tools.sample_clips.speech import Speech

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tools.sample_clips.film import Spoken

CAST = {
    "Ann": Person("en-us+f3", Look()),
    "Bea": Person(
        "en-gb+f2",
        Look(mirrored=True, hair=0.45, hair_colour=0.8, suit_hue=95, skin=0.93, width=0.94, glasses=True),
        wall=(10, -6, -14),
    ),
    "Cleo": Person(
        "en-us+f4",
        Look(hair=1.15, hair_colour=0.25, suit_hue=70, suit_colour=0.55, width=1.07),
        wall=(-16, -8, 4),
    ),
    "Control": Person("en-us+m3", None),
}

CLIPS = {
    "Mission_01x01": (
        Scene(
            ("Ann", "Bea"),
            (
                Turn("Ann", "Good evening from the control room. All engines are running."),
                Turn("Bea", "Thank you. The weather over the ocean is clear."),
            ),
        ),
        Scene(("Ann",), (Turn("Ann", "Then we are ready to go."),)),
    ),
    "Mission_01x02": (
        Scene(
            ("Cleo",),
            (
                Turn("Cleo", "Day nine. We have seen sixteen sunrises since this morning."),
                Turn("Cleo", "I could get used to that."),
            ),
        ),
    ),
    "Mission_01x03": (
        Scene(
            ("Bea", "Cleo"),
            (
                Turn("Cleo", "Houston, can you hear us?"),
                Turn("Control", "We hear you well. Please go on."),
                Turn("Bea", "Good. Then here is what we found."),
            ),
        ),
    ),
}


def make_clips(folder: Path) -> list[Path]:
    """Make the clips that ``folder`` does not have yet; returns all of them."""
    paths = [folder / f"{name}.mp4" for name in CLIPS]
    if not all(path.exists() for path in paths):
        folder.mkdir(parents=True, exist_ok=True)
        studio = Studio(CAST, Speech())
        for path in paths:
            spoken = studio.shoot(path, CLIPS[path.stem])
            texts = [turn.text for scene in CLIPS[path.stem] for turn in scene.turns]
            path.with_suffix(".srt").write_text(_subtitles(spoken, texts), "utf-8")
    return paths


def _subtitles(spoken: Sequence[Spoken], texts: Sequence[str]) -> str:
    """What is said when, as SubRip; not who says it."""
    return "".join(
        f"{number}\n{_clock(turn.start_s)} --> {_clock(turn.end_s)}\n{text}\n\n"
        for number, (turn, text) in enumerate(zip(spoken, texts, strict=True), start=1)
    )


def _clock(time_s: float) -> str:
    seconds, milliseconds = divmod(round(time_s * 1000), 1000)
    return f"00:{seconds // 60:02}:{seconds % 60:02},{milliseconds:03}"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tools.sample_clips FOLDER")
    for made in make_clips(Path(sys.argv[1])):
        sys.stdout.write(f"{made}\n")
