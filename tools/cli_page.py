"""Write ``docs/cli.md`` from the parsers of the command line: ``python -m tools.cli_page`` (or ``make docs``)."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from vidfleet.cli import build_parallel_parser, build_parser

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).resolve().parents[1] / "docs" / "cli.md"
HEAD = """\
# Command line

*Written by `make docs` from the program itself; a test keeps it equal to `--help`.*

In flags `-` and `_` are alike: `--num-gpus` and `--num_gpus`. What stands behind a bare `--` is not ours: it goes to
the script, the class or the program.
"""
FOOT = """\
## Exit status

| status | means |
|--:|---|
| 0 | every video is done, now or from earlier |
| 1 | some videos failed or are blocked; the summary says which and why |
| 2 | the command line is wrong; nothing was touched |
| 3 | stopped: what is missing would fail every video (`setup`), the disk is full, or a cluster has no machine left |
| 4 | other runners are at work on all that is left |
| 129, 130, 143 | stopped by SIGHUP, Ctrl-C, SIGTERM |
"""


def make_page() -> str:
    """The whole page."""
    parts = [HEAD]
    for parser in every_parser():
        parts += [f"## `{parser.prog}`\n", f"{_sentence(parser.description)}\n"]
        parts += _groups(parser)
        if parser.epilog:
            parts.append(f"```text\n{parser.epilog.replace('``', '').strip()}\n```\n")
    return "\n".join([*parts, FOOT])


def every_parser() -> list[argparse.ArgumentParser]:
    """The user's own command first, then ``vidfleet`` and its commands."""
    top = build_parser()
    parsers: list[argparse.ArgumentParser] = [build_parallel_parser(), top]
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help for choice in action._choices_actions}
            for name, parser in action.choices.items():
                parser.description = parser.description or helps.get(name)
                parsers.append(parser)
    return parsers


def _groups(parser: argparse.ArgumentParser) -> Iterator[str]:
    """A table for each group of options."""
    for group in parser._action_groups:
        rows = [row for action in group._group_actions for row in _rows(action)]
        if rows:
            title = f"### {group.title}\n\n" if group.title not in ("positional arguments", "options") else ""
            yield title + "| | |\n|---|---|\n" + "\n".join(rows) + "\n"


def _rows(action: argparse.Action) -> Iterator[str]:
    """One line for an option or argument; one for each command."""
    if isinstance(action, argparse._SubParsersAction):
        for choice in action._choices_actions:
            yield f"| `{choice.dest}` | {_cell(choice.help)} |"
    elif action.help != argparse.SUPPRESS and not isinstance(action, argparse._HelpAction):
        yield f"| {_name(action)} | {_cell(action.help)} |"


def _name(action: argparse.Action) -> str:
    if action.choices:
        value = " " + "\\|".join(map(str, action.choices))
    else:
        value = _cell(f" {action.metavar or ''}").rstrip() if action.nargs != 0 else ""
    return ", ".join(f"`{flag}{value}`" for flag in action.option_strings) or f"`{action.metavar}`"


def _sentence(text: str | None) -> str:
    text = (text or "").strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _cell(text: str | None) -> str:
    return (text or "").replace("%%", "%").replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(make_page(), encoding="utf-8")
