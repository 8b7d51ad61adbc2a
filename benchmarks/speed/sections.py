"""The page's sections: one of each part's file, in plain sentences and a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.speed.charts import Bar, bar_chart
from benchmarks.speed.growth import GROWING, PARALLEL, WIDENING
from benchmarks.speed.noop import BARE, OURS
from benchmarks.speed.tables import Row, by_system, failed, median, number, over, paragraph, spread, table, times
from benchmarks.speed.warm import COLD, RAY, WARM

if TYPE_CHECKING:
    from collections.abc import Sequence

Found = dict[str, Any]
"""A part's file."""


def picture(name: str, alt: str) -> str:
    return f"![{alt}](performance-{name}.svg)"


def faster_than_us(rows: dict[str, Row], ours: str, field: str, *, more_is_better: bool = False) -> list[str]:
    """The systems with a better median than ours, best first."""
    mine = median(rows[ours], field) if ours in rows else None
    known = {name: value for name, row in rows.items() if (value := median(row, field)) is not None}
    if mine is None:
        return []
    better = [name for name, value in known.items() if (value > mine if more_is_better else value < mine)]
    return sorted(better, key=lambda name: known[name], reverse=more_is_better)


def ahead(names: Sequence[str], among: str) -> str:
    """A sentence on who is ahead of us."""
    return f"Ahead of vidfleet{among}: {'; '.join(names)}." if names else f"Nobody is ahead of vidfleet{among}."


# ---- a job that is next to nothing


def noop(found: Found) -> str:
    one, two = (by_system(found["rows"], lanes=lanes) for lanes in (1, 2))
    rows = []
    for name in one:
        if name == BARE:
            continue
        told = failed(one[name]) or failed(two[name])
        cells = [told, ""] if told else [spread(row[name], "above_bare_ms") for row in (one, two)]
        rows.append([f"**{name}**" if name == OURS else name, *cells, one[name]["writes"], f"`{one[name]['called']}`"])
    bare = " and ".join(number(median(row[BARE], "job_ms")) for row in (one, two))
    text = f"""\
        `cp` of a tiny video, {found["jobs"]} jobs on one lane and on two; milliseconds by the clock that a runner adds
        to each, above a bare loop over `Popen` with as many lanes in the same turn, which takes {bare} ms a job. What
        is paid once (starting Python, a cluster, lanes) is left out: command-line runners are run over
        {found["jobs"]} jobs and over {found["few"]}, and the difference in time is divided by that in jobs; the clocks
        of Ray and joblib begin when their actors and workers are there (for one lane joblib has none, and calls by
        itself). What starts programs faster than Python's `Popen` is below zero. A call is a function that does
        nothing, without a process, and nothing is taken off for it. gpusched gets simulated GPUs and fewer jobs: it
        reads its file anew at each look, so that a job takes longer the more of them there are. vidfleet's clock
        begins where its ledger says that the plan is made; opening, probing and planning a video takes
        {number(median(two[OURS], "plan_ms"))} ms more, before the first one starts."""
    parts = [
        "## What a runner adds to a job",
        paragraph(text),
        picture("noop", "Milliseconds that runners add to a job"),
    ]
    parts.append(table(["", "1 lane, ms", "2 lanes, ms", "writes for each job", "called as"], rows))
    parts.append(paragraph(" ".join(noop_verdict(two, among) for among in (True, False))))
    return "\n\n".join(parts)


def noop_verdict(rows: dict[str, Row], keeping: bool) -> str:
    """Who is ahead on two lanes: of those that keep a log and a result, or of all."""
    chosen = {name: row for name, row in rows.items() if name == OURS or row["keeps_log_and_result"] or not keeping}
    among = ", of those that write a log and a result for each job" if keeping else " on two lanes, of all"
    return ahead(faster_than_us(chosen, OURS, "above_bare_ms"), among)


def noop_chart(found: Found) -> str:
    rows = by_system(found["rows"], lanes=2)
    bars = [
        Bar(
            name,
            value,
            f"{number(value)} ms" + (", log and result" if row["keeps_log_and_result"] else ""),
            name == OURS,
        )
        for name, row in rows.items()
        if (value := median(row, "above_bare_ms")) is not None
    ]
    bars.sort(key=lambda bar: bar.value)
    return bar_chart(
        "What a runner adds to a job",
        "Milliseconds a job above a bare Popen, two lanes; shorter is better",
        bars,
        most=8.0,
    )


