"""Callbacks: order, time, handles, contexts, threads and the checks of debug mode."""

import asyncio
import contextvars
import os
import socket
import threading
import time

import pytest

from tests.support.differential import assert_same, masked, outcome
from tests.support.peers import run_turns

# -- order ---------------------------------------------------------------------


def test_callbacks_run_in_the_order_they_were_scheduled(loop):
    trace = []
    for number in range(1000):
        loop.call_soon(trace.append, number)
    run_turns(loop, 1)
    assert trace == list(range(1000))


def test_what_is_scheduled_in_a_turn_runs_in_the_next(loop):
    trace = []

    def callback(name):
        trace.append(name)
        if len(name) < 3:
            loop.call_soon(callback, name + name[0])

    loop.call_soon(callback, "a")
    loop.call_soon(callback, "b")
    loop.call_soon(lambda: None)
    run_turns(loop, 3)
    assert trace == ["a", "b", "aa", "bb", "aaa", "bbb"]


def test_timers_ready_in_one_turn_run_by_time_then_after_what_was_ready(loop):
    trace = []
    now = loop.time()
    loop.call_at(now - 1, trace.append, "later")
    loop.call_at(now - 2, trace.append, "earlier")
    loop.call_soon(trace.append, "soon")
    run_turns(loop, 1)
    assert trace == ["soon", "earlier", "later"]


def test_a_callback_cancelled_by_an_earlier_one_does_not_run(loop):
    trace = []
    handles = []
    loop.call_soon(lambda: handles[0].cancel())
    handles.append(loop.call_soon(trace.append, "no"))
    run_turns(loop, 1)
    assert trace == []


def test_a_callback_that_reschedules_itself_does_not_starve_descriptors(loop):
    left, right = socket.socketpair()
    with left, right:
        count = 0

        def again():
            nonlocal count
            count += 1
            if count < 100_000:
                loop.call_soon(again)
            else:
                loop.stop()

        loop.add_reader(left, loop.stop)
        right.send(b"x")
        loop.call_soon(again)
        loop.run_forever()
        loop.remove_reader(left)
        assert count < 100_000


def test_a_callback_that_reschedules_itself_does_not_starve_timers(loop):
    deadline = time.monotonic() + 5

    def again():
        if time.monotonic() < deadline:
            loop.call_soon(again)
        else:
            loop.stop()

    loop.call_later(0.001, loop.stop)
    loop.call_soon(again)
    loop.run_forever()
    assert time.monotonic() < deadline


