"""The driver: hands the videos in, follows the elements, and hands in again what dead ones have left."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from vidfleet.data import Outcome
from vidfleet.runner.claims import STALE_S
from vidfleet.runner.events import AttemptEnded, LaneJoined, LaneOut, Notice, VideoEnded
from vidfleet.runner.failures import INTERRUPTED
from vidfleet.runner.slurm import ending
from vidfleet.runner.slurm.bell import Bell
from vidfleet.runner.slurm.follow import is_final
from vidfleet.runner.slurm.orders import read_share, run_folder
from vidfleet.runner.slurm.shares import cut, how_many
from vidfleet.runner.slurm.site import SlurmError
from vidfleet.runner.slurm.suspects import Held, Suspects
from vidfleet.runner.slurm.words import UNFIT, why
from vidfleet.runner.text import one_line, plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from vidfleet.data import Lane, Task
    from vidfleet.runner.events import Event
    from vidfleet.runner.ledger import Heard
    from vidfleet.runner.order.forecast import Forecast
    from vidfleet.runner.slurm.follow import Follower
    from vidfleet.runner.slurm.jobs import Death, Jobs
    from vidfleet.runner.slurm.orders import Orders
    from vidfleet.runner.slurm.place import ElementStart, Place
    from vidfleet.runner.stopping import Stop
    from vidfleet.settings import RunSettings

_LEAST_LOOK_S, _MOST_LOOK_S, _LOOKS_GROW = 2.0, 15.0, 1.2
"""Between two questions to Slurm's controller: soon after something has changed, seldom while nothing does."""
_BETWEEN_POLLS_S = 0.5
_POLL_SHARE = 20.0
"""Reading the elements' ledgers takes no more than a twentieth of the time."""
_FRUITLESS_ROUNDS = 3
_AGAIN_S = 60.0
"""Before sbatch is tried again: the controller may be busy, or as much handed in as a user may have."""
_CTRL_C = int(signal.SIGINT)
_LATE_S = 20.0
"""So long a video may be known as done without the ledger that tells by whom."""
_WAIT_TOLD_S = 30.0
_END_S = 60.0
"""How long elements may take to end, beside ``--grace``; sites let a process have 30 s after SIGTERM."""


