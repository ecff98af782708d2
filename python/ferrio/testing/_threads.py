"""The threads of simulated jobs: each job of an executor runs in a thread of its own, one at a time.

The loop's thread hands the baton to a job's thread and waits until it comes back: because the job is over, or because
it waits for the loop itself (`run_coroutine_threadsafe(...).result()`) or for another thread (a condition or an event
of `threading`, a queue). Then the thread is parked; when what it waits for is done, its going on is one more arrival.
Invariant: at most one of the threads that share the baton runs.

A job that sleeps goes on at once, and owes the time: it is parked for that long before its outcome is on its way, or
before it calls the loop or waits. So no job is parked in the middle of a `with lock:`, where others could not go on.
"""

import asyncio
import concurrent.futures
import contextlib
import functools
import os
import threading
from collections.abc import Callable
from typing import Any

from ferrio._ferrio import Baton, LentThread, Simulation
from ferrio.testing._lent import LentWorker

_result = concurrent.futures.Future.result
_exception = concurrent.futures.Future.exception
_start = threading.Thread.start
_wait = threading.Condition.wait


class Abandoned(BaseException):
    """Raised in a parked job whose run is over."""


class _Worker:
    """A thread that runs jobs."""

    def __init__(self, crew: "Crew") -> None:
        self.crew = crew
        self.go = Baton()
        self.job: Any = None
        self.key: Any = None
        self.chain = 0
        self.abandoned = False
        #: For how many seconds it has slept without being parked.
        self.debt = 0.0
        self.thread = threading.Thread(target=self._work, name=f"simulated-job-{crew.made}", daemon=True)
        crew.made += 1
        _start(self.thread)
        crew.by_thread[self.thread.ident] = self

    def _work(self) -> None:
        swap, back, idle = self.go.swap, self.crew.back, self.crew.idle
        run = Simulation.run_job
        self.go.take()
        while (job := self.job) is not None:
            run(job, self.pay)
            self.job = job = None
            idle.append(self)
            swap(back)

    def refuse(self) -> None:
        """The job does what the loop's thread must not do for it."""
        self.crew.keep_threads_for(self.key)

    def park(self, future: "concurrent.futures.Future[Any]") -> None:
        """Hands the baton back until `future` is done."""
        crew, chain = self.crew, self.chain
        future.add_done_callback(lambda _: crew.simulation.arrive(self, chain))
        self.stop()

    def pay(self) -> None:
        """Hands the baton back for as long as the job has slept."""
        if self.debt:
            seconds, self.debt = self.debt, 0.0
            simulation = self.crew.simulation
            simulation.send(_Sleep(self), self.chain, simulation.now + seconds, 0.0)
            self.stop()

    def stop(self) -> None:
        """Hands the baton back, until this thread is run again."""
        crew = self.crew
        crew.keep_threads_for(self.key)
        crew.parked.add(self)
        self.go.swap(crew.back)
        crew.parked.discard(self)
        if self.abandoned:
            raise Abandoned


class _Sleep:
    """The end of what a job has slept."""

    label = "the end of a job's sleep"

    def __init__(self, worker: _Worker) -> None:
        self.worker = worker

    def land(self) -> None:
        self.worker.crew.run(self.worker, self.worker.chain)


class _Waiter:
    """What a condition releases to notify a job that waits for it, in the place of a lock."""

    label = "the timeout of a job that waits"

    def __init__(self, worker: _Worker) -> None:
        self.worker = worker
        self.is_notified = False
        self.is_over = False

    def release(self) -> None:
        if self.is_over:
            raise RuntimeError("release unlocked lock")
        self.is_over = self.is_notified = True
        self.worker.crew.simulation.arrive(self.worker, self.worker.chain)

    def land(self) -> None:
        """The timeout has passed."""
        if not self.is_over:
            self.is_over = True
            self.worker.crew.run(self.worker, self.worker.chain)


