"""The commands beside runs: status, report, logs, clean, stop, doctor; and people, who is who in what was made."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from vidfleet.options import Parser

    Commands = argparse._SubParsersAction[Parser]


def add_commands(commands: Commands) -> None:
    """Give the command line those of this module; each sets ``act``, which takes the parsed line."""
    status = _command(commands, "status", show_status, "say how the last run over a folder stands")
    _add_json(status)
    report = _command(commands, "report", show_report, "print the last run's summary again, and make its report.html")
    report.add_argument("--run", metavar="ID", default="", help="an earlier run: its name below .vidfleet/runs")
    _add_json(report)
    logs = _command(commands, "logs", show_log, "print the last log of a video")
    logs.add_argument("video", metavar="VIDEO", help="its path, its name, or a part of it that no other video has")
    logs.add_argument("--run", metavar="ID", default="", help="the log of this run")
    clean = _command(commands, "clean", clean_up, "remove what runs have left: links, old runs, .old folders")
    clean.add_argument("--dry-run", action="store_true", help="say what would be removed; remove nothing")
    clean.add_argument(
        "--stages", action="store_true",
        help="also what attempts have left in their stages, of failed videos or to go on from",
    )  # fmt: skip
    stop = _command(commands, "stop", stop_run, "ask the runner that works on a folder to end")
    stop.add_argument("--drain", action="store_true", help="let running attempts finish")
    people = commands.add_parser(
        "people", help="put edited people.json files into effect; find who is in several films"
    )
    people.add_argument(
        "root", metavar="DIR", type=Path, help="a folder of processed films, or one film's output folder"
    )
    people.set_defaults(act=name_people)
    doctor = commands.add_parser("doctor", help="say what this machine has for runs, what is missing, and what helps")
    doctor.add_argument("root", metavar="DIR", type=Path, nargs="?", help="a folder whose disk is looked at, too")
    _add_json(doctor)
    doctor.set_defaults(act=examine)


def _command(commands: Commands, name: str, act: Callable[[argparse.Namespace], int], text: str) -> Parser:
    parser = commands.add_parser(name, help=text)
    parser.add_argument("root", metavar="DIR", type=Path, help="the folder that the run was given (or its --output)")
    parser.set_defaults(act=act)
    return parser


def _add_json(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON document instead of text")


def show_status(options: argparse.Namespace) -> int:
    """``vidfleet status``."""
    from vidfleet.runner.show.status import print_status, status_to_plain

    if options.json:
        plain = status_to_plain(options.root)
        print_json(plain)
        return 0 if plain["run"] else 1
    return print_status(options.root, sys.stdout)


def show_report(options: argparse.Namespace) -> int:
    """``vidfleet report``: also of a run whose runner was killed, or is at work."""
    from vidfleet.errors import UsageError
    from vidfleet.runner.care.logs import find_run
    from vidfleet.runner.show.report import print_summary, report_to_plain, write_story
    from vidfleet.runner.show.report_page import write_page
    from vidfleet.runner.show.story import read_story, with_now
    from vidfleet.runner.text import said

    run = find_run(options.root, options.run)
    try:
        story = with_now(read_story(run), time.time())
        if story.standing == "killed":
            write_story(story, run.path)
        else:
            write_page(story, run.path)
    except OSError as error:
        raise UsageError(f"the report of this run cannot be made ({said(error)})") from error
    if options.json:
        print_json(report_to_plain(story, run.id))
    else:
        print_summary(story.summary, sys.stdout, standing=story.standing, unnamed=story.unnamed)
    return 0


def name_people(options: argparse.Namespace) -> int:
    """``vidfleet people``."""
    from vidfleet.runner.show.page import Page
    from vidfleet.runner.text import printable
    from vidfleet.speakers.models import check_installed

    check_installed()
    from vidfleet.speakers import people
    from vidfleet.speakers.telling import retell

    page = Page(sys.stdout)

    def say(text: str) -> None:
        page.line(printable(text))

    return people.main(options.root.absolute(), say=say, render=lambda folder: retell(folder, say=say))


def show_log(options: argparse.Namespace) -> int:
    """``vidfleet logs``."""
    from vidfleet.errors import UsageError
    from vidfleet.runner.care.logs import find_log, print_logs
    from vidfleet.runner.text import HarmlessStream, printable

    found = find_log(options.root, options.video, run=options.run)
    if sys.stderr.isatty():
        HarmlessStream(sys.stderr).write(f"{printable(found.video)}, run {found.run}\n{printable(str(found.path))}\n")
    try:
        print_logs(found, sys.stdout)
    except OSError as error:
        raise UsageError(f"{found.path}: {error.strerror}") from error
    return 0


def clean_up(options: argparse.Namespace) -> int:
    """``vidfleet clean``."""
    from vidfleet.errors import UsageError
    from vidfleet.runner.care.clean import clean
    from vidfleet.runner.show.page import Page
    from vidfleet.runner.text import plural, printable, size

    if not options.root.is_dir():
        raise UsageError(f"{options.root} is not a folder")
    cleaned, page = clean(options.root, dry_run=options.dry_run, stages=options.stages), Page(sys.stdout)
    verb = "Would remove" if options.dry_run else "Removed"
    things = ", ".join(f"{count} x {what}" for what, count in sorted(cleaned.counts.items()))
    total = plural(sum(cleaned.counts.values()), "thing")
    page.line(f"{verb} {total}, {size(cleaned.freed_bytes)}: {things}" if things else "Nothing to remove.")
    for text in cleaned.left:
        page.line(f"Left alone: {printable(text)}")
    page.close()
    return 0


def stop_run(options: argparse.Namespace) -> int:
    """``vidfleet stop``: 1 where nobody could be asked."""
    from vidfleet.runner.care.stop import stop_runs
    from vidfleet.runner.show.page import Page
    from vidfleet.runner.text import printable

    page, asked = Page(sys.stdout), stop_runs(options.root, drain=options.drain)
    for answer in asked:
        page.line(answer.words)
    if not asked:
        page.line(f"No run goes on over {printable(str(options.root))}.")
    page.close()
    return 0 if any(answer.was_asked for answer in asked) else 1


def examine(options: argparse.Namespace) -> int:
    """``vidfleet doctor``: 1 where something that runs need is missing."""
    from vidfleet.runner.care.doctor import examine_machine, print_findings, to_plain

    findings = examine_machine(options.root)
    if options.json:
        print_json(to_plain(findings))
    else:
        print_findings(findings, sys.stdout)
    return 1 if any(finding.grade == "bad" for finding in findings) else 0


def error_to_plain(lines: Sequence[str], status: int) -> dict[str, Any]:
    """What ``--json`` prints where there is nothing but an error: a sentence, and what to do."""
    return {"schema": 1, "error": lines[0], "help": "\n".join(lines[1:]), "exit_status": status}


def print_json(plain: dict[str, Any]) -> None:
    """Write one document, and nothing else, to standard output: plain ASCII on one line."""
    from vidfleet.runner.text import HarmlessStream

    out = HarmlessStream(sys.stdout)
    out.write(json.dumps(plain, ensure_ascii=True) + "\n")
    out.flush()
