"""Jobs that the loop's thread runs in an exploration see a thread of their own, as jobs in real threads do."""

import asyncio
import contextvars
import sqlite3
import sys
import threading
import time

import pytest

from ferrio import testing
from ferrio._ferrio import LentThread

needs_lending = pytest.mark.skipif(sys.version_info < (3, 12), reason="3.11 has no second thread states")


def passes(main, schedules=60):
    report = testing.explore(main, schedules=schedules, rerun=True)
    assert report.failure is None, str(report)
    assert report.schedules == schedules


def test_a_job_has_an_identity_and_locals_of_its_own():
    local = threading.local()
    local.name = "loop"
    loop_thread = threading.get_ident()
    seen = set()

    def job():
        assert not hasattr(local, "name") or local.name == "job"
        local.name = "job"
        assert threading.get_ident() != loop_thread
        assert threading.current_thread().ident == threading.get_ident()
        assert threading.current_thread() is not threading.main_thread()
        assert threading.current_thread() in threading.enumerate()
        assert asyncio._get_running_loop() is None
        seen.add(threading.current_thread().name)

    async def main():
        await asyncio.get_running_loop().run_in_executor(None, job)
        await asyncio.to_thread(job)
        assert local.name == "loop"
        assert threading.get_ident() == loop_thread

    passes(main)
    assert all(name.startswith("simulated-job-") for name in seen)


def test_get_ident_is_put_back():
    before = threading.get_ident

    async def main():
        await asyncio.to_thread(lambda: threading.get_ident())

    passes(main)
    assert threading.get_ident is before
    assert not any(thread.name.startswith("simulated-job-") for thread in threading.enumerate())


def test_a_job_has_a_context_of_its_own_unless_it_is_given_one():
    variable = contextvars.ContextVar("variable", default="none")

    async def main():
        variable.set("main")
        assert await asyncio.get_running_loop().run_in_executor(None, lambda: variable.get()) == "none"
        assert await asyncio.to_thread(lambda: variable.get()) == "main"

    passes(main)


def test_a_job_reads_virtual_time_and_raises_into_its_task():
    async def main():
        began = time.monotonic()
        await asyncio.to_thread(lambda: time.sleep(5))
        assert 5 <= time.monotonic() - began < 6
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // len(""))

    passes(main)


@needs_lending
def test_code_that_never_waited_runs_in_the_loops_thread():
    places = []

    def job():
        places.append(LentThread.get_ident() in {thread.ident for thread in threading.enumerate()})
        idents.append(get_system_ident())

    idents = []
    get_system_ident = threading.get_ident

    async def main():
        await asyncio.to_thread(job)

    passes(main)
    assert all(places)
    assert idents[0] != get_system_ident()
    assert idents[-1] == get_system_ident()


def test_a_job_that_waits_after_all_is_run_again_in_a_thread():
    async def main():
        first = not started
        started.append(1)
        event = threading.Event()
        if first:
            event.set()

        def job():
            # In the first run the event is set, so that this code is taken for harmless.
            return event.wait()

        waiting = asyncio.create_task(asyncio.to_thread(job))
        await asyncio.sleep(1)
        assert waiting.done() == first
        event.set()
        assert await waiting is True
        ended.append(1)

    started, ended = [], []
    passes(main, 20)
    assert len(ended) == 20
    if LentThread.SUPPORTED:
        assert len(started) == 21


def test_a_job_that_swallows_the_refusal_is_run_again_all_the_same():
    async def main():
        event = threading.Event()
        if not runs:
            event.set()
        runs.append(1)

        def job():
            try:
                return event.wait()
            except BaseException:
                return "swallowed"

        waiting = asyncio.create_task(asyncio.to_thread(job))
        await asyncio.sleep(1)
        event.set()
        assert await waiting is True

    runs = []
    passes(main, 20)


def test_a_job_calls_back_into_the_loop():
    async def main():
        loop = asyncio.get_running_loop()
        asked = 0

        async def answer():
            nonlocal asked
            asked += 1
            return asked

        def job():
            return asyncio.run_coroutine_threadsafe(answer(), loop).result()

        assert sorted(await asyncio.gather(asyncio.to_thread(job), asyncio.to_thread(job))) == [1, 2]

    passes(main)


def test_a_job_runs_a_loop_of_its_own():
    async def inner():
        await asyncio.sleep(0)
        return threading.current_thread() is not threading.main_thread()

    async def main():
        assert await asyncio.to_thread(lambda: asyncio.run(inner())) is True
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(None, lambda: type(loop)().close()) is None

    passes(main, 20)


def test_a_failure_that_real_threads_do_not_show_is_none():
    async def main():
        connection = sqlite3.connect(":memory:")

        def use():
            connection.execute("select 1")

        try:
            with pytest.raises(sqlite3.ProgrammingError):
                await asyncio.to_thread(use)
        finally:
            connection.close()

    passes(main, 20)


def test_a_race_of_jobs_with_locals_is_found():
    local = threading.local()

    def ask():
        local.asked = getattr(local, "asked", 0) + 1

    async def main():
        balance = 100

        async def withdraw(amount):
            nonlocal balance
            seen = balance
            await asyncio.to_thread(ask)
            balance = seen - amount
            await asyncio.to_thread(ask)

        first = asyncio.create_task(withdraw(10))
        await asyncio.to_thread(ask)
        await asyncio.to_thread(ask)
        await asyncio.gather(first, withdraw(20))
        assert balance == 70

    report = testing.explore(main)
    assert report.failure is not None
    assert report.failure.classification == "arrival"
    for _ in range(3):
        assert testing.replay(main, report.failure.token).failure is not None


def test_a_lent_thread_is_its_makers_and_runs_once_at_a_time():
    if not LentThread.SUPPORTED:
        pytest.skip("3.11 has no second thread states")
    lent = LentThread()
    with pytest.raises(RuntimeError):
        lent.call(lambda: lent.call(int))
    refused = []

    def elsewhere():
        try:
            lent.call(int)
        except RuntimeError as error:
            refused.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert refused
    assert lent.call(lambda: [][:]) == []
    lent.call(lent.close)
    assert lent.call(int) == 0
    lent.close()
    lent.close()
    with pytest.raises(RuntimeError):
        lent.call(int)
