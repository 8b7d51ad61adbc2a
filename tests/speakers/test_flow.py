"""Jobs of a crew: in order, bounded, ended after an error; the same results however many threads there are."""

from __future__ import annotations

import threading
import time
import traceback
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import TYPE_CHECKING

import pytest

from vidfleet.speakers.flow import Crew, Line, read_ahead

if TYPE_CHECKING:
    from collections.abc import Iterator

THREADS = [1, 2, 4]
MANY = [2, 4]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Whatever happened to a crew, its threads have ended with it."""
    before = {*threading.enumerate()}
    yield
    assert {*threading.enumerate()} <= before


class OutOfSpaceError(Exception):
    """Stands for what a job may meet."""


def fail() -> None:
    raise OutOfSpaceError("no space left")


class Gate:
    """Jobs that wait until they may go on, and say how many have begun."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.open = threading.Event()
        self._soon = threading.Timer(0.05, self.open.set)

    def open_soon(self) -> None:
        """Let them go on when the caller has gone on himself."""
        self._soon.start()

    def job(self) -> None:
        self.begun.release()
        assert self.open.wait(20)
        if self._soon.is_alive():
            self._soon.join()


@pytest.mark.parametrize("threads", THREADS)
def test_a_job_gives_its_result_or_raises_its_error_where_it_is_asked_for(threads: int) -> None:
    with Crew(threads) as crew:
        assert [crew.start(pow, 2, n).result() for n in range(20)] == [2**n for n in range(20)]
        with pytest.raises(OutOfSpaceError) as caught:
            crew.start(fail).result()
    assert "raise OutOfSpaceError" in "".join(traceback.format_exception(caught.value))


def test_a_crew_of_one_has_no_threads_and_does_each_job_at_once() -> None:
    done: list[int] = []
    with Crew(1) as crew, Line(crew, most=1) as line:
        for number in range(5):
            line.start(done.append, number)
            assert done == [*range(number + 1)]
        assert list(read_ahead(crew, iter("abc"), most=9)) == ["a", "b", "c"]
        assert threading.active_count() == 1 or not any("crew" in one.name for one in threading.enumerate())


def test_a_crew_of_one_asks_for_nothing_ahead() -> None:
    asked: list[int] = []

    def items() -> Iterator[int]:
        for number in range(9):
            asked.append(number)
            yield number

    with Crew(1) as crew:
        coming = read_ahead(crew, items(), most=4)
        assert (next(coming), asked) == (0, [0])


def test_as_many_jobs_run_at_once_as_there_are_threads() -> None:
    gate = Gate()
    with Crew(3) as crew:
        jobs = [crew.start(gate.job) for _ in range(5)]
        for _ in range(3):
            assert gate.begun.acquire(timeout=20)
        assert not gate.begun.acquire(timeout=0.05)
        gate.open.set()
        for job in jobs:
            job.result()


@pytest.mark.parametrize("threads", THREADS)
def test_a_line_keeps_its_order_and_does_one_job_at_a_time(threads: int) -> None:
    done: list[int] = []
    busy = threading.Lock()

    def job(number: int) -> int:
        assert busy.acquire(blocking=False)
        time.sleep(0.001 * (number % 3))
        done.append(number)
        busy.release()
        return -number

    with Crew(threads) as crew:
        with Line(crew, most=3) as line:
            results = [line.start(job, number) for number in range(40)]
        assert done == [*range(40)]  # all is done when the line has ended
        assert [result.result() for result in results] == [-number for number in range(40)]


@pytest.mark.parametrize("threads", MANY)
def test_lines_go_on_beside_each_other(threads: int) -> None:
    gate = Gate()
    with Crew(threads) as crew, Line(crew, most=2) as slow, Line(crew, most=2) as fast:
        slow.start(gate.job)
        assert gate.begun.acquire(timeout=20)
        assert [fast.start(abs, -number).result(20) for number in range(9)] == [*range(9)]
        gate.open.set()


def test_who_is_ahead_of_a_line_waits() -> None:
    gate, handed = Gate(), threading.Semaphore(0)
    with Crew(2) as crew, Line(crew, most=2) as line:

        def hand_out() -> None:
            for _ in range(5):
                line.start(gate.job)
                handed.release()

        other = threading.Thread(target=hand_out)
        other.start()
        for _ in range(3):  # one runs, two wait
            assert handed.acquire(timeout=20)
        assert not handed.acquire(timeout=0.1)
        gate.open.set()
        other.join()


def test_a_line_may_do_some_jobs_at_once() -> None:
    gate = Gate()
    with Crew(4) as crew, Line(crew, most=9, at_once=2) as line:
        for _ in range(5):
            line.start(gate.job)
        for _ in range(2):
            assert gate.begun.acquire(timeout=20)
        assert not gate.begun.acquire(timeout=0.05)
        gate.open.set()


