"""Work shared out among a few threads: a crew, lines of jobs that keep their order, and reading ahead.

::

    crew.start(job) ─▶ Future              jobs that do not depend on each other, such as pictures to look at
    Line(crew).start(job) ─▶ Future        one after another in their order, such as what goes into one file
    read_ahead(crew, items) ─▶ items       the next ones are there before they are asked for

One thread, the caller's, hands out all jobs, asks for results in the order of the film, and so decides all; the crew
only computes. So what comes out does not depend on the number of threads. A line is bounded: who is ahead of it waits.
A crew of one has no threads: each job is done at once by who hands it out, and nothing is kept that would not be
kept without a crew. A job's error comes out, with its traceback, where its result is asked for, or where more is
handed to its line. After an error no job is begun any more, and leaving a ``with`` block waits for those that run.

ThreadPoolExecutor is below it: the first come is the first begun, so a job may wait for results of earlier ones.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from functools import partial
from threading import Condition
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    Job = tuple[Future[Any], Callable[[], Any]]

P = ParamSpec("P")
T = TypeVar("T")
_NONE_LEFT = object()


class Crew:
    """So many threads that do what they are handed; a crew of one is the caller's own.

    A context manager: when it has ended, none of its jobs runs.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.is_alone = threads == 1
        self._pool = None if self.is_alone else ThreadPoolExecutor(threads, thread_name_prefix="crew")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def start(self, do: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Hand out a job, that is begun after all that were handed out before; when the crew has ended, none is."""
        done: Future[T] = Future()
        if self._pool is None:
            done.set_result(do(*args, **kwargs))
            return done
        try:
            return self._pool.submit(do, *args, **kwargs)
        except RuntimeError:  # a job that has ended just now hands out the next one of its line
            done.cancel()
            return done


class Line:
    """Jobs of a crew that are begun in the order in which they are handed out, ``at_once`` of them at a time.

    Who hands out a job waits while ``most`` others have not begun. A context manager: it ends when all is done, or
    after an error as soon as what runs is done. What jobs work with is to be closed after that.
    """

    def __init__(self, crew: Crew, *, most: int, at_once: int = 1) -> None:
        self._crew, self._most, self._at_once = crew, most, at_once
        self._waiting: deque[Job] = deque()
        self._running = 0
        self._error: BaseException | None = None
        self._changed = Condition()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.finish()
        else:
            self.close()

    def start(self, do: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Hand out the next job. Raises the error of an earlier one, after which none is begun."""
        done = self.follow(do, *args, **kwargs)
        self._check()
        return done

    def follow(self, do: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Hand out the next job; the error of an earlier one is raised where its result is asked for."""
        if self._crew.is_alone:
            return self._crew.start(do, *args, **kwargs)
        done: Future[T] = Future()
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < self._most or self._error is not None)
            if self._error is not None:
                done.set_exception(self._error)
                return done
            self._waiting.append((done, partial(do, *args, **kwargs)))
        self._begin()
        return done

    def finish(self) -> None:
        """Wait until all is done. Raises the first error."""
        with self._changed:
            self._changed.wait_for(lambda: not self._running and not self._waiting)
            self._check()

    def close(self) -> None:
        """Forget what has not begun, and wait for what runs."""
        with self._changed:
            self._forget()
            self._changed.wait_for(lambda: not self._running)

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _forget(self) -> None:
        for done, _ in self._waiting:
            done.cancel()
        self._waiting.clear()

    def _begin(self) -> None:
        """Give the crew the next job, if one waits and not too many run."""
        with self._changed:
            if not self._waiting or self._running == self._at_once:
                return
            done, do = self._waiting.popleft()
            self._running += 1
            self._changed.notify_all()
        self._crew.start(do).add_done_callback(partial(self._end, done))

    def _end(self, done: Future[Any], job: Future[Any]) -> None:
        """In the thread that did a job, or in the one that ends the crew: tell how it went, begin the next."""
        error = CancelledError() if job.cancelled() else job.exception()
        if error is None:
            done.set_result(job.result())
        else:
            done.set_exception(error)
        with self._changed:
            self._running -= 1
            if error is not None:
                self._error = self._error or error
                self._forget()
            self._changed.notify_all()
        self._begin()


def read_ahead(crew: Crew, items: Iterable[T], *, most: int) -> Iterator[T]:
    """Give ``items``, of which the crew fetches up to ``most`` before they are asked for; alone it fetches none."""
    iterator = iter(items)
    if crew.is_alone:
        yield from iterator
        return
    with Line(crew, most=most) as line:
        coming = deque(line.follow(next, iterator, _NONE_LEFT) for _ in range(most))
        while (item := coming.popleft().result()) is not _NONE_LEFT:
            coming.append(line.follow(next, iterator, _NONE_LEFT))
            yield item  # type: ignore[misc]