class Crew:
    """The threads of one simulation."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.back = Baton()
        self.made = 0
        self.idle: list[_Worker] = []
        self.parked: set[_Worker] = set()
        self.by_thread: dict[int | None, _Worker | LentWorker] = {}
        #: Whether the loop's thread may run jobs.
        self.lends = False
        self.lent: LentWorker | None = None
        #: By identity: code that has run in a thread without waiting, and code that has to run in one.
        self.harmless: dict[int, Any] = {}
        self.threaded: dict[int, Any] = {}
        #: The run does not count.
        self.is_void = False

    def run(self, job: Any, chain: int) -> None:
        """Lets a job, or a parked thread, run until it is over or parked."""
        if type(job) is _Worker:
            worker = job
            if worker not in self.parked:
                return
            self.back.swap(worker.go)
            return
        key = LentThread.code_of(job)
        if self.lends and id(key) in self.harmless:
            if self.lent is None:
                self.lent = LentWorker(self)
            self.lent.run(job, key)
            return
        worker = self.idle.pop() if self.idle else _Worker(self)
        worker.job = job
        worker.chain = chain
        worker.key = key
        worker.debt = 0.0
        self.back.swap(worker.go)
        if key is not None and id(key) not in self.threaded:
            self.harmless[id(key)] = key

    def keep_threads_for(self, key: Any) -> None:
        """From now on jobs with this code run in threads."""
        self.harmless.pop(id(key), None)
        self.threaded[id(key)] = key

    def lend(self) -> None:
        """Lets the loop's thread run jobs from now on, where that makes no difference to Python code."""
        is_traced = threading.gettrace() is not None or threading.getprofile() is not None
        self.lends = LentThread.SUPPORTED and not is_traced

    def check_run(self) -> None:
        """Ends a run that does not count."""
        if self.is_void:
            raise Abandoned

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
        if self.lent is not None:
            self.lent.close()
            self.lent = None
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
            worker.refuse()
            if isinstance(worker, _Worker):
                worker.pay()
                if not future.done():
                    worker.park(future)

    def read(self) -> float:
        """What the clock shows to the calling thread."""
        worker = self.by_thread.get(threading.get_ident())
        return self.simulation.read() + (worker.debt if worker is not None else 0.0)

    def sleep(self, seconds: float) -> None:
        """`time.sleep`: in the loop's thread nothing else happens meanwhile, in a job's all else."""
        worker = self.by_thread.get(threading.get_ident())
        if worker is None or worker.job is None:
            self.simulation.advance(seconds)
        elif seconds:
            worker.refuse()
            worker.debt += seconds
            self.simulation.owes = True

    def pay(self) -> None:
        """The calling thread is about to call the loop: by then what its job has slept has passed."""
        worker = self.by_thread.get(threading.get_ident())
        if isinstance(worker, _Worker):
            worker.pay()

    def before_own_loop(self) -> None:
        """If a job's thread calls this: a loop of its own needs a thread, and so does a fork."""
        worker = self.by_thread.get(threading.get_ident())
        if worker is not None and worker.job is not None:
            worker.refuse()

    def wait_on(self, condition: Any, worker: _Worker, timeout: float | None) -> bool:
        """`Condition.wait` in a job's thread: the others go on until it is notified or the timeout passes."""
        if not condition._is_owned():
            raise RuntimeError("cannot wait on un-acquired lock")
        if timeout is not None and timeout <= 0:
            return False
        waiter = _Waiter(worker)
        condition._waiters.append(waiter)
        saved = condition._release_save()
        try:
            if timeout is not None:
                self.simulation.send(waiter, worker.chain, self.simulation.now + timeout, 0.0)
            worker.stop()
        finally:
            condition._acquire_restore(saved)
            if not waiter.is_notified:
                waiter.is_over = True
                with contextlib.suppress(ValueError):
                    condition._waiters.remove(waiter)
        return waiter.is_notified

    def replacements(self) -> list[tuple[Any, str, Any]]:
        """Functions of the standard library that wait, for as long as the simulation lasts."""
        wait_for = self.wait_for

        def result(future: "concurrent.futures.Future[Any]", timeout: float | None = None) -> Any:
            wait_for(future)
            return _result(future, timeout)

        def exception(future: "concurrent.futures.Future[Any]", timeout: float | None = None) -> Any:
            wait_for(future)
            return _exception(future, timeout)

        def wait(condition: threading.Condition, timeout: float | None = None) -> bool:
            worker = self.by_thread.get(threading.get_ident())
            if worker is None or worker.job is None:
                return _wait(condition, timeout)
            worker.refuse()
            assert isinstance(worker, _Worker)
            worker.pay()
            return self.wait_on(condition, worker, timeout)

        owner = concurrent.futures.Future
        return [
            (owner, "result", result),
            (owner, "exception", exception),
            (threading.Condition, "wait", wait),
            (threading, "get_ident", LentThread.get_ident),
            (asyncio.events, "new_event_loop", self._guarded(asyncio.events.new_event_loop)),
            (asyncio.Runner, "__init__", self._guarded(asyncio.Runner.__init__)),
            (os, "fork", self._guarded(os.fork)),
        ]

    def _guarded(self, real: Callable[..., Any]) -> Callable[..., Any]:
        check = self.before_own_loop

        @functools.wraps(real)
        def guarded(*arguments: Any, **keywords: Any) -> Any:
            check()
            return real(*arguments, **keywords)

        return guarded