# ---- when the last video ends


def makespan(found: Found) -> str:
    rows = [
        [
            f"**{row['system']}**" if row["system"] == OURS else row["system"],
            failed(row) or spread(row, "over_bound", 3), spread(row, "command_s", 1),
            spread(row, "foretold_over_real", 2), f"`{row['called']}`",
        ]
        for row in found["rows"]
    ]  # fmt: skip
    text = f"""\
        {found["videos"]} videos of lognormal lengths (sigma {found["sigma"]}, another draw in each turn) on
        {found["lanes"]} lanes. Each job is a process that sleeps as long as its video lasts, and writes down when it
        began and ended. The figure is the time from the first beginning to the last end, over the least that any order
        could take: the lanes' fair share or the longest job, here {found["bound_s"]:.0f} s. A file's size is not its
        length: up to 30 times as many bytes for the same seconds; the logarithms of the two correlate by
        {number(found["size_to_length_correlation"]["median"])}. *Misjudged*: each video's own length is wrong by a
        factor between 1/2 and 2. The systems of a turn begin four seconds apart and then run beside each other, as
        they sleep. *Foretold*: how long the run was expected to take
        when a fifth of it had passed, over how long it took."""
    rivals = [row for row in found["rows"] if row["system"] == OURS or not row["system"].startswith(OURS)]
    verdict = ahead(faster_than_us(by_system(rivals), OURS, "over_bound"), "")
    head = ["", "over the bound", "whole command, s", "foretold", "called as"]
    return "\n\n".join([
        "## When the last video ends", paragraph(text), picture("makespan", "Makespans over the bound"),
        table(head, rows), paragraph(verdict),
    ])  # fmt: skip


def makespan_chart(found: Found) -> str:
    """Bars begin at the bound, which is 1: what is seen is the time that was lost."""
    bars = [
        Bar(row["system"], value - 1, f"{value:.2f}", row["system"].startswith(OURS) and "robin" not in row["system"])
        for row in found["rows"]
        if (value := median(row, "over_bound")) is not None
    ]
    subtitle = "Makespan over the least that any order could take; a bar is what is above 1, shorter is better"
    return bar_chart("When the last video ends", subtitle, bars, most=1.0)


# ---- a script that imports PyTorch


def warm(found: Found) -> str:
    systems = by_system(found["rows"])
    rows = [
        [
            f"**{name}**" if name.startswith(OURS) else name, str(row["videos"]),
            failed(row) or spread(row, "running_per_s"), spread(row, "with_start_per_s"), f"`{row['called']}`",
        ]
        for name, row in systems.items()
    ]  # fmt: skip
    text = f"""\
        A script that imports PyTorch {found["versions"]["torch"]} and then computes for {found["work_s"]} s, on
        {found["lanes"]} lanes. The work is {found["steps"]} matrix products on one thread, a number that was found
        once, on this machine, so that they take so much processor time; it neither sleeps nor looks at a clock. The
        script is the same for all but Ray, for which it was rewritten as an actor. A cold start takes
        seconds, so cold runs get fewer videos. *Running*: once each lane has ended its first video. *With the start*:
        from the command to the last result, planning and starting included."""
    head = ["", "videos", "running, videos/s", "with the start, videos/s", "called as"]
    return "\n\n".join([
        "## A script that imports PyTorch", paragraph(text), picture("warm", "Videos a second with PyTorch"),
        table(head, rows), paragraph(warm_verdict(systems)),
    ])  # fmt: skip


def warm_verdict(systems: dict[str, Row]) -> str:
    """The ratios of medians; a cold run counts by its running rate, which is the higher of its two."""
    if WARM not in systems or median(systems[WARM], "running_per_s") is None:
        return "Warm lanes were not measured."
    cold = median(systems[COLD], "running_per_s")
    running = over(median(systems[WARM], "running_per_s"), cold)
    with_start = over(median(systems[WARM], "with_start_per_s"), cold)
    per_video = over(median(systems[RAY], "running_per_s"), median(systems[WARM], "running_per_s"))
    told = f"Warm is {times(running)} the cold rate, {times(with_start)} with its start."
    if per_video is None:
        return told
    more = "more" if per_video >= 1 else "less"
    told = f"{told} Running, a video takes {abs(per_video - 1):.0%} {more} time than with Ray actors."
    for field, words in (("running_per_s", " once all run"), ("with_start_per_s", " with the start")):
        told += f" {ahead(faster_than_us(systems, WARM, field, more_is_better=True), words)}"
    return told


