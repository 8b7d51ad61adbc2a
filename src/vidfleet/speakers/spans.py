"""Arithmetic of stretches of time: join, cut, take away. All take and give spans in order of time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vidfleet.speakers.data import Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def joined(spans: Iterable[Span], *, gap_s: float = 0.0) -> tuple[Span, ...]:
    """The union of the spans, in any order; gaps of up to ``gap_s`` seconds are closed."""
    result: list[Span] = []
    for span in sorted(spans, key=lambda span: span.start_s):
        if result and span.start_s - result[-1].end_s <= gap_s:
            result[-1] = Span(result[-1].start_s, max(result[-1].end_s, span.end_s))
        else:
            result.append(span)
    return tuple(result)


def common(first: Sequence[Span], second: Sequence[Span]) -> tuple[Span, ...]:
    """What lies in both; in each the spans are apart from each other."""
    result, i, j = [], 0, 0
    while i < len(first) and j < len(second):
        start, end = max(first[i].start_s, second[j].start_s), min(first[i].end_s, second[j].end_s)
        if start < end:
            result.append(Span(start, end))
        if first[i].end_s < second[j].end_s:
            i += 1
        else:
            j += 1
    return tuple(result)


def without(spans: Sequence[Span], taken: Sequence[Span]) -> tuple[Span, ...]:
    """What of ``spans`` is left when ``taken`` is taken away; in each the spans are apart from each other."""
    edges = [-float("inf"), *(edge for span in taken for edge in (span.start_s, span.end_s)), float("inf")]
    rest = [Span(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if start < end]
    return common(spans, rest)


def at_least(spans: Iterable[Span], least_s: float) -> tuple[Span, ...]:
    """Those that last so long; a millionth of a second is forgiven to floating point."""
    return tuple(span for span in spans if span.end_s - span.start_s >= least_s - 1e-6)
