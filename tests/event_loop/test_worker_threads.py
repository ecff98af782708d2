"""The default executor's worker threads and their jobs."""

import asyncio
import concurrent.futures
import contextvars
import gc
import os
import subprocess
import sys
import threading
import weakref

import pytest

import ferrio
from tests.support.differential import assert_same, outcome, outcome_of
from tests.support.worker_threads import thread_name, to_thread


@pytest.fixture
def loop():
    own = ferrio.new_event_loop()
    yield own
    own.close()


def test_the_default_executor_is_a_thread_pool_executor_in_all_that_tools_read():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        await to_thread(int)
        executor = loop._default_executor
        trace.append(isinstance(executor, concurrent.futures.ThreadPoolExecutor))
        trace.append((type(executor).__name__, executor._max_workers, executor._thread_name_prefix))
        trace.append(sorted(thread.name for thread in executor._threads))
        trace.append((executor._work_queue.qsize(), executor._work_queue.empty(), executor._shutdown))
        trace.append([executor.submit(int, "7").result(), *executor.map(str, range(3))])
        trace.append(concurrent.futures.wait([executor.submit(int)]).not_done)

    assert_same(scenario)


def test_blocking_jobs_get_a_thread_each_up_to_the_limit():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        await to_thread(int)
        limit = loop._default_executor._max_workers
        together = threading.Barrier(limit)
        await asyncio.gather(*(to_thread(together.wait, 30) for _ in range(limit)))
        names = sorted(thread.name for thread in loop._default_executor._threads)
        trace.append(names)
        gate = threading.Event()
        blocked = [loop.run_in_executor(None, gate.wait, 30) for _ in range(limit)]
        later = loop.run_in_executor(None, int)
        await asyncio.sleep(0.01)
        trace.append((later.done(), len(loop._default_executor._threads)))
        gate.set()
        trace.append(await asyncio.gather(later, *blocked))

    assert_same(scenario)


def test_jobs_that_wait_for_later_ones_end():
    async def scenario(trace):
        first, second = threading.Event(), threading.Event()

        def wait_then_set():
            assert second.wait(30)
            first.set()

        def set_then_wait():
            second.set()
            return first.wait(30)

        trace.append(await asyncio.gather(to_thread(wait_then_set), to_thread(set_then_wait)))

    assert_same(scenario)


def test_an_idle_thread_takes_the_next_job(loop):
    local = threading.local()

    def count():
        local.count = getattr(local, "count", 0) + 1
        return thread_name(), local.count

    async def main():
        return [await to_thread(count) for _ in range(5)]

    assert loop.run_until_complete(main()) == [("asyncio_0", number) for number in range(1, 6)]


def test_waiting_jobs_begin_in_order():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        await to_thread(int)
        loop._default_executor._max_workers = 1
        began = []
        await asyncio.gather(*(loop.run_in_executor(None, began.append, number) for number in range(50)))
        trace.append(began)

    assert_same(scenario)


