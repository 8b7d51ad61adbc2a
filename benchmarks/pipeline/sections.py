"""What a second of film costs: the page's sections on time, out of ``pipeline_cost.json``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.pipeline.stacked import Stack, stacked_chart
from benchmarks.pipeline.stages import REST, by_group, in_order, words_for
from benchmarks.speed.tables import Row, median, number, paragraph, spread, table, times

if TYPE_CHECKING:
    from collections.abc import Sequence

Found = dict[str, Any]
"""A part's file."""
DECODE, NAIVE, EXACT, EVERY, BEFORE = "decoding", "naive", "exact", "every 5", "before"
CALLED = {
    DECODE: "decoding alone: the floor",
    NAIVE: "the naive way",
    BEFORE: "before",
    EXACT: "exact",
    EVERY: "`--detect-every 5`",
}
OURS = (EXACT, EVERY)
ASKED = {EXACT: (0.7, 2.5), EVERY: (0.45, 3.5)}
"""At most so many core-seconds per second of film at one face, and at least so many times faster than the naive way."""


def cost(found: Found) -> str:
    """The first section."""
    films = {(row["faces"], row["film_s"]) for row in found["cost"] if row["case"] == NAIVE}
    rows = [
        [
            str(row["faces"]), f"{row['film_s']} s", _called(row["case"]), spread(row, "core_per_video_s", 3),
            spread(row, "core_per_track_s", 3), _faster(row),
        ]
        for row in sorted(found["cost"], key=lambda row: (row["faces"], row["film_s"], list(CALLED).index(row["case"])))
        if (row["faces"], row["film_s"]) in films and row["case"] != BEFORE
    ]  # fmt: skip
    films_told = ", ".join(f"{film['kbit_s'] / 1000:.1f} Mbit/s" for film in found["films"][:1])
    text = f"""\
        Films of talking people, 1280 x 720 at 25 pictures a second, H.264 of {films_told}, with one face or four in
        view all the time, cut together of real clips. `vidfleet speakers --lean` with its networks on one core:
        LR-ASD's six lengths of windows, YuNet on pictures of 640 x 360 pixels, voice activity, faces compared, results
        and page. **Words are left out** (`--words none`): what Whisper takes depends on its size and on how much is
        said. Networks and modules are loaded before, as in a lane that has had a film before. Figures are
        seconds of processor time for a second of film, and for a second of face track."""
    naive = """\
        *The naive way* is what published programs do, one pass over the film for each stage: decode for shots, decode
        for faces, decode for crops, then six lengths of windows through the whole network, one by one. It is ours
        (`benchmarks/pipeline/naive.py`), with the program's own detector, tracker, cutter and network on ONNX Runtime,
        and does with less than they do where it may: it holds faces in memory instead of writing and reading them,
        and makes no persons and no page. (LR-ASD's own code on PyTorch took 2.6 core-seconds a second of track for the
        windows alone, measured once, on such a core.)"""
    head = [
        "faces",
        "film",
        "",
        "core-s a second of film",
        "core-s a second of track",
        "times as fast as the naive way",
    ]
    return "\n\n".join([
        "## A second of film", paragraph(text), "![What a second of film costs, by stage](performance-pipeline.svg)",
        table(head, rows), paragraph(naive), paragraph(f"{same(found)} {verdict(found)}"),
    ])  # fmt: skip


def stages(found: Found) -> str:
    """Where the time goes, and what lies between the program and the floor."""
    faces, film_s = _first_film(found)
    told = [case for case in (NAIVE, EXACT, EVERY) if _row(found, faces, film_s, case)]
    text = f"""\
        Milliseconds of processor time for a second of film with {_faces(faces)}; where one face is in view all the
        time, that is a second of face track, too. Stages are those of `pywork/time_log.jsonl`; *all else* is what a
        whole run takes beyond them."""
    parts = ["## Where it goes", paragraph(text), _stage_table(found, faces, film_s, told), paragraph(floor(found))]
    for more, length_s in sorted({(row["faces"], row["film_s"]) for row in found["cost"] if row["case"] == NAIVE}):
        if more > faces:
            parts.append(f"With {more} faces, for a second of face track:")
            parts.append(_stage_table(found, more, length_s, told, of_track=True))
    return "\n\n".join(parts)


