"""A page of text for people, coloured where somebody sits in front of it; and what failed, by its sort."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from vidfleet.runner.text import HarmlessStream, fit_end, one_line, plural, printable, signature

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from vidfleet.data import Outcome

_FEW = 10
"""So many failures are all named, whatever their sorts."""
_MOST_SORTS = 8
_EXAMPLES = 3
_LONGEST_REASON_CELLS = 400
_LONGEST_STEM_TO_SPARE = 3
"""A stem so short may be any word or number of a sentence: it is left in."""


class Page:
    """Writes lines; the text is never markup and never does anything to the terminal it was not asked to."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = HarmlessStream(stream)
        self._console: Console | None = None
        if self._stream.isatty():
            from rich.console import Console

            self._console = Console(
                file=self._stream,  # type: ignore[arg-type]  # writes, flushes, tells its encoding: all that is used
                force_terminal=True,
                markup=False,
                highlight=False,
                emoji=False,
            )

    def line(self, text: str = "", style: str = "") -> None:
        """Write one line."""
        self.parts((text, style), ())

    def parts(self, head: tuple[str, str], parts: Sequence[tuple[str, str]], *, separator: str = "") -> None:
        """Write one line of parts with a style each."""
        if self._console is None:
            self._stream.write(head[0] + separator.join(text for text, _ in parts) + "\n")
            return
        from rich.text import Text

        rest = Text(separator).join(Text(text, style) for text, style in parts)
        self._console.print(Text.assemble(head, rest), soft_wrap=True)

    def close(self) -> None:
        """Hand everything to the system."""
        self._stream.flush()


def write_failures(page: Page, outcomes: Sequence[Outcome], run_folder: Path | None) -> None:
    """List failed videos by kind and reason, the most frequent first: some with logs, the rest counted."""
    if not outcomes:
        return
    page.line()
    page.line(f"Failed ({len(outcomes)}):", "bold red")
    sorts = by_sort(outcomes)
    if len(outcomes) <= _FEW:
        for sort in sorts:
            _write_sort(page, sort, run_folder, examples=len(sort))
        return
    for place, sort in enumerate(sorts[:_MOST_SORTS]):
        _write_sort(page, sort, run_folder, examples=_EXAMPLES if place < _EXAMPLES else 1)
    if len(sorts) > _MOST_SORTS:
        left = sum(len(sort) for sort in sorts[_MOST_SORTS:])
        page.line(f"  … and {left} more of {len(sorts) - _MOST_SORTS} other sorts")


def _write_sort(page: Page, sort: list[Outcome], run_folder: Path | None, *, examples: int) -> None:
    page.line(f"  {_what(sort[0])}" + (f"  [{plural(len(sort), 'video')}]" if len(sort) > 1 else ""))
    for outcome in sort[:examples]:
        page.line(f"    {printable(outcome.video.relative)}")
        if run_folder and outcome.log:
            page.line(f"      {printable(str(run_folder / outcome.log))}", "dim")
    if len(sort) > examples:
        page.line(f"    … and {len(sort) - examples} more")


def write_blocked(page: Page, outcomes: Sequence[Outcome]) -> None:
    """Say why videos were left alone: each reason once, with an example."""
    if not outcomes:
        return
    page.line()
    page.line(f"Blocked, left alone ({len(outcomes)}):", "bold magenta")
    sorts = by_sort(outcomes)
    for sort in sorts[:_MOST_SORTS]:
        example = printable(sort[0].video.relative)
        which = f"{plural(len(sort), 'video')}, such as {example}" if len(sort) > 1 else example
        page.line(f"  {_what(sort[0])}")
        page.line(f"    {which}")
    if len(sorts) > _MOST_SORTS:
        left = sum(len(sort) for sort in sorts[_MOST_SORTS:])
        page.line(f"  … and {left} more for {len(sorts) - _MOST_SORTS} other reasons")


def _what(outcome: Outcome) -> str:
    reason = fit_end(one_line(outcome.reason), _LONGEST_REASON_CELLS)
    return ": ".join(filter(None, (outcome.kind, reason))) or "no reason given"


def by_sort(outcomes: Sequence[Outcome]) -> list[list[Outcome]]:
    """Put together what failed in one way, though each names its own file and its own numbers."""
    sorts: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        sorts.setdefault((outcome.kind, signature(outcome.reason, *_names_of(outcome))), []).append(outcome)
    return sorted(sorts.values(), key=len, reverse=True)


def _names_of(outcome: Outcome) -> tuple[str, ...]:
    video = outcome.video
    stem = video.stem if len(video.stem) > _LONGEST_STEM_TO_SPARE else ""
    return (str(video.path), str(video.path.with_suffix("")), video.relative, video.path.name, stem)
