"""Work handed to threads and processes."""

import asyncio
import concurrent.futures
import contextvars
import functools
import gc
import multiprocessing
import sys
import threading
import time
import weakref

import pytest

from tests.support.differential import assert_same, outcome, outcome_of


def square(number):
    return number * number


def test_the_default_executor_is_a_pool_of_named_threads(loop):
    name = loop.run_until_complete(loop.run_in_executor(None, lambda: threading.current_thread().name))
    assert name.startswith("asyncio_")


def test_arguments_and_results_pass_through(loop):
    async def main():
        return await asyncio.gather(*(loop.run_in_executor(None, square, number) for number in range(50)))

    assert loop.run_until_complete(main()) == [number * number for number in range(50)]


def test_exceptions_come_back(loop):
    def fail():
        raise LookupError("in the thread")

    with pytest.raises(LookupError, match=r"in the thread"):
        loop.run_until_complete(loop.run_in_executor(None, fail))


def test_any_executor_can_be_named(loop):
    with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="mine") as executor:
        name = loop.run_until_complete(loop.run_in_executor(executor, lambda: threading.current_thread().name))
    assert name == "mine_0"


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_process_pool_works(loop):
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as executor:
        assert loop.run_until_complete(loop.run_in_executor(executor, square, 12)) == 144


def test_set_default_executor_takes_thread_pools_alone():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        trace.append(outcome(loop.set_default_executor, object()))
        with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="ours") as executor:
            loop.set_default_executor(executor)
            trace.append(await asyncio.to_thread(lambda: threading.current_thread().name))

    assert_same(scenario)


def test_to_thread_carries_the_context(loop):
    variable = contextvars.ContextVar("variable")

    async def main():
        variable.set("carried")
        return await asyncio.to_thread(variable.get)

    assert loop.run_until_complete(main()) == "carried"


def test_a_cancelled_call_leaves_loop_and_thread_alone(loop):
    release = threading.Event()

    async def main():
        future = loop.run_in_executor(None, release.wait, 5)
        await asyncio.sleep(0)
        future.cancel()
        with pytest.raises(asyncio.CancelledError):
            await future
        release.set()
        return await loop.run_in_executor(None, square, 3)

    assert loop.run_until_complete(main()) == 9


def test_shutdown_waits_for_the_threads_and_refuses_more(loop):
    trace = []

    async def main():
        future = loop.run_in_executor(None, trace.append, "ran")
        await loop.shutdown_default_executor()
        assert future.done()
        with pytest.raises(RuntimeError, match=r"^Executor shutdown has been called$"):
            loop.run_in_executor(None, print)

    loop.run_until_complete(main())
    assert trace == ["ran"]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("asyncio_")]


def test_shutdown_of_an_executor_that_never_was_is_nothing(loop):
    loop.run_until_complete(loop.shutdown_default_executor())


@pytest.mark.skipif(sys.version_info < (3, 13), reason="3.11 has no timeout=, 3.12 waits all the same")
def test_shutdown_gives_up_after_its_timeout(loop):
    release = threading.Event()

    async def main():
        future = loop.run_in_executor(None, release.wait, 5)
        with pytest.warns(RuntimeWarning, match=r"did not finishing joining its threads within 0.01 seconds"):
            await loop.shutdown_default_executor(0.01)
        release.set()
        await future

    loop.run_until_complete(main())


def test_debug_mode_refuses_coroutines():
    async def scenario(trace):
        loop = asyncio.get_running_loop()

        async def coroutine():
            pass

        trace.append(outcome(loop.run_in_executor, None, coroutine))
        trace.append(outcome(loop.run_in_executor, None, 5))

    assert_same(scenario, debug=True)


def test_a_partial_and_a_method_are_called_as_they_are():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        trace.append(await loop.run_in_executor(None, functools.partial(int, "11", base=2)))
        trace.append(await loop.run_in_executor(None, "a-b".split, "-"))
        trace.append(await outcome_of(loop.run_in_executor(None, int, "x")))

    assert_same(scenario)


def test_a_result_that_comes_after_close_is_dropped_quietly(loop):
    release, done = threading.Event(), threading.Event()

    def wait():
        release.wait(5)
        done.set()

    async def main():
        loop.run_in_executor(None, wait)

    loop.run_until_complete(main())
    loop.close()
    release.set()
    assert done.wait(5)
    for thread in threading.enumerate():
        if thread.name.startswith("asyncio_"):
            thread.join(5)


def test_a_result_lives_no_longer_than_those_who_want_it(loop):
    """concurrent.futures keeps the callbacks of futures that are done: ours must not lead back to them."""

    class Result:
        pass

    async def main():
        await loop.run_in_executor(None, Result)
        made = weakref.ref(await loop.run_in_executor(None, Result))
        # The worker's own variables live until its next task, which another worker may take.
        deadline = time.monotonic() + 30
        while made() is not None and time.monotonic() < deadline:
            await loop.run_in_executor(None, int)
            await asyncio.sleep(0)
        assert made() is None

    gc.collect()
    gc.disable()
    try:
        loop.run_until_complete(main())
    finally:
        gc.enable()


def test_a_failure_that_nobody_awaits_is_reported_at_once(loop):
    told = []
    loop.set_exception_handler(lambda _, context: told.append(context["message"]))

    async def main():
        loop.run_in_executor(None, int, "none")
        await loop.run_in_executor(None, time.sleep, 0.01)
        await asyncio.sleep(0.01)
        assert told == ["Future exception was never retrieved"]

    gc.collect()
    gc.disable()
    try:
        loop.run_until_complete(main())
    finally:
        gc.enable()
