"""``--dry-run``: what would run, what is done, what is blocked and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from vidfleet.runner.page import Page, write_blocked, write_failures
from vidfleet.runner.plan import cost_by_lane
from vidfleet.runner.text import length, plural

if TYPE_CHECKING:
    from vidfleet.runner.run import Prepared

_MOST_SHOWN = 50


def print_plan(prepared: Prepared, stream: TextIO | None) -> None:
    """Write the plan for people."""
    page, plan = Page(stream), prepared.plan
    for notice in prepared.notices:
        page.line(notice, "yellow")
    video_s = sum(task.probe.duration_s for task in plan.tasks)
    done = sum(outcome.state == "up_to_date" for outcome in plan.settled)
    page.line(
        f"{prepared.description.name}: {plural(len(plan.tasks), 'video')} would run ({length(video_s)} of film), "
        f"{done} up to date, on {plural(len(prepared.lanes), 'lane')}",
        "bold",
    )
    _write_tasks(prepared, page)
    _write_lanes(prepared, page)
    write_failures(page, [outcome for outcome in plan.settled if outcome.state == "failed"], None)
    write_blocked(page, [outcome for outcome in plan.settled if outcome.state == "blocked"])
    page.close()


def _write_tasks(prepared: Prepared, page: Page) -> None:
    reasons = dict(prepared.plan.reasons)
    for task in prepared.plan.tasks[:_MOST_SHOWN]:
        reason = reasons.get(task.video.relative, "")
        page.parts(
            (f"  {task.video.relative}", ""),
            [(f"  {length(task.probe.duration_s)}", "dim"), (f"  {reason}" if reason else "", "yellow")],
        )
    more = len(prepared.plan.tasks) - _MOST_SHOWN
    if more > 0:
        page.line(f"  ... and {more} more", "dim")


def _write_lanes(prepared: Prepared, page: Page) -> None:
    """Each lane's share of the cost, and a video that nothing can hide."""
    if not prepared.plan.tasks:
        return
    loads = cost_by_lane(prepared.plan.tasks, len(prepared.lanes), prepared.settings.schedule)
    longest = max(prepared.plan.tasks, key=lambda task: task.cost)
    whole = sum(loads)
    shares = "  ".join(
        f"{lane.label} {100 * load / whole:.0f} %" for lane, load in zip(prepared.lanes, loads, strict=True)
    )
    page.line(f"share of the work: {shares}")
    if len(prepared.lanes) > 1 and longest.cost > whole / len(prepared.lanes):
        page.line(
            f"{longest.video.relative} alone takes longer than all others on the other lanes: the run ends with it",
            "yellow",
        )
