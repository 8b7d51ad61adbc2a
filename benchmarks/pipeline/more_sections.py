"""The page's other sections: fewer looks, scores, memory, what is written, two lanes."""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from benchmarks.speed.measuring import Spread
from benchmarks.speed.tables import Row, number, paragraph, spread, table

if TYPE_CHECKING:
    from collections.abc import Sequence

Found = dict[str, Any]
"""A part's file."""
COUNTS = ("looks", "detector_s", "all_s", "face_frames", "within", "scored_frames", "same_sign", "clear_frames",
          "clear_same_sign")  # fmt: skip


def detect_every(found: Found) -> str:
    """Tracks and scores of fewer looks against the exact run's."""
    clips = [row for row in found["rows"] if row["face_frames"]]
    exact = {row["clip"]: row for row in clips if row["every"] == 1}
    fewer = [row for row in clips if row["every"] != 1]
    rows = [_agreement(f"`{row['clip']}`", row, exact[row["clip"]]) for row in fewer]
    parts = []
    for every in sorted({row["every"] for row in fewer}):
        chosen = [row for row in fewer if row["every"] == every]
        whole = _sum(chosen)
        rows.append(_agreement(f"**all {len(chosen)}**", whole, _sum([exact[row["clip"]] for row in chosen])))
        seconds = whole["frames"] / 25
        text = f"""\
            The whole pipeline over each clip with faces that was at hand ({len(chosen)} clips, {seconds:.0f} s), with
            `--detect-every {every}` and with 1, which is the reference. Of the reference's face frames: how many have a
            box that overlaps by 0.8 or more; of its scored frames: how many have a score of the same sign, of all and
            of those whose score is not within 0.5 of 0. A face that is not found counts as wrong, so a face at the
            detector's threshold that fewer looks miss counts with all its frames ([decision
            22](decisions/022-detect-every.md))."""
        parts += [f"## Fewer looks: `--detect-every {every}`", paragraph(text)]
    head = ["", "looks", "detector, s", "whole run, s", "boxes within 0.8", "same sign", "same clear sign"]
    return "\n\n".join([*parts, table(head, rows)])


def _agreement(name: str, row: Row, exact: Row) -> list[str]:
    return [
        name,
        f"{row['looks']:,} of {exact['looks']:,}",
        f"{number(row['detector_s'], 1)} of {number(exact['detector_s'], 1)}",
        f"{number(row['all_s'], 1)} of {number(exact['all_s'], 1)}",
        _share(row["within"], row["face_frames"]),
        _share(row["same_sign"], row["scored_frames"]),
        _share(row["clear_same_sign"], row["clear_frames"]),
    ]


def _sum(rows: Sequence[Row]) -> Row:
    return {name: sum(row[name] for row in rows) for name in ("frames", *COUNTS)}


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%} of {whole:,}" if whole else "—"


def lr_asd_cost(found: Found) -> str:
    """Scores of a second of face track."""
    rows = [
        [f"{row['track_s']:g} s", number(row["naive"], 3), number(row["ours"], 3), f"{row['times_faster']:.1f}",
         f"{row['largest_difference']:.0e}"]
        for row in found["cost"]
    ]  # fmt: skip
    apart = max((row["largest_difference"] for row in found["agreement"]), default=None)
    golden = (
        f"Against the authors' own code, on {len(found['agreement'])} cases, raw scores differ by {apart:.0e} at most."
        if apart is not None
        else ""
    )
    text = f"""\
        Six lengths of windows from features that are computed once for a track and again only near the windows' edges
        ([decision 21](decisions/021-features-once.md)), beside each window by itself, both on ONNX Runtime: seconds of
        processor time for a second of face track, on noise. {golden}"""
    parts = [[row["name"], number(row["ms_per_s"], 1)] for row in found["parts"]]
    return "\n\n".join([
        "## Who speaks: scores of a face track", paragraph(text),
        table(["track", "window by window, s", "features once, s", "times faster", "largest difference"], rows),
        "Where it goes in a track of 10 s:", table(["", "ms a second of track"], parts),
    ])  # fmt: skip


SPLIT_AT_MOST = 0.6
"""Of one lane's time."""
WRITTEN = {
    "decoding": "decoding, for all of them",
    "planes alone": "a picture's planes, nothing written",
    "BGR alone": "a picture's pixels, nothing written",
    "annotated": "annotated video (`video_only.avi`, `video_out.avi`)",
    "preview": "preview for the page",
    "grid_video": "`--grid-video`",
    "panel": "`--panel`",
    "frames, all": "`--frames all`",
    "frames, of each shot": "`--frames shot`",
    "crops": "crops with their sound",
}


