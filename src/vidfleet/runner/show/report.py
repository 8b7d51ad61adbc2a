"""What a run came to: ``report.json`` for machines, ``report.html`` and a page of text for people."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, TextIO

from vidfleet.runner.lines import attempt_to_plain, lane_to_plain
from vidfleet.runner.show.page import Page, write_blocked, write_failures
from vidfleet.runner.show.report_page import PAGE_NAME, write_page
from vidfleet.runner.show.status import print_status
from vidfleet.runner.show.story import REPORT_NAME, Story
from vidfleet.runner.text import length, one_line, plural, printable, size

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vidfleet.data import Attempt, Lane, Outcome, State, Summary

__all__ = ["print_status", "print_summary", "report_to_plain", "write_report", "write_story"]

SCHEMA = 1
_MOST_LANES_NAMED = 8
_MOST_NOTICES = 5
_WORTH_FORETELLING_S = 60.0
"""Of a shorter run nobody waits for the end."""

_WORDS: tuple[tuple[State, str, str], ...] = (
    ("done", "done", "green"),
    ("failed", "failed", "bold red"),
    ("blocked", "blocked", "magenta"),
    ("interrupted", "interrupted", "yellow"),
    ("not_started", "not started", "yellow"),
    ("up_to_date", "up to date", ""),
)
_STANDING = {"running": "This run is not over yet.", "killed": "Its runner was killed."}
_STOPPED = {
    "interrupt": "Interrupted.",
    "setup": "Stopped early: what is missing here fails every video.",
    "disk_full": "Stopped early: the disk is full.",
    "lack_of_lanes": "Stopped early: no machine was left for the rest.",
}


def write_report(summary: Summary, folder: Path, *, root: str = "", workload: str = "") -> None:
    r"""Write ``report.json`` and ``report.html`` into ``folder``, each aside and then renamed.

    Names that are not UTF-8 are in it as Python escapes them (``\udcff``). Raises OSError.
    """
    write_story(Story(summary, root, workload), folder)


def write_story(story: Story, folder: Path) -> None:
    """Write both files of a run that is read back; see :func:`write_report`."""
    aside = folder / f".{REPORT_NAME}.part"
    aside.write_text(to_json(report_to_plain(story, folder.name)), "ascii")
    aside.replace(folder / REPORT_NAME)
    write_page(story, folder)


def to_json(plain: dict[str, Any]) -> str:
    """Write a report as ASCII, a line for each video: indented all through it would take seconds and megabytes."""
    videos = ",\n".join(json.dumps(video, ensure_ascii=True) for video in plain["videos"])
    rest = json.dumps({**plain, "videos": None}, ensure_ascii=True, indent=1)
    return rest.replace('"videos": null', f'"videos": [\n{videos}\n]') + "\n"


def report_to_plain(story: Story, run: str) -> dict[str, Any]:
    """The whole of a run as an object of JSON: ``report.json``, and what ``--json`` prints."""
    summary = story.summary
    counts = Counter(outcome.state for outcome in summary.outcomes)
    if story.unnamed:
        counts["up_to_date"] += story.unnamed
    return {
        "schema": SCHEMA,
        "run": run,
        "root": story.root,
        "workload": story.workload,
        "standing": story.standing,
        "started_at": summary.started_at,
        "ended_at": summary.ended_at,
        "foretold_s": summary.foretold_s,
        "stopped_by": summary.stopped_by,
        "signal": summary.signal,
        "exit_status": summary.exit_status,
        "counts": counts,
        "unnamed_up_to_date": story.unnamed,
        "lanes": [lane_to_plain(lane) for lane in summary.lanes],
        "notices": list(summary.notices),
        "videos": [_outcome_to_plain(outcome) for outcome in summary.outcomes],
    }


def _outcome_to_plain(outcome: Outcome) -> dict[str, Any]:
    plain: dict[str, Any] = {"video": outcome.video.relative, "state": outcome.state}
    if outcome.state == "up_to_date":
        return plain
    return plain | {
        "kind": outcome.kind,
        "reason": outcome.reason,
        "log": outcome.log,
        "duration_s": outcome.probe.duration_s if outcome.probe else None,
        "attempts": [attempt_to_plain(attempt) for attempt in outcome.attempts],
    }


def print_summary(summary: Summary, stream: TextIO | None, *, standing: str = "ended", unnamed: int = 0) -> None:
    """Write the end of a run for people: how many of what, how fast, what failed and where to look.

    ``standing`` and ``unnamed`` are those of a :class:`~vidfleet.runner.show.story.Story`.
    """
    page = Page(stream)
    if standing in _STANDING:
        page.line(_STANDING[standing], "bold yellow")
    _write_counts(summary, page, unnamed)
    _write_speed(summary, page)
    _write_notices(summary.notices, page)
    write_failures(page, _in_state(summary, "failed"), summary.run_folder)
    write_blocked(page, _in_state(summary, "blocked"))
    if summary.count("interrupted") or summary.count("not_started"):
        page.line("\nThe same command again runs what is left.")
    if summary.run_folder is not None:
        page.line(f"\nReport: {printable(str(summary.run_folder / PAGE_NAME))}, with the logs beside it")
    page.close()


def _in_state(summary: Summary, state: State) -> list[Outcome]:
    return [outcome for outcome in summary.outcomes if outcome.state == state]


def _write_counts(summary: Summary, page: Page, unnamed: int) -> None:
    if summary.stopped_by:
        page.line(_STOPPED[summary.stopped_by], "bold yellow")
    total = plural(len(summary.outcomes) + unnamed, "video")
    if summary.count("up_to_date") == len(summary.outcomes):
        page.line(f"{total}: all up to date, nothing to do.")
        return
    counts = {state: summary.count(state) for state, _, _ in _WORDS}
    counts["up_to_date"] += unnamed
    parts = [(f"{counts[state]} {word}", style) for state, word, style in _WORDS if counts[state]]
    page.parts((f"{total}: ", "bold"), parts, separator=", ")


def _write_notices(notices: Sequence[str], page: Page) -> None:
    distinct = list(dict.fromkeys(notices))
    for text in distinct[:_MOST_NOTICES]:
        page.line(f"Note: {one_line(text)}")
    if len(distinct) > _MOST_NOTICES:
        page.line(f"Note: and {len(distinct) - _MOST_NOTICES} more in report.json")


def _write_speed(summary: Summary, page: Page) -> None:
    """Seconds of video per second, and how busy the lanes were; nothing where nothing ran."""
    wall_s = summary.ended_at - summary.started_at
    attempts = [attempt for outcome in summary.outcomes for attempt in outcome.attempts]
    if not attempts or wall_s <= 0:
        return
    done_s = sum(o.probe.duration_s for o in summary.outcomes if o.state == "done" and o.probe)
    speed = f" for {length(done_s)} of video: {done_s / wall_s:.3g} seconds of it per second" if done_s else ""
    page.line(f"Took {length(wall_s)}{speed}.")
    if summary.foretold_s and wall_s >= _WORTH_FORETELLING_S:
        page.line(f"After the first fifth, {length(summary.foretold_s)} were expected.")
    page.line(_lane_use(summary.lanes, attempts, wall_s))
    _write_leftovers(summary, page)


def _write_leftovers(summary: Summary, page: Page) -> None:
    """Programs that came to their end by themselves, and left others running."""
    left = {
        outcome.video.relative: attempt.evidence.ended_leftovers
        for outcome in summary.outcomes
        for attempt in outcome.attempts
        if attempt.evidence.ended_leftovers and attempt.evidence.exit_status is not None and not _was_ended(attempt)
    }
    if left:
        count, first = sum(left.values()), printable(next(iter(left)))
        more = f" and {len(left) - 1} more" if len(left) > 1 else ""
        running = "1 process that was" if count == 1 else f"{count} processes that were"
        page.line(f"Ended {running} still running when the attempt at {first}{more} was over.")


def _was_ended(attempt: Attempt) -> bool:
    return attempt.evidence.timed_out or attempt.evidence.stalled or attempt.evidence.cancelled


def _lane_use(lanes: Sequence[Lane], attempts: Sequence[Attempt], wall_s: float) -> str:
    """How much of the time each lane had work, and the most memory of one attempt."""
    busy_s: dict[int, float] = defaultdict(float)
    for item in (item for attempt in attempts for item in (attempt, *attempt.helpers)):
        busy_s[item.lane.index] += item.seconds
    shares = {lane.index: min(busy_s[lane.index] / wall_s, 1.0) for lane in lanes}
    if len(lanes) <= _MOST_LANES_NAMED:
        by_label: dict[str, list[str]] = defaultdict(list)
        for lane in lanes:  # several may share one GPU
            by_label[lane.label].append(f"{shares[lane.index]:.0%}")
        use = ", ".join(f"{printable(label)} {' '.join(of_each)}" for label, of_each in by_label.items())
    else:
        idlest = min(lanes, key=lambda lane: shares[lane.index])
        use = (
            f"{len(lanes)} lanes {sum(shares.values()) / len(lanes):.0%} on average, "
            f"least {printable(idlest.label)} {shares[idlest.index]:.0%}"
        )
    peak = max(attempt.evidence.peak_memory_bytes for attempt in attempts)
    memory = f"; at most {size(peak)} of memory for one video" if peak else ""
    return f"Busy: {use}{memory}."