def test_a_failing_callback_does_not_stop_the_others(loop):
    trace = []
    loop.set_exception_handler(lambda loop, context: trace.append(repr(context["exception"])))
    loop.call_soon(lambda: 1 / 0)
    loop.call_soon(trace.append, "next")
    run_turns(loop, 1)
    assert trace == ["ZeroDivisionError('division by zero')", "next"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupting_exception_leaves_the_loop_and_loses_nothing(loop, error):
    trace = []

    def interrupt():
        raise error

    loop.call_soon(interrupt)
    loop.call_soon(trace.append, "still there")
    with pytest.raises(error):
        loop.run_forever()
    assert not loop.is_running()
    run_turns(loop, 1)
    assert trace == ["still there"]


# -- contexts ----------------------------------------------------------------------

variable = contextvars.ContextVar("variable", default="unset")


def test_a_callback_runs_in_a_copy_of_the_context_it_was_scheduled_in(loop):
    trace = []
    token = variable.set("at the call")
    try:
        loop.call_soon(lambda: (trace.append(variable.get()), variable.set("inside")))
        loop.call_later(0, lambda: trace.append(variable.get()))
    finally:
        variable.reset(token)
    run_turns(loop, 2)
    assert trace == ["at the call", "at the call"]
    assert variable.get() == "unset"


def test_callbacks_with_one_given_context_share_it(loop):
    context = contextvars.copy_context()
    trace = []
    loop.call_soon(variable.set, "shared", context=context)
    loop.call_soon(lambda: trace.append(variable.get()), context=context)
    loop.call_soon(lambda: trace.append(variable.get()))
    run_turns(loop, 1)
    assert trace == ["shared", "unset"]


def test_readers_signals_and_executors_keep_their_context(loop):
    left, right = socket.socketpair()
    trace = []

    def readable():
        left.recv(1)
        trace.append(variable.get())
        loop.stop()

    with left, right:
        token = variable.set("reader")
        loop.add_reader(left, readable)
        variable.reset(token)
        for _ in range(2):
            right.send(b"x")
            loop.run_forever()
        loop.remove_reader(left)
    assert trace == ["reader", "reader"]


# -- arguments -----------------------------------------------------------------------


def test_arguments_are_checked_as_asyncio_checks_them():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        for call in (loop.call_soon, loop.call_soon_threadsafe):
            for arguments, keywords in (((), {}), ((print,), {"unknown": 1}), ((print,), {"context": None})):
                trace.append(outcome(call, *arguments, **keywords)[:2][0])
        trace.append(outcome(loop.call_later)[1])
        trace.append(outcome(loop.call_later, "x", print)[1])
        await asyncio.sleep(0)

    assert_same(scenario)


@pytest.mark.parametrize("debug", [False, True])
def test_what_is_no_callback_is_refused_in_debug_mode(debug):
    async def scenario(trace):
        loop = asyncio.get_running_loop()

        async def coroutine():
            pass

        for wrong in (coroutine, coroutine(), 5, None):
            for call in (loop.call_soon, loop.call_soon_threadsafe, lambda c: loop.call_later(3600, c)):
                if debug:
                    trace.append(outcome(call, wrong))
            if asyncio.iscoroutine(wrong):
                wrong.close()
        trace.append("end")

    assert_same(scenario, debug=debug)


def test_debug_mode_refuses_calls_from_another_thread():
    async def scenario(trace):
        loop = asyncio.get_running_loop()

        def elsewhere():
            trace.append(outcome(loop.call_soon, print))
            trace.append(outcome(loop.call_later, 1, print))
            trace.append(outcome(loop.call_at, 1, print))
            loop.call_soon_threadsafe(trace.append, "safe")

        thread = threading.Thread(target=elsewhere)
        thread.start()
        await asyncio.sleep(0.001)
        thread.join()
        await asyncio.sleep(0.001)

    assert_same(scenario, debug=True)


def test_debug_mode_reports_slow_callbacks():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        loop.slow_callback_duration = 0.1
        loop.call_soon(time.sleep, 0.11)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        loop.slow_callback_duration = 10

    trace = assert_same(scenario, debug=True)
    assert any("Executing" in str(entry) for entry in trace)


# -- threads ---------------------------------------------------------------------------


def test_a_call_from_another_thread_wakes_a_sleeping_loop(loop):
    began = time.monotonic()
    threading.Timer(0.01, loop.call_soon_threadsafe, (loop.stop,)).start()
    loop.run_forever()
    assert time.monotonic() - began < 5


def test_calls_from_threads_keep_each_threads_order(loop):
    trace = []

    def flood(name):
        for number in range(500):
            loop.call_soon_threadsafe(trace.append, (name, number))

    threads = [threading.Thread(target=flood, args=(name,)) for name in range(4)]

    async def main():
        for thread in threads:
            thread.start()
        await asyncio.to_thread(lambda: [thread.join() for thread in threads])

    loop.run_until_complete(main())
    run_turns(loop, 1)
    assert len(trace) == 2000
    for name in range(4):
        assert [number for who, number in trace if who == name] == list(range(500))


def test_run_coroutine_threadsafe_brings_the_result_back(loop):
    async def double(number):
        await asyncio.sleep(0)
        return number * 2

    def elsewhere():
        return asyncio.run_coroutine_threadsafe(double(21), loop).result(5)

    assert loop.run_until_complete(loop.run_in_executor(None, elsewhere)) == 42


# -- tasks and futures --------------------------------------------------------------------


def test_create_future_belongs_to_the_loop(loop):
    future = loop.create_future()
    assert future.get_loop() is loop
    assert isinstance(future, asyncio.Future)
    future.cancel()


def test_create_task_takes_a_name_and_a_context(loop):
    context = contextvars.copy_context()
    context.run(variable.set, "of the task")

    async def body():
        return asyncio.current_task().get_name(), variable.get()

    async def main():
        return await loop.create_task(body(), name="worker", context=context)

    assert loop.run_until_complete(main()) == ("worker", "of the task")


def test_a_task_factory_makes_the_tasks():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        trace.append(loop.get_task_factory())

        def factory(loop, coroutine, **keywords):
            trace.append(sorted(keywords))
            return asyncio.Task(coroutine, loop=loop, **keywords)

        loop.set_task_factory(factory)
        trace.append(loop.get_task_factory() is factory)
        await loop.create_task(asyncio.sleep(0))
        task = loop.create_task(asyncio.sleep(0), name="named")
        trace.append(task.get_name())
        await task
        await loop.create_task(asyncio.sleep(0), context=contextvars.copy_context())
        trace.append(outcome(loop.set_task_factory, 5))
        loop.set_task_factory(None)
        trace.append(loop.get_task_factory())

    assert_same(scenario)


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="eager tasks came with 3.12")
def test_eager_tasks_run_at_once_and_eager_start_is_taken():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        loop.set_task_factory(asyncio.eager_task_factory)

        async def body():
            trace.append("body")
            return 1

        task = loop.create_task(body())
        trace.append(("done", task.done(), await task))
        if hasattr(asyncio, "future_add_to_awaited_by"):  # 3.14 passes more through
            loop.set_task_factory(None)
            trace.append(await loop.create_task(body(), eager_start=True))

    assert_same(scenario)


def test_create_task_on_a_closed_loop_is_refused(loop):
    loop.close()
    coroutine = asyncio.sleep(0)
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        loop.create_task(coroutine)
    coroutine.close()


def test_a_loop_without_work_sleeps(loop):
    """No turn of the loop is spent while there is nothing to do."""
    loop.call_later(0.05, loop.stop)
    before = os.times()
    loop.run_forever()
    after = os.times()
    assert (after.user + after.system) - (before.user + before.system) < 0.04


def test_a_handle_without_a_callback_shows_none():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: trace.append((context["message"], masked(context["handle"]))))
        loop.call_soon(None)
        loop.call_later(0, None)
        await asyncio.sleep(0.001)

    assert_same(scenario)