def profile(found: Found) -> str:
    """A 2-minute run before and after."""
    films = [(row["faces"], row["film_s"]) for row in found["cost"] if row["case"] == BEFORE]
    faces, film_s = max(films, key=lambda film: film[1])
    text = f"""\
        A run over {film_s} s with {_faces(faces)}, milliseconds of processor time for a second of film. *Before* is
        commit `{found["before"]}`, whose stages took turns picture by picture in one thread. Its own sources, in the
        same turns."""
    exact, before = (_row(found, faces, film_s, case) for case in (EXACT, BEFORE))
    parts = ["## A profile before and after", paragraph(text), _stage_table(found, faces, film_s, [BEFORE, EXACT])]
    if exact and before:
        ratio = (median(before, "core_per_video_s") or 0) / (median(exact, "core_per_video_s") or 1)
        parts.append(paragraph(f"In all, before took {ratio:.2f} times as long."))
    return "\n\n".join(parts)


def verdict(found: Found) -> str:
    """How the figures compare with what was asked for."""
    faces, film_s = _first_film(found)
    told = []
    for case, (most, least) in ASKED.items():
        row = _row(found, faces, film_s, case)
        if row and row["naive_over_it"]:
            spent, faster = median(row, "core_per_video_s"), median(row, "naive_over_it")
            assert spent is not None
            assert faster is not None
            is_met = "met" if spent <= most and faster >= least else "**not met**"
            told.append(
                f"{_called(case, plain=True)}, one face: {number(spent)} core-seconds (asked for: at most {most}) and "
                f"{times(faster)} as fast as the naive way (asked for: at least {least}): {is_met}."
            )
    return " ".join(told)


def same(found: Found) -> str:
    """Whether the ways agree."""
    told = []
    for row in found["same"]:
        if row["case"] == NAIVE:
            told.append(
                f"With {_faces(row['faces'])} the naive way finds {row['tracks']} tracks where the exact run finds "
                f"{row['exact_tracks']}; {row['within']:,} of {row['face_frames']:,} boxes are the same (largest "
                f"difference of an edge: {row['largest_box_px']} pixels), and {row['same_score']:,} of "
                f"{row['scored_frames']:,} scores (largest difference: {row['largest_score']})."
            )
    return " ".join(told)


def floor(found: Found) -> str:
    """The distance to decoding alone, and what fills it."""
    faces, film_s = _first_film(found)
    lowest = _row(found, faces, film_s, DECODE)
    told = []
    for case in OURS:
        row = _row(found, faces, film_s, case)
        if not row or not lowest:
            continue
        bottom, whole = (median(each, "core_per_video_s") or 0.0 for each in (lowest, row))
        spent = {stage: value / 1e3 for stage, value in _spent(found, faces, film_s, case).items()}
        above = {stage: value - (bottom if stage == "pictures" else 0.0) for stage, value in spent.items()}
        largest = sorted(above, key=lambda stage: -above[stage])[:4]
        filled = ", ".join(f"{words_for(stage)} {above[stage] / (whole - bottom):.0%}" for stage in largest)
        told.append(
            f"{_called(case, plain=True)} takes {whole / bottom:.1f} times what decoding alone takes "
            f"({number(bottom, 3)} core-seconds a second). What lies between is {filled}."
        )
    return " ".join(told)