def warm_chart(found: Found) -> str:
    bars = [
        Bar(f"{row['system']}{words}", value, f"{number(value)} videos/s", row["system"].startswith(OURS))
        for field, words in (("running_per_s", ""), ("with_start_per_s", ", with the start"))
        for row in found["rows"]
        if (value := median(row, field)) is not None
    ]
    subtitle = "Videos a second on two lanes, 0.2 s of work each; longer is better"
    return bar_chart("A script that imports PyTorch", subtitle, bars, most=max(bar.value for bar in bars))


# ---- lanes that each take every core


def threads(found: Found) -> str:
    """One row for each library and number of lanes; ``share`` is what a run does by itself, ``all`` has no budgets."""
    pairs: dict[tuple[str, int], dict[str, Row]] = {}
    for row in found["rows"]:
        pairs.setdefault((row["library"], row["lanes"]), {})[row["budget"]] = row
    rows = []
    for (library, lanes), budgets in pairs.items():
        share, everything = budgets["share"], budgets["all"]
        rows.append([
            library, str(lanes), number(share["seconds"], 1), number(everything["seconds"], 1),
            number(everything["seconds"] / share["seconds"]), number(share["cpu_s"], 1), number(everything["cpu_s"], 1),
            f"{share['threads']} and {everything['threads']}",
        ])  # fmt: skip
    text = f"""\
        16 videos, of which each keeps a library busy that takes all cores unless it is told, through vidfleet: with
        each lane held to its share of the {found["machine"]["cores"]} cores, which is what a run does by itself, and
        with `--cores-per-lane all`, as without a runner that knows of it. Whole runs, by the clock and in processor
        time; medians."""
    head = [
        "",
        "lanes",
        "share, s",
        "all, s",
        "all over share",
        "share, processor s",
        "all, processor s",
        "threads each",
    ]
    return "\n\n".join(["## Thread budgets", paragraph(text), table(head, rows)])


# ---- as work grows


def growth(found: Found) -> str:
    text = """\
        `cp` of a tiny video. *Plan* goes from the command's start until the plan is made (Python's start, discovering,
        opening and probing each video), *run* from there until the process has ended, both divided by the videos.
        GNU parallel keeps a job log and results, and has no plan. *Memory* is the most that the runner itself has
        held."""
    lanes_text = """\
        As lanes grow: *running* is the time for a video once every lane has ended one. More lanes than cores are for
        work that waits, such as for a GPU; each takes a worker process to start."""
    widening = by_lanes(found["rows"])
    head = ["videos", "plan, ms each", "run, ms each", "memory, MiB", f"{PARALLEL}, ms each", "its memory, MiB"]
    return "\n\n".join([
        "## As work grows", paragraph(text), table(head, by_videos(found["rows"])), paragraph(lanes_text),
        table(["lanes", "running, ms each", "run, ms each", "memory, MiB", f"{PARALLEL}, ms each"], widening),
    ])  # fmt: skip


def by_videos(rows: Sequence[Row]) -> list[list[str]]:
    out = []
    for videos in sorted({row["videos"] for row in rows if row["table"] == GROWING}):
        both = by_system(rows, table=GROWING, videos=videos)
        ours, theirs = both[OURS], both[PARALLEL]
        out.append([
            f"{videos:,}", spread(ours, "plan_ms", 1), failed(ours) or spread(ours, "run_ms", 1),
            number(median(ours, "peak_mib"), 0), failed(theirs) or spread(theirs, "run_ms", 1),
            number(median(theirs, "peak_mib"), 0),
        ])  # fmt: skip
    return out


def by_lanes(rows: Sequence[Row]) -> list[list[str]]:
    out = []
    for lanes in sorted({row["lanes"] for row in rows if row["table"] == WIDENING}):
        both = by_system(rows, table=WIDENING, lanes=lanes)
        ours, theirs = both[OURS], both[PARALLEL]
        out.append([
            str(lanes), spread(ours, "running_ms", 1), failed(ours) or spread(ours, "run_ms", 1),
            number(median(ours, "peak_mib"), 0), failed(theirs) or spread(theirs, "run_ms", 1),
        ])  # fmt: skip
    return out