class Drive:
    """One run's elements and outcomes, as its driver sees them."""

    def __init__(
        self, tasks: Sequence[Task], today: dict[str, Task], *, place: Place, orders: Orders, jobs: Jobs,
        follower: Follower, settings: RunSettings, forecast: Forecast, tell: Callable[[Event, Heard | None], None],
        tick: Callable[[float], None], stop: Stop, most_elements: int,
    ) -> None:  # fmt: skip
        """``tasks`` are all of the run; ``today`` those that still have to run, with their stages."""
        self._open = {task.video.relative: task for task in tasks}
        """What has no outcome yet."""
        self._today = today
        self._place, self._orders, self._jobs, self._follower = place, orders, jobs, follower
        self._settings, self._forecast = settings, forecast
        self._tell, self._tick, self._stop = tell, tick, stop
        self._most_elements = most_elements
        self.outcomes: dict[str, Outcome] = {}
        self.notices: list[str] = []
        self._nodes_said: set[str] = set()
        self.lanes: dict[int, Lane] = {}
        """All that there were, by index."""
        self.stopped_by: Literal["", "interrupt", "setup", "disk_full"] = ""
        self.handed_in = ""
        """What was submitted last, in words."""
        self.has_let_go = False
        """We leave, and the elements go on."""
        self._late: dict[str, tuple[float, Outcome, Heard]] = {}
        """Done, an element says, but by whom we have not read yet."""
        self._suspects = Suspects(settings.quarantine)
        self._ended: set[ElementStart] = set()
        self._left_out: set[int] = set()
        """Shares of elements whose nodes get no more videos."""
        self._again: list[str] = []
        """What has failed on nodes that were left out since."""
        self._claimed: dict[str, Outcome] = {}
        """What elements have found in others' hands, who may be dead."""
        self._bell = Bell()
        self._next_look = 0.0
        self._look_s = _LEAST_LOOK_S
        self._settled_at_hand_in, self._fruitless_rounds = 0, 0
        self._waits_since, self._wait_told = time.monotonic(), ""
        self._ends_by = 0.0
        self._stops_heeded = 0
        self._trouble = ""
        self._hand_in_at = 0.0
        """Not before that, by the monotonic clock."""
        self._fallen: list[Death] = []
        """Elements that have died, and for which none was handed in yet."""
        self._has_seen_alive = False
        """Elements at work, or waiting: with an earlier driver's it may be long ago that they were ended."""
        self._has_waited = False
        """For claims to become stale, since something was last done."""
        stop.arm(self._bell.ring)

    def has_outcome(self, outcome: Outcome) -> None:
        """Take in what an earlier driver has told of."""
        self.outcomes[outcome.video.relative] = outcome
        self._open.pop(outcome.video.relative, None)

    def hand_in(self) -> None:
        """Submit elements for all that is not settled. Raises SlurmError, with nothing submitted."""
        left = list(self._open.values())
        count = how_many(left, self._forecast, self._settings, self._most_elements)
        self._submit(cut(left, count, self._forecast.weight))

    def goes_on_alone(self) -> bool:
        """Whether elements are at work, for who leaves now; where all are gone, what they have left is handed in."""
        self.hear()
        self._look()
        return bool(self._jobs.alive)

    def run(self) -> None:
        """Follow until every video has an outcome, or somebody ends it."""
        while not self._is_over():
            began = time.monotonic()
            self.hear()
            took_s = time.monotonic() - began
            if time.monotonic() >= self._next_look:
                self._look()
            self._heed_stop()
            if self._stop.pause:  # Ctrl-Z: who follows stands still, and nobody else
                self._stop.pause = False
                os.kill(os.getpid(), signal.SIGSTOP)
            if self.has_let_go:
                return
            self._tick(time.time())
            if not self._open:
                break
            self._bell.wait(max(_BETWEEN_POLLS_S, min(took_s * _POLL_SHARE, _MOST_LOOK_S)))
        self.hear()
        self._tell_held(self._suspects.rest())
        self._settle_late(0.0)
        for task in list(self._open.values()):
            self._leave(task)

    def close(self) -> None:
        """Nobody wakes us any more."""
        self._stop.arm(lambda: None)
        self._bell.close()

    def _is_over(self) -> bool:
        if self.stopped_by:
            return not self._jobs.alive or time.monotonic() > self._ends_by
        return not self._open

    # ---- what elements tell

    def hear(self) -> None:
        """Take in what is new in the elements' ledgers."""
        for which, event, heard in self._follower.poll():
            self._take(which, event, heard)
        self._settle_late(_LATE_S)

    def _take(self, which: ElementStart, event: Event, heard: Heard) -> None:
        match event:
            case VideoEnded(task, outcome):
                if not self._suspects.hold(which, Held(task, outcome, heard)):
                    self._take_outcome(task, outcome, heard)
            case Notice(text):
                if text not in self._nodes_said:  # each says the same of itself
                    self._nodes_said.add(text)
                    event = Notice(f"{self._node_of(which)}: {text}")
                    self.notices.append(event.text)
                    self._tell(event, heard)
            case AttemptEnded(_, attempt):
                if attempt.kind == INTERRUPTED:
                    self._heed_file()
                goes_on = attempt.kind == INTERRUPTED and not self.stopped_by
                self._tell(replace(event, will_retry=True) if goes_on else event, heard)
                for bad in self._suspects.attempt(which, attempt):
                    self._leave_out(bad)
                self._tell_held(self._suspects.cleared(which, has_ended=False))
            case LaneOut(_, reason) if reason:
                self._tell(event, heard)
                self._heed_end(which, self._follower.ended(which) or "")
            case _:
                if isinstance(event, LaneJoined):
                    self.lanes[event.lane.index] = event.lane
                self._tell(event, heard)

    def _take_outcome(self, task: Task, outcome: Outcome, heard: Heard) -> None:
        name = task.video.relative
        if name not in self._open:
            return
        if outcome.state == "up_to_date":
            self._late.setdefault(name, (time.monotonic(), outcome, heard))
        elif outcome.kind == "claimed":
            self._claimed[name] = outcome
        elif is_final(outcome):
            self._settle(task, outcome, heard)

    def _tell_held(self, failures: Iterable[Held]) -> None:
        for held in failures:
            self._take_outcome(held.task, held.outcome, held.heard)

    def _leave_out(self, which: ElementStart) -> None:
        """Give a node's videos to others, those too that have failed on it."""
        node = self._node_of(which)
        self._left_out.add(which.share)
        self._say(f"{node} fails while others succeed: it gets no more videos in this run")
        self._jobs.excluded.add(node)
        for held in self._suspects.forget(which):
            name = held.task.video.relative
            self._again.append(name)
            with contextlib.suppress(OSError, KeyError):  # else the others would leave it alone as failed
                self._today[name].stage.error.unlink(missing_ok=True)
        with contextlib.suppress(SlurmError):
            self._jobs.end(which.share)
        self._next_look, self._look_s = 0.0, _LEAST_LOOK_S

    def _settle(self, task: Task, outcome: Outcome, heard: Heard | None = None) -> None:
        self._late.pop(task.video.relative, None)
        self._open.pop(task.video.relative, None)
        self.outcomes[task.video.relative] = outcome
        self._tell(VideoEnded(task, outcome), heard)

    def _settle_late(self, after_s: float) -> None:
        """What an element has found done, and no other tells of: an outsider's runner has done it."""
        for name, (since, outcome, heard) in list(self._late.items()):
            if time.monotonic() - since >= after_s:
                self._settle(self._open[name], outcome, replace(heard, element="", line=0))

    def _heed_end(self, which: ElementStart, stopped_by: str) -> None:
        """An element has ended in order. What no other video could do better at ends all others, too."""
        if which in self._ended:
            return
        self._ended.add(which)
        if stopped_by != "setup":
            self._tell_held(self._suspects.cleared(which, has_ended=True))
        self._next_look, self._look_s = 0.0, _LEAST_LOOK_S
        self._heed_file()
        if stopped_by == "interrupt" and not self.stopped_by:
            self._say(f"element {which.share} was told to leave {self._node_of(which)}", keep=False)
        if stopped_by == "setup":
            for bad in self._suspects.gave_up(which):
                self._leave_out(bad)
            if self._suspects.is_everywhere(self._jobs.alive):
                self._stop_for("setup")
        if stopped_by == "disk_full":
            self._stop_for("disk_full")

    def _stop_for(self, what: Literal["setup", "disk_full"]) -> None:
        if not self.stopped_by:
            self.stopped_by = what
            self._end(drain=False)

    def _node_of(self, which: ElementStart) -> str:
        return next((lane.device.host for lane in self._follower.lanes(which)), "its node")

    # ---- what Slurm tells

    def _look(self) -> None:
        self._heed_file()
        try:
            deaths = self._jobs.look()
            self._trouble = ""
        except SlurmError as error:  # a controller that is started anew: elements go on without it
            deaths = []
            if self._trouble != str(error):
                self._trouble = str(error)
                self._say(f"{one_line(self._trouble)}; it is asked again")
        grow = _MOST_LOOK_S if self._trouble else _LOOKS_GROW  # it has kept us waiting for 10 s
        self._look_s = _LEAST_LOOK_S if deaths else min(self._look_s * grow, _MOST_LOOK_S)
        if deaths:
            self.hear()  # what they said last
            self._mourn(deaths)
        self._next_look = time.monotonic() + self._look_s
        if not self._jobs.alive and not self._trouble:
            self._tell_held(self._suspects.rest())
            self._settle_late(0.0)
            if self._open and not self.stopped_by and time.monotonic() >= self._hand_in_at:
                self._end_or_hand_in_again()
        self._has_seen_alive = self._has_seen_alive or bool(self._jobs.alive)
        self._tell_of_waiting()

    def _end_or_hand_in_again(self) -> None:
        """Nothing is at work. Who has cancelled the last of it, by scancel, does not want to see it come again."""
        fallen, self._fallen = self._fallen, []
        ours = {death.share for death in fallen} & self._left_out
        if fallen and self._has_seen_alive and not ours and all(death.was_cancelled for death in fallen):
            self._say("all elements that were left have been cancelled (scancel): nothing is handed in again")
            self.stopped_by = "interrupt"
            return
        self._hand_in_again([death.share for death in fallen])

    def _mourn(self, deaths: Iterable[Death]) -> None:
        """Say why elements are gone, and hand in again what they have left."""
        starts = {start.share: start for start in self._place.starts()}  # the last of each
        for death in deaths:
            last = starts.get(death.share)
            if last and self._follower.ended(last) == "" and death.share not in self._suspects.shares:
                continue  # in order
            if death.share not in self._suspects.shares or death.share in self._left_out:
                self._fallen.append(death)
            if last and self._follower.ended(last) is None:
                self._follower.have_left(self._follower.lanes(last))
                for lane in self._follower.lanes(last):
                    self._tell(LaneOut(lane, "its element is gone"), None)
            if death.state and death.state.exit_status in UNFIT and death.state.node:
                self._jobs.excluded.add(death.state.node)
            if not self.stopped_by and death.share not in self._suspects.shares:
                self._say(f"element {death.share} is gone: {why(death, self._place)}")
        if self._fallen and self._jobs.goes_on and not self.stopped_by:
            fallen, self._fallen = self._fallen, []
            self._hand_in_again([death.share for death in fallen])

    def _hand_in_again(self, lost: list[int]) -> None:
        """What dead elements have left; all that is left, where no other is at work."""
        if not self._is_worth_another_try():
            return
        names = list(self._open)
        if self._jobs.alive:
            shares = [read_share(self._place, share, self._orders) for share in lost]
            wanted = dict.fromkeys([*self._again, *(task.video.relative for tasks in shares for task in tasks)])
            names = [name for name in wanted if name in self._open]
        left = [self._today[name] for name in names if name in self._today]
        if not left:
            self._settle_done_before()
            return
        count = how_many(left, self._forecast, self._settings, self._most_elements)
        count = min(count, len(lost)) if self._jobs.alive else count
        try:
            self._submit(cut(left, count, self._forecast.weight), instead_of=lost)
        except SlurmError as error:
            self._say(f"{error}; it is tried again")
            self._hand_in_at = time.monotonic() + _AGAIN_S

    def _is_worth_another_try(self) -> bool:
        """Whether something has come of the last one; else it is tried a few times more.

        Claims of a node that was lost hold until nobody can be expected to renew them.
        """
        settled = len(self.outcomes)
        if settled > self._settled_at_hand_in:
            self._settled_at_hand_in, self._fruitless_rounds, self._has_waited = settled, 0, False
        else:
            self._fruitless_rounds += 1
        is_held = any(name in self._claimed for name in self._open)
        if self._fruitless_rounds and is_held and not self._jobs.alive and not self._has_waited:
            self._hand_in_at, self._has_waited = time.monotonic() + STALE_S, True
            self._say(f"what is left is claimed by others: it is tried again in {STALE_S:g} s", keep=False)
            return False
        if self._fruitless_rounds <= _FRUITLESS_ROUNDS:
            return True
        if not self._jobs.alive:
            self._give_up()
        return False

    def _give_up(self) -> None:
        """Nothing comes of it."""
        for name, outcome in self._claimed.items():
            if name in self._open:
                self._settle(self._open[name], outcome)
        if self._open:
            self._say(f"elements were handed in {_FRUITLESS_ROUNDS} times more, and nothing came of it")
            self.stopped_by = "setup"

    def _settle_done_before(self) -> None:
        """Nobody is at work, and today's look at what was left has found it done."""
        if not self._jobs.alive:
            for task in list(self._open.values()):
                self._settle(task, Outcome(task.video, "up_to_date", probe=task.probe))

    def _submit(self, shares: Sequence[Sequence[Task]], *, instead_of: Sequence[int] = ()) -> None:
        job = self._jobs.submit(shares, instead_of=instead_of)
        self._has_seen_alive = True
        self._next_look, self._look_s = 0.0, _LEAST_LOOK_S
        videos = sum(map(len, shares))
        self.handed_in = f"Slurm job {job}: {plural(len(shares), 'element')} for {plural(videos, 'video')}"
        self._say(self.handed_in, keep=False)

    def _tell_of_waiting(self) -> None:
        waiting = self._jobs.waiting()
        if not waiting:
            self._waits_since, self._wait_told = time.monotonic(), ""
        elif waiting != self._wait_told and time.monotonic() - self._waits_since > _WAIT_TOLD_S:
            self._wait_told = waiting
            self._say(f"all elements wait in Slurm's queue: {waiting}", keep=False)

    def _say(self, text: str, *, keep: bool = True) -> None:
        if keep:
            self.notices.append(text)
        self._tell(Notice(text), None)

    # ---- ending early

    def _heed_file(self) -> None:
        """`vidfleet stop`, on whatever host; it may be given once more, without --drain."""
        if not self._open or not self._place.stop.exists():
            return
        if self._place.drain.exists():
            self._ends_by = float("inf")
        elif not self.stopped_by or self._ends_by == float("inf"):
            self._ends_by = time.monotonic() + self._settings.grace + _END_S
        self.stopped_by = self.stopped_by or "interrupt"

    def _heed_stop(self) -> None:
        """Ctrl-C ends the elements; a driver that is terminated, or whose terminal is gone, leaves them at work."""
        asked = self._stop.times + self._stop.drain
        if asked <= self._stops_heeded:
            return
        self._stops_heeded = asked
        if self._stop.signal != _CTRL_C and not self._stop.drain and not self._place.stop.exists():
            self.has_let_go = True
            return
        self.stopped_by = self.stopped_by or "interrupt"
        if self._stop.times > 1:
            self._end_now()
            return
        self._say("ending: elements get their grace to end; once more ends them at once", keep=False)
        self._end(drain=self._stop.drain or self._settings.on_interrupt == "drain")

    def _end(self, *, drain: bool) -> None:
        self._ends_by = float("inf") if drain else time.monotonic() + self._settings.grace + _END_S
        self._next_look, self._look_s = 0.0, _LEAST_LOOK_S
        try:
            ending.ask_to_end(self._place, drain=drain)
        except SlurmError as error:
            self._say(str(error))

    def _end_now(self) -> None:
        self._ends_by = time.monotonic() + _END_S
        self._next_look = 0.0
        try:
            ending.end_at_once(self._place)
        except SlurmError as error:
            self._say(str(error))

    def _leave(self, task: Task) -> None:
        """It has no outcome, and gets none any more."""
        attempts = self._follower.attempts(task.video.relative)
        state: Literal["interrupted", "not_started"] = "not_started"
        reason = "the run ended before its turn"
        if attempts:
            state, reason = "interrupted", "the run ended before it was done"
        log = run_folder(self._place).log_name(task.video) if attempts else ""
        self._settle(task, Outcome(task.video, state, "", reason, attempts, task.probe, log))
