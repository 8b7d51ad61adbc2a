"""``vidfleet doctor``: what this machine has for runs, what is missing, and the command that mends it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TextIO

from vidfleet.runner.care.doctor_machine import Finding, examine_disk, examine_gpus, examine_system
from vidfleet.runner.care.doctor_packages import examine_packages, examine_weights
from vidfleet.runner.show.page import Page
from vidfleet.runner.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SCHEMA = 1
_MARKS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "bad": ("BAD", "bold red")}


def examine_machine(root: Path | None) -> list[Finding]:
    """Look at everything; nothing is changed or fetched.

    For a moment there are a few empty files in ``root``: how its file system renames can only be found by trying.
    """
    gpus = list(examine_gpus())
    has_gpu = any(finding.name == "GPU" and finding.grade == "ok" for finding in gpus)
    return [
        *examine_system(),
        *gpus,
        *(examine_disk(root) if root is not None else ()),
        *examine_packages(has_gpu=has_gpu),
        *examine_weights(),
    ]


def to_plain(findings: Sequence[Finding]) -> dict[str, Any]:
    """As an object of JSON."""
    works = all(finding.grade != "bad" for finding in findings)
    return {"schema": SCHEMA, "works": works, "findings": [asdict(finding) for finding in findings]}


def print_findings(findings: Sequence[Finding], stream: TextIO | None) -> None:
    """Write what was found for people, part by part, and the verdict."""
    page, part = Page(stream), ""
    for finding in findings:
        if finding.part != part:
            part = finding.part
            page.line(part, "bold")
        mark, style = _MARKS[finding.grade]
        page.parts(("  ", ""), [(f"{mark:<5}", style), (printable(f"{finding.name}: {finding.value}"), "")])
        for line in finding.mend.splitlines():
            page.line(f"         {printable(line)}", "cyan")
    bad = sum(finding.grade == "bad" for finding in findings)
    page.line()
    if bad:
        page.line(f"{bad} of these will keep runs from working; what mends it stands below each.", "bold red")
    else:
        page.line("Runs will work here.", "bold green")
    page.close()
