"""The threads of simulated jobs: each job of an executor runs in a thread of its own, one at a time.

The loop's thread hands the baton to a job's thread and waits until it comes back: because the job is over, or because
it waits for the loop itself (`run_coroutine_threadsafe(...).result()`). Then the thread is parked; when what it waits
for is done, its going on is one more arrival. Invariant: at most one of the threads that share the baton runs.
"""

import concurrent.futures
import threading
from collections.abc import Callable
from typing import Any

from ferrio._ferrio import Baton, Simulation

_result = concurrent.futures.Future.result
_exception = concurrent.futures.Future.exception
_start = threading.Thread.start


class Abandoned(BaseException):
    """Raised in a parked job whose run is over."""


class _Worker:
    """A thread that runs jobs."""

    def __init__(self, crew: "Crew") -> None:
        self.crew = crew
        self.go = Baton()
        self.job: Any = None
        self.chain = 0
        self.abandoned = False
        self.thread = threading.Thread(target=self._work, name=f"simulated-job-{crew.made}", daemon=True)
        crew.made += 1
        _start(self.thread)
        crew.by_thread[self.thread.ident] = self

    def _work(self) -> None:
        swap, back, idle = self.go.swap, self.crew.back, self.crew.idle
        run = Simulation.run_job
        self.go.take()
        while (job := self.job) is not None:
            run(job)
            self.job = job = None
            idle.append(self)
            swap(back)

    def park(self, future: "concurrent.futures.Future[Any]") -> None:
        """Hands the baton back until `future` is done."""
        crew, chain = self.crew, self.chain
        crew.parked.add(self)
        future.add_done_callback(lambda _: crew.arrive(self, chain))
        self.go.swap(crew.back)
        crew.parked.discard(self)
        if self.abandoned:
            raise Abandoned


class Crew:
    """The threads of one simulation."""

    def __init__(self, arrive: Callable[[Any, int], None]) -> None:
        self.arrive = arrive
        self.back = Baton()
        self.made = 0
        self.idle: list[_Worker] = []
        self.parked: set[_Worker] = set()
        self.by_thread: dict[int | None, _Worker] = {}

    def run(self, job: Any, chain: int) -> None:
        """Lets a job, or a parked thread, run until it is over or parked."""
        if type(job) is _Worker:
            worker = job
            if worker not in self.parked:
                return
        else:
            worker = self.idle.pop() if self.idle else _Worker(self)
            worker.job = job
            worker.chain = chain
        self.back.swap(worker.go)

    def abandon(self) -> None:
        """Ends what is parked: its run is over."""
        while self.parked:
            worker = next(iter(self.parked))
            worker.abandoned = True
            self.back.swap(worker.go)
            worker.abandoned = False

    def close(self) -> None:
        """Ends the threads."""
        self.abandon()
        for worker in self.idle:
            worker.job = None
            worker.go.give()
        for worker in self.idle:
            worker.thread.join()
        self.idle.clear()
        self.by_thread.clear()

    def wait_for(self, future: "concurrent.futures.Future[Any]") -> None:
        """If a job's thread calls this for a future that is not done: parks the thread."""
        worker = self.by_thread.get(threading.get_ident())
        if worker is not None and worker.job is not None and not future.done():
            worker.park(future)

    def replacements(self) -> list[tuple[Any, str, Any]]:
        """Functions of the standard library that wait, for as long as the simulation lasts."""
        wait_for = self.wait_for

        def result(future: "concurrent.futures.Future[Any]", timeout: float | None = None) -> Any:
            wait_for(future)
            return _result(future, timeout)

        def exception(future: "concurrent.futures.Future[Any]", timeout: float | None = None) -> Any:
            wait_for(future)
            return _exception(future, timeout)

        owner = concurrent.futures.Future
        return [(owner, "result", result), (owner, "exception", exception)]
