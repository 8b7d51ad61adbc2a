"""Nodes on which one video after the other fails, while others succeed: a broken GPU, a library that is not there.

An element has nothing to compare itself with; the driver has: other elements. What has failed is not told of as failed
until its element has shown that it can do better, or has ended without having failed too often.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vidfleet.data import Outcome, Task
from vidfleet.runner.failures import BY_NAME, DONE
from vidfleet.runner.ledger import Heard

if TYPE_CHECKING:
    from collections.abc import Collection

    from vidfleet.data import Attempt
    from vidfleet.runner.slurm.place import ElementStart


@dataclass(frozen=True, slots=True)
class Held:
    """A failure that may be the node's."""

    task: Task
    outcome: Outcome
    heard: Heard


class Suspects:
    """How each element does."""

    def __init__(self, most: int) -> None:
        """``most`` failures of a GPU in a row are too many."""
        self._most = most
        self._in_a_row: Counter[ElementStart] = Counter()
        self._succeeded: set[ElementStart] = set()
        self._gave_up: set[ElementStart] = set()
        self._held: dict[ElementStart, list[Held]] = defaultdict(list)
        self._out: set[ElementStart] = set()

    @property
    def shares(self) -> set[int]:
        """Of elements whose nodes are out, or would be if others succeeded."""
        return {which.share for which in self._out | self._gave_up}

    def attempt(self, which: ElementStart, attempt: Attempt) -> list[ElementStart]:
        """Take in how an attempt has ended; returns elements whose nodes are to be left out from now on."""
        kind = BY_NAME.get(attempt.kind)
        if attempt.kind == DONE:
            self._in_a_row.pop(which, None)
            self._succeeded.add(which)
        elif kind and kind.blames_device:
            self._in_a_row[which] += 1
        else:
            return []
        return self._newly_out()

    def gave_up(self, which: ElementStart) -> list[ElementStart]:
        """The same of an element that has ended itself, as all its videos failed with one error."""
        self._gave_up.add(which)
        return self._newly_out()

    def _newly_out(self) -> list[ElementStart]:
        bad = self._gave_up | {each for each, count in self._in_a_row.items() if count >= self._most}
        bad = {each for each in bad - self._out if self._succeeded - {each}}
        self._out |= bad
        return sorted(bad, key=lambda each: each.name)

    def is_everywhere(self, alive: Collection[int]) -> bool:
        """Whether nobody can be expected to do better than those that gave up."""
        gave_up = {which.share for which in self._gave_up}
        return bool(gave_up) and not self._succeeded and (len(gave_up) > 1 or not set(alive) - gave_up)

    def hold(self, which: ElementStart, held: Held) -> bool:
        """Keep a failure back, where it may be its node's; False where it is the video's own."""
        kind = BY_NAME.get(held.outcome.kind)
        if held.outcome.state != "failed" or (which in self._succeeded and not (kind and kind.blames_device)):
            return False
        self._held[which].append(held)
        return True

    def cleared(self, which: ElementStart, *, has_ended: bool) -> list[Held]:
        """The failures that are to be told of now: the element has done well since, or ended without too many."""
        is_well = which in self._succeeded and not self._in_a_row[which]
        is_cleared = is_well or (has_ended and which not in self._gave_up and self._in_a_row[which] < self._most)
        return self._held.pop(which, []) if is_cleared else []

    def forget(self, which: ElementStart) -> list[Held]:
        """The failures that do not count: others try these videos again."""
        return self._held.pop(which, [])

    def rest(self) -> list[Held]:
        """All that is still kept back; nobody is left to do better."""
        held = [each for all_of_one in self._held.values() for each in all_of_one]
        self._held.clear()
        return held
