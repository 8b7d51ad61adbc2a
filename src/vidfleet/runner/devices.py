"""Which GPUs can be trusted: one that fails while others succeed gets no more videos.

A failure that may be the video's own fault counts against a GPU only once the same video has succeeded on
another. Until that is known, a GPU with too many of them waits.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vidfleet.data import Attempt, Lane
    from vidfleet.runner.order.queue import Case


@dataclass
class _Failure:
    """One failure in a row of them."""

    position: int
    """The video's."""
    counts: bool
    """It is the GPU's fault; else that is not known yet."""


class Devices:
    """Failures in a row, by GPU; of this machine's processor nobody is blamed, of other machines' the machine is."""

    def __init__(self, lanes: Sequence[Lane], limit: int) -> None:
        self._limit = limit
        self._keys = {_key(lane) for lane in lanes} - {""}
        self._row: dict[str, list[_Failure]] = defaultdict(list)
        self._succeeded: set[str] = set()
        self._out: set[str] = set()

    def admit(self, lane: Lane) -> None:
        """A lane has joined."""
        self._keys |= {_key(lane)} - {""}

    def may_work(self, lane: Lane) -> bool:
        """Whether a lane's GPU gets videos now: neither out, nor waiting for a verdict."""
        key = _key(lane)
        return key not in self._out and not self._waits(key)

    def is_out(self, lane: Lane) -> bool:
        """Whether a lane's GPU gets no more videos in this run."""
        return _key(lane) in self._out

    def succeeded(self, lane: Lane, case: Case) -> tuple[str, ...]:
        """Note a success; returns the labels of GPUs that are out for it now."""
        key = _key(lane)
        self._row[key].clear()
        self._succeeded.add(key)
        for other, row in self._row.items():
            for failure in row:
                if other != key and failure.position == case.task.video.position:
                    failure.counts = True
        return self._judge()

    def failed(self, lane: Lane, case: Case, *, is_to_blame: bool, will_retry: bool) -> tuple[str, ...]:
        """Note a failure; returns the labels of GPUs that are out for it now."""
        key, position = _key(lane), case.task.video.position
        for other, row in self._row.items():
            if other != key:  # it failed on two GPUs: neither's fault
                row[:] = [failure for failure in row if failure.counts or failure.position != position]
        if key and (is_to_blame or will_retry):
            self._row[key].append(_Failure(position, is_to_blame))
        return self._judge()

    def let_all_work(self) -> None:
        """Stop waiting for verdicts that cannot come: nothing runs any more."""
        for row in self._row.values():
            row[:] = [failure for failure in row if failure.counts]

    def blamed(self, attempt: Attempt) -> bool:
        """Whether an attempt failed on a GPU that is out: then it used up no retry."""
        return _key(attempt.lane) in self._out

    def _waits(self, key: str) -> bool:
        return key != "" and len(self._row[key]) >= self._limit and bool(self._keys - self._out - {key})

    def _judge(self) -> tuple[str, ...]:
        newly = {
            key
            for key, row in self._row.items()
            if key and key not in self._out
            and sum(failure.counts for failure in row) >= self._limit
            and self._succeeded - self._out - {key}
        }  # fmt: skip
        self._out |= newly
        return tuple(sorted(newly))


def _key(lane: Lane) -> str:
    return lane.device.label if lane.device.kind == "gpu" or lane.device.host else ""