@pytest.mark.parametrize("threads", THREADS)
def test_after_an_error_a_line_begins_nothing_and_raises_that_error(threads: int) -> None:
    done: list[int] = []

    def hand_out(crew: Crew) -> None:
        with Line(crew, most=2) as line:
            for number in range(100):
                line.start(fail if number == 7 else partial(done.append, number))

    with Crew(threads) as crew:
        with pytest.raises(OutOfSpaceError) as caught:
            hand_out(crew)
        assert done == [*range(7)]
    assert "fail" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]


@pytest.mark.parametrize("threads", THREADS)
def test_an_error_of_the_last_job_is_raised_when_the_line_ends(threads: int) -> None:
    with Crew(threads) as crew, pytest.raises(OutOfSpaceError), Line(crew, most=2) as line:
        line.start(fail)


@pytest.mark.parametrize("threads", MANY)
def test_the_first_error_wins(threads: int) -> None:
    gate = Gate()

    def late() -> None:
        gate.job()
        fail()

    def hand_out(crew: Crew) -> None:
        with Line(crew, most=2) as line:
            line.start(late)
            assert gate.begun.acquire(timeout=20)
            gate.open.set()
            raise ZeroDivisionError

    with Crew(threads) as crew, pytest.raises(ZeroDivisionError):
        hand_out(crew)


@pytest.mark.parametrize("threads", MANY)
def test_after_an_error_outside_what_waits_is_forgotten_and_what_runs_is_waited_for(threads: int) -> None:
    gate, done = Gate(), list[str]()
    waiting: list[Future[None]] = []

    def first() -> None:
        gate.job()
        done.append("first")

    def hand_out(crew: Crew) -> None:
        with Line(crew, most=2) as line:
            line.start(first)
            waiting.append(line.start(done.append, "second"))
            assert gate.begun.acquire(timeout=20)
            gate.open_soon()
            raise KeyboardInterrupt

    with Crew(threads) as crew:
        with pytest.raises(KeyboardInterrupt):
            hand_out(crew)
        assert done == ["first"]
        with pytest.raises(CancelledError):
            waiting[0].result(20)


@pytest.mark.parametrize("threads", MANY)
def test_a_crew_that_ends_after_an_error_drops_all_that_waits(threads: int) -> None:
    gate, done = Gate(), list[int]()
    crew = Crew(threads)
    line, other = Line(crew, most=50), Line(crew, most=50)
    rest: list[Future[None]] = []

    def hand_out() -> None:
        with crew:
            for _ in range(threads):
                crew.start(gate.job)
                assert gate.begun.acquire(timeout=20)
            for number in range(5):
                line.start(done.append, number)
                other.start(done.append, number)
                rest.append(crew.start(done.append, number))
            gate.open_soon()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hand_out()
    assert done == []
    assert all(job.cancelled() for job in rest)
    line.close()
    other.close()
    assert crew.start(done.append, 1).cancelled()


@pytest.mark.parametrize("threads", THREADS)
def test_reading_ahead_gives_all_items_in_order(threads: int) -> None:
    with Crew(threads) as crew:
        assert list(read_ahead(crew, range(100), most=3)) == [*range(100)]
        assert list(read_ahead(crew, [], most=3)) == []


@pytest.mark.parametrize("threads", MANY)
def test_reading_ahead_is_bounded(threads: int) -> None:
    asked: list[int] = []

    def items() -> Iterator[int]:
        for number in range(50):
            asked.append(number)
            yield number

    with Crew(threads) as crew:
        for number in read_ahead(crew, items(), most=3):
            time.sleep(0.002)
            assert len(asked) <= number + 1 + 3


@pytest.mark.parametrize("threads", THREADS)
def test_an_error_of_the_reader_comes_after_what_was_read_before_it(threads: int) -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        fail()

    got: list[int] = []
    with Crew(threads) as crew, pytest.raises(OutOfSpaceError):
        got.extend(read_ahead(crew, items(), most=3))
    assert got == [*range(5)]


@pytest.mark.parametrize("threads", THREADS)
def test_who_stops_reading_leaves_a_crew_that_works_on_and_a_reader_at_rest(threads: int) -> None:
    closed: list[bool] = []

    def items() -> Iterator[int]:
        try:
            yield from range(50)
        finally:
            closed.append(True)

    with Crew(threads) as crew:
        coming = read_ahead(crew, items(), most=3)
        assert next(coming) == 0
        coming.close()  # type: ignore[attr-defined]
        assert closed == [True]
        assert crew.start(abs, -3).result(20) == 3


def test_jobs_of_a_crew_may_wait_for_those_begun_before_them() -> None:
    def one_more(before: Future[int]) -> int:
        return before.result() + 1

    with Crew(2) as crew:
        jobs = [crew.start(int)]
        for _ in range(50):
            jobs.append(crew.start(one_more, jobs[-1]))
        assert jobs[-1].result(20) == 50