def test_a_job_that_is_cancelled_before_it_begins_does_not_run():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        await to_thread(int)
        loop._default_executor._max_workers = 1
        gate, ran = threading.Event(), []
        blocked = loop.run_in_executor(None, gate.wait, 30)
        waiting = asyncio.create_task(to_thread(ran.append, "cancelled"))
        future = loop.run_in_executor(None, ran.append, "cancelled too")
        await asyncio.sleep(0)
        waiting.cancel()
        trace.append((future.cancel(), future.cancel()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gate.set()
        trace.append(await blocked)
        await loop.run_in_executor(None, ran.append, "ran")
        trace.append((ran, waiting.cancelled(), future.cancelled()))

    assert_same(scenario)


def test_a_job_that_runs_is_not_stopped_by_a_cancellation():
    async def scenario(trace):
        gate, began, ended = threading.Event(), threading.Event(), threading.Event()

        def work():
            began.set()
            gate.wait(30)
            ended.set()

        task = asyncio.create_task(to_thread(work))
        while not began.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        trace.append(await outcome_of(task))
        gate.set()
        trace.append(ended.wait(30))

    assert_same(scenario)


class Unusual(BaseException):
    pass


@pytest.mark.parametrize(
    "error",
    [
        StopIteration(1),
        concurrent.futures.CancelledError(2),
        concurrent.futures.TimeoutError(3),
        concurrent.futures.InvalidStateError(4),
        asyncio.CancelledError(5),
        GeneratorExit(6),
        Unusual(7),
        ZeroDivisionError,
    ],
    ids=repr,
)
def test_any_exception_comes_back(error):
    if sys.version_info < (3, 12) and isinstance(error, StopIteration):
        pytest.skip("asyncio on 3.11 refuses it in a callback, and the caller waits for ever")

    async def scenario(trace):
        def fail():
            raise error

        for call in (to_thread(fail), asyncio.get_running_loop().run_in_executor(None, fail)):
            try:
                await call
            except BaseException as caught:
                trace.append((type(caught), caught.args, repr(caught.__cause__), repr(caught.__context__)))

    assert_same(scenario)


def test_the_context_is_copied_by_to_thread_alone():
    variable = contextvars.ContextVar("variable", default="default")

    async def scenario(trace):
        loop = asyncio.get_running_loop()

        def change(value):
            before = variable.get()
            variable.set(value)
            return before

        variable.set("outside")
        trace.append(await to_thread(change, "inside"))
        trace.append(variable.get())
        loop._default_executor._max_workers = 1
        trace.append(await loop.run_in_executor(None, change, "the thread's"))
        trace.append(await loop.run_in_executor(None, change, "again"))
        trace.append(await to_thread(change, "inside"))
        trace.append(await loop.run_in_executor(None, change, "again"))

    assert_same(scenario)


def test_keywords_and_positional_arguments_pass_through_to_thread():
    async def scenario(trace):
        def show(*arguments, **keywords):
            return arguments, keywords

        trace.append(await to_thread(show, 1, func=2, x=3))
        trace.append(await outcome_of(to_thread(show, 1, 2)))
        trace.append(await outcome_of(to_thread(int, wrong=1)))

    assert_same(scenario)


def test_shutting_the_executor_down_ends_what_waits_and_what_comes():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        await to_thread(int)
        executor = loop._default_executor
        executor._max_workers = 1
        gate = threading.Event()
        blocked = loop.run_in_executor(None, gate.wait, 30)
        while executor._work_queue.qsize():
            await asyncio.sleep(0.001)
        waiting = [loop.run_in_executor(None, int), executor.submit(int)]
        executor.shutdown(wait=False, cancel_futures=True)
        trace.append(waiting[1].cancelled())
        trace.append(await outcome_of(waiting[0]))
        trace.append(outcome(loop.run_in_executor, None, int))
        trace.append(outcome(executor.submit, int))
        trace.append(await outcome_of(to_thread(int)))
        gate.set()
        trace.append(await blocked)
        executor.shutdown()
        trace.append([thread.is_alive() for thread in executor._threads])

    assert_same(scenario)


def test_a_stray_none_in_the_queue_ends_nothing():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        await to_thread(int)
        loop._default_executor._work_queue.put(None)
        trace.append(await asyncio.gather(*(to_thread(int, number) for number in range(5))))

    assert_same(scenario)


def test_the_workers_of_a_forgotten_executor_end(loop):
    loop.run_until_complete(loop.run_in_executor(None, int))
    (worker,) = loop._default_executor._threads
    reference = weakref.ref(loop._default_executor)
    loop._default_executor = None
    gc.collect()
    assert reference() is None
    worker.join(30)
    assert not worker.is_alive()


def test_threads_that_cannot_be_started_are_an_error(monkeypatch):
    async def scenario(trace):
        def start(self):
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", start)
        trace.append(outcome(asyncio.get_running_loop().run_in_executor, None, int))
        trace.append(await outcome_of(to_thread(int)))
        monkeypatch.undo()
        trace.append(await to_thread(int, "5"))

    assert_same(scenario)


def run_program(program):
    command = [sys.executable, "-X", "dev", "-W", "ignore", "-c", "import ferrio\nferrio.install()\n" + program]
    process = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (process.returncode, process.stderr) == (0, "")
    return process.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_has_workers_of_its_own():
    """Under asyncio the child waits for ever for a worker that its parent has."""
    shown = run_program("""
import asyncio, os, threading
loop = asyncio.new_event_loop()
call = lambda: loop.run_until_complete(loop.run_in_executor(None, lambda: threading.current_thread().name))
print(call(), flush=True)
child = os.fork()
if child == 0:
    print(call(), len(loop._default_executor._threads), flush=True)
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    os._exit(0)
os.waitpid(child, 0)
print(call())
loop.run_until_complete(loop.shutdown_default_executor())
loop.close()
print(threading.active_count())
""")
    assert shown.splitlines() == ["asyncio_0", "asyncio_0 1", "asyncio_0", "1"]


def test_a_job_that_runs_when_the_program_ends_is_waited_for():
    shown = run_program("""
import asyncio, threading, time
loop = asyncio.new_event_loop()
def work():
    began.set()
    time.sleep(0.05)
    print("done", flush=True)
began = threading.Event()
future = loop.run_in_executor(None, work)
other = loop.run_in_executor(None, print, "the waiting one too")
began.wait()
""")
    assert sorted(shown.splitlines()) == ["done", "the waiting one too"]


def test_a_loop_in_a_daemon_thread_has_daemons_for_workers():
    shown = run_program("""
import asyncio, threading, time
def serve():
    async def main():
        await asyncio.to_thread(lambda: print(threading.current_thread().daemon, flush=True))
        began.set()
        await asyncio.to_thread(time.sleep, 100)
    asyncio.run(main())
began = threading.Event()
threading.Thread(target=serve, daemon=True).start()
began.wait()
import concurrent.futures.thread
concurrent.futures.thread._threads_queues.clear()
""")
    assert shown == "True\n"


def test_a_slow_job_does_not_hold_back_a_result_of_the_same_worker(loop):
    async def main():
        await to_thread(int)
        loop._default_executor._max_workers = 1
        gate = threading.Event()
        first = loop.run_in_executor(None, int, "1")
        second = loop.run_in_executor(None, gate.wait, 30)
        assert await first == 1
        assert not second.done()
        gate.set()
        assert await second

    loop.run_until_complete(main())
