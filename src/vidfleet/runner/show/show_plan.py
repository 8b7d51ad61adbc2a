"""``--dry-run`` and ``plan.json``: what would run, what is done, what is blocked and why."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from typing import TYPE_CHECKING, Any, TextIO

from vidfleet.runner.disk import estimate
from vidfleet.runner.events import RunStarted
from vidfleet.runner.lines import lane_to_plain
from vidfleet.runner.order.forecast import Forecast
from vidfleet.runner.show.page import Page, write_blocked, write_failures
from vidfleet.runner.text import about, length, one_line, plural, printable

if TYPE_CHECKING:
    from pathlib import Path

    from vidfleet.runner.order.forecast import Outlasting
    from vidfleet.runner.run import Prepared

PLAN_NAME = "plan.json"
SCHEMA = 1
_MOST_SHOWN = 50


def write_plan(prepared: Prepared, folder: Path) -> None:
    """Write ``plan.json`` into a run's folder; a full disk does not end the run for it."""
    with contextlib.suppress(OSError):
        (folder / PLAN_NAME).write_text(json.dumps(plan_to_plain(prepared), ensure_ascii=True) + "\n", "ascii")


def plan_to_plain(prepared: Prepared) -> dict[str, Any]:
    """The plan as an object of JSON; of what is up to date only the number."""
    plan, reasons, forecast = prepared.plan, dict(prepared.plan.reasons), forecast_of(prepared)
    settings = dataclasses.asdict(prepared.settings)
    return {
        "schema": SCHEMA,
        "root": str(prepared.root),
        "workload": prepared.description.name,
        "fingerprint": prepared.description.fingerprint,
        "settings": {name: str(value) if name == "output" and value else value for name, value in settings.items()},
        "notices": list(prepared.notices),
        "lanes": [lane_to_plain(lane) for lane in prepared.first_lanes],
        "expected_s": _expected_s(forecast, prepared),
        "outlasting": alone.task.video.relative if (alone := forecast.outlasting()) else None,
        "tasks": [
            {
                "video": task.video.relative,
                "cost": task.cost,
                "duration_s": task.probe.duration_s,
                "expected_s": None if (seconds := forecast.expected_s(task)) is None else round(seconds, 3),
                "why": reasons.get(task.video.relative, ""),
            }
            for task in plan.tasks
        ],
        "disk": dataclasses.asdict(need) if (need := estimate(plan.tasks, prepared.description)) else None,
        "adopted": [task.video.relative for task in plan.adopted],
        "up_to_date": sum(outcome.state == "up_to_date" for outcome in plan.settled),
        "settled": [
            {"video": o.video.relative, "state": o.state, "kind": o.kind, "reason": o.reason}
            for o in plan.settled
            if o.state != "up_to_date"
        ],
    }


def forecast_of(prepared: Prepared) -> Forecast:
    """How long what is planned should take, as nothing of it has begun."""
    forecast = Forecast()
    lanes, tasks = prepared.lanes, prepared.plan.tasks
    forecast.apply(RunStarted("", "", lanes, tasks, (), prepared.known, prepared.settings.schedule), 0.0)
    return forecast


def _expected_s(forecast: Forecast, prepared: Prepared) -> list[float] | None:
    """How long each lane has work, as earlier runs have shown; nothing where there was none."""
    if not forecast.is_known or not prepared.lanes:
        return None
    ends_s = forecast.ends_s(0.0)
    return [round(ends_s[lane.index], 1) for lane in prepared.first_lanes]


def print_plan(prepared: Prepared, stream: TextIO | None) -> None:
    """Write the plan for people."""
    page, plan = Page(stream), prepared.plan
    for notice in prepared.notices:
        page.line(one_line(notice), "yellow")
    video_s = sum(task.probe.duration_s for task in plan.tasks)
    done = sum(outcome.state == "up_to_date" for outcome in plan.settled)
    page.line(
        f"{prepared.description.name}: {plural(len(plan.tasks), 'video')} would run ({length(video_s)} of film), "
        f"{done} up to date, on {_where(prepared)}",
        "bold",
    )
    if need := estimate(plan.tasks, prepared.description):
        page.line(f"the outputs will take {need}")
    if plan.adopted:
        page.line(f"{plural(len(plan.adopted), 'output')} that others made would be taken as done (--existing adopt)")
    _write_tasks(prepared, page)
    _write_lanes(prepared, page)
    write_failures(page, [outcome for outcome in plan.settled if outcome.state == "failed"], None)
    write_blocked(page, [outcome for outcome in plan.settled if outcome.state == "blocked"])
    page.close()


def _where(prepared: Prepared) -> str:
    if prepared.settings.executor != "slurm":
        return plural(len(prepared.first_lanes), "lane")
    from vidfleet.runner.slurm.shares import how_many

    settings = prepared.settings
    count = how_many(prepared.plan.tasks, forecast_of(prepared), settings, settings.max_jobs)
    return plural(count, "Slurm array element")


def _write_tasks(prepared: Prepared, page: Page) -> None:
    reasons = dict(prepared.plan.reasons)
    for task in prepared.plan.tasks[:_MOST_SHOWN]:
        reason = reasons.get(task.video.relative, "")
        page.parts(
            (f"  {printable(task.video.relative)}", ""),
            [(f"  {length(task.probe.duration_s)}", "dim"), (f"  {one_line(reason)}" if reason else "", "yellow")],
        )
    more = len(prepared.plan.tasks) - _MOST_SHOWN
    if more > 0:
        page.line(f"  ... and {more} more", "dim")


def _write_lanes(prepared: Prepared, page: Page) -> None:
    """When each lane is through, or its share of the cost; and a video that nothing can hide."""
    if not prepared.plan.tasks or not prepared.lanes:
        return
    forecast = forecast_of(prepared)
    ends_s = forecast.ends_s(0.0)
    whole = sum(ends_s.values())
    shares = "  ".join(
        f"{lane.label} {about(ends_s[lane.index]) if forecast.is_known else f'{ends_s[lane.index] / whole:.0%}'}"
        for lane in prepared.first_lanes
    )
    if forecast.is_known:
        page.line(f"expected time, by earlier runs: {about(max(ends_s.values()))} in all; {shares}")
    else:
        page.line(f"share of the work: {shares}")
    if not forecast.has_lane_for_each and (alone := forecast.outlasting()):
        helps = bool(prepared.description.traits.shares)
        page.line(outlasting_in_words(alone, is_known=forecast.is_known, shares=helps), "yellow")


def outlasting_in_words(alone: Outlasting, *, is_known: bool, shares: bool) -> str:
    """Write that the run ends with one video, and what it could be without it; ``shares``: others may help with it."""
    name = printable(alone.task.video.relative)
    then = "lanes that are through help with it" if shares else "the run ends with it"
    if not is_known:
        return f"{name} alone takes longer than all others on the other lanes: {then}"
    return f"{name} alone takes {about(alone.seconds)}, all others on the other lanes {about(alone.others_s)}: {then}"


def outlasting_in_run(forecast: Forecast, *, shares: bool) -> str:
    """The same as a run begins; nothing where no time is known yet, or videos are so few that it is no news."""
    if not forecast.is_known or forecast.has_lane_for_each:
        return ""
    alone = forecast.outlasting()
    return outlasting_in_words(alone, is_known=True, shares=shares) if alone else ""