def chart(found: Found) -> str:
    """Stacked bars of the film with one face."""
    faces, film_s = _first_film(found)
    stacks = []
    for case in (NAIVE, EXACT, EVERY, DECODE):
        row = _row(found, faces, film_s, case)
        if row:
            whole = median(row, "core_per_video_s") or 0.0
            sums = by_group(_spent(found, faces, film_s, case))
            parts = tuple((group, value / 1e3) for group, value in sums.items() if value > 0)
            stacks.append(Stack(CALLED[case].replace("`", ""), parts, f"{whole:.2f} core-s", case in OURS))
    subtitle = f"Core-seconds for a second of film, 720p, {_faces(faces)}, --lean; shorter is better"
    return stacked_chart("What a second of film costs", subtitle, stacks)


def summary(found: Found) -> str:
    """A few lines for another page."""
    faces, film_s = _first_film(found)
    rows = [
        [_called(case), spread(row, "core_per_video_s"), _faster(row)]
        for case in CALLED
        if case != BEFORE and (row := _row(found, faces, film_s, case))
    ]
    text = f"""\
        What the built-in pipeline costs on one core, 720p, {_faces(faces)} in view, `--lean`, without words; by stage,
        with more faces, and what else was measured: [performance-pipeline.md](performance-pipeline.md)."""
    head = ["", "core-s a second of film", "times as fast as the naive way"]
    return "\n\n".join(["## A second of film", paragraph(text), table(head, rows)])


# ---- rows and cells


def _first_film(found: Found) -> tuple[int, int]:
    """The film with the fewest faces that all ways went through."""
    films: Sequence[Row] = [row for row in found["cost"] if row["case"] == NAIVE] or found["cost"]
    first = min(films, key=lambda row: (row["faces"], row["film_s"]))
    return first["faces"], first["film_s"]


def _row(found: Found, faces: int, film_s: int, case: str) -> Row | None:
    about = (faces, film_s, case)
    return next((row for row in found["cost"] if (row["faces"], row["film_s"], row["case"]) == about), None)


def _spent(found: Found, faces: int, film_s: int, case: str) -> dict[str, float]:
    """Milliseconds of each stage, and of all else."""
    about = (faces, film_s, case)
    rows = [row for row in found["stages"] if (row["faces"], row["film_s"], row["case"]) == about]
    spent: dict[str, float] = {row["stage"]: row["core_ms_per_s"] for row in rows}
    whole = _row(found, faces, film_s, case)
    if whole:
        spent[REST] = max(0.0, (median(whole, "core_per_video_s") or 0.0) * 1e3 - sum(spent.values()))
    return spent


def _stage_table(found: Found, faces: int, film_s: int, cases: Sequence[str], *, of_track: bool = False) -> str:
    spent = {case: _spent(found, faces, film_s, case) for case in cases if _row(found, faces, film_s, case)}
    if of_track:
        spent = {case: _of_track(each, _row(found, faces, film_s, case)) for case, each in spent.items()}
    cases = list(spent)
    rows = [
        [words_for(stage), *(number(spent[case].get(stage), 1) for case in cases)]
        for stage in in_order({stage for each in spent.values() for stage in each})
    ]
    rows.append(["**in all**", *(f"**{number(sum(spent[case].values()), 1)}**" for case in cases)])
    return table([f"ms a second of {'track' if of_track else 'film'}", *(CALLED[case] for case in cases)], rows)


def _of_track(spent: dict[str, float], row: Row | None) -> dict[str, float]:
    """What is spent on a second of film, for a second of face track."""
    film, track = (median(row or {}, f"core_per_{what}_s") for what in ("video", "track"))
    return {stage: value * track / film for stage, value in spent.items()} if film and track else {}


def _called(case: str, *, plain: bool = False) -> str:
    words = CALLED[case]
    if plain:
        return words[0].upper() + words[1:]
    return f"**{words}**" if case in OURS else words


def _faster(row: Row) -> str:
    return spread(row, "naive_over_it", 1) if row["case"] in OURS else ""


def _faces(faces: int) -> str:
    return "one face" if faces == 1 else f"{faces} faces"