def written_cost(found: Found) -> str:
    """What is written."""
    rows = [
        [
            WRITTEN.get(row["name"], row["name"]), number(row["core_s_per_s"], 3), _megabytes(row["bytes_per_s"]),
            number(row["before_core_s_per_s"], 3), _megabytes(row["before_bytes_per_s"]),
        ]
        for row in found["rows"]
    ]  # fmt: skip
    text = f"""\
        A film of {found["seconds"]} s, 1280 x 720, with two faces in view ({found["track_s"]:.0f} s of face track),
        what is written of it in turns picture by picture: seconds of processor time for a second of film, with the
        conversion of the pictures that each asks for, and megabytes on disk. *Before*: by way of BGR, where the drawn
        films are made from the decoder's planes now. `--lean` writes none of it."""
    head = ["", "core-s a second", "MB a second", "before, core-s", "before, MB"]
    return "\n\n".join(["## Everything that is written", paragraph(text), table(head, rows)])


def _megabytes(size: int | None) -> str:
    return "—" if size is None else number(size / 1e6, 3)


def memory_by_faces(found: Found) -> str:
    """Memory of a lane."""
    rows = [
        [
            str(row["faces"]), f"{row['minutes']} min", str(row["tracks"]), f"{row['base_mib']:,}",
            f"{row['peak_mib']:,}", f"{row['peak_mib'] - row['base_mib']:,}",
        ]
        for row in found["rows"]
    ]  # fmt: skip
    text = """\
        What a lane's process holds of memory, by the faces that are in view all the time and by the film's length: when
        its networks are loaded, and the most after that, as the kernel counts it. 1280 x 720, `--lean`, one thread,
        without words."""
    told = " ".join([_by_faces(found["rows"]), _by_length(found["rows"])])
    head = ["faces", "film", "tracks", "loaded, MiB", "most, MiB", "of the film, MiB"]
    return "\n\n".join(["## Memory of a lane", paragraph(text), table(head, rows), paragraph(told)])


def _by_faces(rows: Sequence[Row]) -> str:
    """What one more face takes, between each two numbers of them."""
    shortest = min(row["minutes"] for row in rows)
    chosen = sorted((row for row in rows if row["minutes"] == shortest), key=lambda row: int(row["faces"]))
    steps = [
        f"{(more['peak_mib'] - fewer['peak_mib']) / (more['faces'] - fewer['faces']):.1f} MiB from {fewer['faces']} to "
        f"{more['faces']} faces"
        for fewer, more in pairwise(chosen)
    ]
    return f"One more face takes {', '.join(steps)}." if steps else ""


def _by_length(rows: Sequence[Row]) -> str:
    fewest = min(row["faces"] for row in rows)
    chosen = sorted((row for row in rows if row["faces"] == fewest), key=lambda row: int(row["minutes"]))
    if len(chosen) < 2:
        return ""
    more = chosen[-1]["peak_mib"] - chosen[0]["peak_mib"]
    return f"A film of {chosen[-1]['minutes']} minutes takes {more} MiB more than one of {chosen[0]['minutes']}."


def split_cost(found: Found) -> str:
    """One film over two lanes."""
    rows = [
        [way, *(_runs(found["runs"], way, field) for field in ("wall_s", "processor_s")), _of(found, way)]
        for way in found["medians"]
    ]
    runs = "Processes that have loaded their networks" if found["by_hand"] else "The whole command, start included"
    text = f"""\
        A film of {found["minutes"]:g} minutes, 1280 x 720, with cuts at no key frames: on one lane of one core, and
        with `--split` on two lanes of one core each, in turns. {runs}, with `{" ".join(found["arguments"])}`."""
    ratio = found["medians"]["two lanes"]["wall_s"] / found["medians"]["one lane"]["wall_s"]
    is_met = "met" if ratio <= SPLIT_AT_MOST else "**not met**"
    told = f"""\
        Two lanes take {ratio:.2f} of the time of one (asked for: at most {SPLIT_AT_MOST}): {is_met}. All files that the
        two leave are {found["results"]}, byte for byte, but those that say when and how long."""
    head = ["", "by the clock, s", "processor time, s", "of one lane's time"]
    return "\n\n".join(["## One long film over two lanes", paragraph(text), table(head, rows), paragraph(told)])


def _runs(runs: Sequence[Row], way: str, field: str) -> str:
    return spread({"found": asdict(Spread.of(run[field] for run in runs if run["way"] == way))}, "found", 1)


def _of(found: Found, way: str) -> str:
    return number(found["medians"][way]["wall_s"] / found["medians"]["one lane"]["wall_s"])
