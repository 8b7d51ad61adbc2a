"""Everything that is written of a film: what each costs in processor time and on disk.

::

    python -m benchmarks.written_cost --media DIR --weights DIR        4 minutes

Makes a film of a minute, 1280 x 720, of two people in talk (``visualvoice_interview.mp4``, over and over), and
finds its tracks and scores by the pipeline. Then everything that can be written of it is written, at the same time,
picture by picture in turns, each with pixels and planes of its own, so that what a picture costs counts for each
that asks for it; one thread, the median of the film's seconds. ``before`` is the way over BGR
(``benchmarks.written_by_bgr``).
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import written_by_bgr
from benchmarks.pipeline.about import about
from vidfleet.speakers import copies
from vidfleet.speakers.crops import CropRules
from vidfleet.speakers.data import GRID_RATE, SAMPLE_RATE, Conversation, GridFrame
from vidfleet.speakers.drawing import Easel
from vidfleet.speakers.flow import Crew
from vidfleet.speakers.hearing import Hearing
from vidfleet.speakers.layout import SEEN, Layout
from vidfleet.speakers.media import Sound, VideoSource, extract_sound, write_wav
from vidfleet.speakers.media.mp4 import Mp4Writer
from vidfleet.speakers.media.pictures import Converted, Converter, read_pictures
from vidfleet.speakers.panel import PanelPainter
from vidfleet.speakers.panel_column import PanelStyle
from vidfleet.speakers.pipeline import Speakers
from vidfleet.speakers.portraits import faces_of
from vidfleet.speakers.seen import Seen
from vidfleet.speakers.tables import StageClock
from vidfleet.speakers.telling import tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vidfleet.speakers.copies import Take

CLIP, LINE_S = "visualvoice_interview.mp4", 3
SETTINGS = ("--models", "full", "--threads", "1", "--words", "sidecar", "--lean", "--detect-every", "5")


@dataclass(frozen=True)
class Row:
    """What one of the things that are written costs."""

    name: str
    core_s_per_s: float
    """Processor seconds for a second of film, the median of all; the conversion of its pictures is in it."""
    bytes_per_s: int
    """On disk, for a second of film."""
    before_core_s_per_s: float | None
    """By way of BGR, where that was another way; else nothing."""
    before_bytes_per_s: int | None


@dataclass(frozen=True)
class Film:
    """What is written of."""

    source: VideoSource
    layout: Layout
    """What the pipeline left."""
    seen: Seen
    hearing: Hearing
    conversation: Conversation


def make_film(clip: Path, target: Path, seconds: int) -> None:
    """So much of a clip that is over before, again and again, with its sound and a subtitle every 3 seconds."""
    source = VideoSource.open(clip)
    heard = extract_sound(clip, target.with_suffix(".clip.wav"), zero=source.zero)
    assert heard is not None
    samples = heard.read(0, heard.length_samples)
    sound = write_wav(target.with_suffix(".wav"), np.resize(samples, seconds * SAMPLE_RATE))
    info, written = source.info, 0
    with Mp4Writer(target, width=info.width, height=info.height, sound=sound, colours=info.colours, crf=20) as writer:
        while written < seconds * GRID_RATE:
            for frame in source.frames(keeps_planes=True):
                if written < seconds * GRID_RATE:
                    writer.write(frame.planes)
                    written += 1
    starts = range(0, seconds, LINE_S)
    lines = [f"{at}\n00:00:{at:02d},000 --> 00:00:{at + 2:02d},500\nWhat is said at {at} seconds.\n" for at in starts]
    target.with_suffix(".srt").write_text("\n".join(lines), "utf-8")


def look_at(film: Path, out: Path) -> Film:
    """Find who is seen and heard, by the pipeline."""
    speakers = Speakers.from_arguments(SETTINGS)
    speakers.setup("cpu")
    speakers.process(str(film), str(out), lambda _stage, _share: None)
    layout, seen = Layout(out), Seen.load(out / SEEN)
    assert seen is not None
    hearing = Hearing(Sound.open(layout.sound), ())
    return Film(VideoSource.open(film), layout, seen, hearing, tell(out, say=print))


@contextmanager
def only(asks: Callable[[GridFrame], object]) -> Iterator[Take]:
    """Nothing but a conversion."""

    def take(frame: GridFrame) -> None:
        asks(frame)

    yield take


def makers(film: Film, work: Path) -> dict[str, tuple[Path, AbstractContextManager[Take]]]:
    """Everything that can be written, each into a folder of its own; and what it was before."""
    source, seen, hearing, info = film.source, film.seen, film.hearing, film.source.info

    def place(name: str) -> Layout:
        layout = Layout(work / name)
        layout.make()
        for path in (film.layout.sound, film.layout.portraits):  # as links: they are counted elsewhere
            there = layout.folder / path.relative_to(film.layout.folder)
            there.parent.mkdir(parents=True, exist_ok=True)
            there.symlink_to(path)
        return layout

    def easel(layout: Layout) -> Easel:
        return Easel(source, layout, seen, hearing.sound, note="", threads=1)

    def panel_painter(layout: Layout) -> PanelPainter:
        faces = faces_of(layout.portraits, film.conversation.persons)
        return PanelPainter(film.conversation, seen.tracks, info=info, faces=faces)

    rules, style = CropRules(info.pixel_aspect), PanelStyle()
    made: dict[str, Callable[[Layout], AbstractContextManager[Take]]] = {
        "planes alone": lambda _: only(lambda frame: frame.planes),
        "BGR alone": lambda _: only(lambda frame: frame.bgr),
        "annotated": lambda layout: easel(layout).annotated(),
        "preview": lambda layout: easel(layout).preview(),
        "grid_video": lambda layout: copies.grid_video(layout, info, hearing),
        "panel": lambda layout: easel(layout).panel(film.conversation, style=style, say=print),
        "frames, all": lambda layout: copies.all_frames(layout, crew=Crew(1), clock=StageClock()),
        "frames, of each shot": lambda layout: copies.first_frames(layout, seen),
        "crops": lambda layout: copies.crops(layout, seen, hearing, rules),
        "before annotated": lambda layout: written_by_bgr.annotated(layout, info, seen),
        "before preview": lambda layout: written_by_bgr.preview(layout, source, hearing),
        "before grid_video": lambda layout: written_by_bgr.grid_video(layout, info, hearing),
        "before panel": lambda layout: written_by_bgr.panel(layout, source, hearing, panel_painter(layout)),
    }
    return {name: ((layout := place(name)).folder, make(layout)) for name, make in made.items()}


def measured(film: Film, work: Path) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Write everything once. Returns processor seconds for each second of film, and bytes, of each and of decoding."""
    made = makers(film, work)
    seconds = -(-film.seen.frames // GRID_RATE)
    spent = {name: [0.0] * seconds for name in ("decoding", *made)}
    with ExitStack() as stack:
        takers = {name: stack.enter_context(maker) for name, (_, maker) in made.items()}
        converters: dict[str, Converter] = {}
        begun = time.process_time()
        for index, picture in enumerate(read_pictures(film.source.path, film.source.video_index, threads=1)):
            second = index // GRID_RATE
            spent["decoding"][second] += time.process_time() - begun
            for name, take in takers.items():
                converter = converters.setdefault(name, Converter(picture.frame, threads=1, keeps_planes=True))
                frame = GridFrame(index, index / GRID_RATE, Converted(picture.frame, converter), is_repeat=False)
                begun = time.process_time()
                take(frame)
                spent[name][second] += time.process_time() - begun
            begun = time.process_time()
    return spent, {name: size_of(folder) for name, (folder, _) in made.items()}


def size_of(folder: Path) -> int:
    """Bytes of all files below it, links apart."""
    return sum(
        (Path(root) / name).stat().st_size
        for root, _, names in os.walk(folder)
        for name in names
        if not (Path(root) / name).is_symlink()
    )


def rows_of(spent: dict[str, list[float]], sizes: dict[str, int]) -> list[Row]:
    rows = []
    for name in (name for name in spent if not name.startswith("before ")):
        before = f"before {name}"
        was = (round(median(spent[before]), 4), sizes[before] // len(spent[name])) if before in spent else (None, None)
        rows.append(Row(name, round(median(spent[name]), 4), sizes.get(name, 0) // len(spent[name]), *was))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--media", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--seconds", type=int, default=60, help="length of the film")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/written_cost.json"))
    options = parser.parse_args()
    os.environ["VIDFLEET_WEIGHTS"] = str(options.weights)
    head = about(1)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        make_film(options.media / CLIP, work / "film.mp4", options.seconds)
        film = look_at(work / "film.mp4", work / "out")
        rows = rows_of(*measured(film, work / "written"))
    print(*rows, sep="\n")
    facts = {
        **head,
        "film": f"{CLIP}, over and over",
        "seconds": options.seconds,
        "tracks": len(film.seen.tracks),
        "track_s": round(sum(len(track.boxes) for track in film.seen.tracks) / GRID_RATE, 1),
    }
    lines = [f" {json.dumps(name)}: {json.dumps(value)}" for name, value in facts.items()]
    lines.append(' "rows": [\n  ' + ",\n  ".join(json.dumps(asdict(row)) for row in rows) + "\n ]")
    options.output.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


if __name__ == "__main__":
    main()
