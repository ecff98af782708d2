"""sleep(), wait(), wait_for() and timeout() behave as asyncio's, with native and foreign futures, on both loops."""

import asyncio
import concurrent.futures
import gc
import inspect
import io
import pickle
import re
import sys
import weakref
from fractions import Fraction
from typing import cast

import pytest

import ferrio
from tests.support.coroutines import failing, returning
from tests.support.differential import assert_same_functions, masked, outcome, outcome_of

COROUTINE_FUNCTIONS = [ferrio.sleep, ferrio.wait, ferrio.wait_for, ferrio.Timeout.__aenter__, ferrio.Timeout.__aexit__]


async def turns(count):
    for _ in range(count):
        await asyncio.sleep(0)


async def chain(awaitable):
    """The exception that comes of awaiting, its causes and contexts."""
    try:
        return ("returned", await awaitable)
    except BaseException as error:
        shown, each = [], cast("BaseException | None", error)
        while each is not None:
            shown.append(
                (type(each).__name__, masked(each.args), type(each.__cause__).__name__, each.__suppress_context__)
            )
            each = each.__context__
        return shown


@pytest.mark.parametrize("delay", [0, -1, 0.0, -0.5, 0.001, True, Fraction(1, 1000), float("nan"), "soon", None, 1j])
def test_sleep_takes_any_number(delay):
    async def scenario(api, trace):
        trace.append(await outcome_of(api.sleep(delay, "slept")))

    assert_same_functions(scenario)


def test_a_sleeping_task_can_be_cancelled_and_woken():
    async def scenario(api, trace):
        tasks = [asyncio.ensure_future(api.sleep(10, number)) for number in range(4)]
        await turns(2)
        tasks[0].cancel("message")
        tasks[1]._fut_waiter.set_result("by hand")
        tasks[2]._fut_waiter.set_exception(LookupError("by hand"))
        trace.extend([await outcome_of(task) for task in tasks[:3]])
        trace.append(tasks[3].done())
        tasks[3].cancel()
        trace.append(await outcome_of(tasks[3]))

    assert_same_functions(scenario)


def test_sleepers_wake_in_the_order_of_their_deadlines():
    async def scenario(api, trace):
        async def sleeper(number):
            await api.sleep(number / 200)
            trace.append(number)

        # The clock stands while they begin, so that no pause of the machine moves a deadline past another.
        loop = asyncio.get_running_loop()
        began = loop.time()
        loop.time = lambda: began
        sleepers = asyncio.gather(*[sleeper(number) for number in (3, 1, 4, 2)])
        await asyncio.sleep(0)
        del loop.time
        await sleepers

    assert_same_functions(scenario)


@pytest.mark.parametrize("return_when", ["ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION", "SOMETIME", None])
@pytest.mark.parametrize("timeout", [None, 0, 0.01])
def test_wait_sorts_what_is_done(return_when, timeout):
    async def scenario(api, trace):
        tasks = [
            asyncio.ensure_future(coroutine)
            for coroutine in (returning(0), failing(LookupError(), 2), returning(2, 4), asyncio.sleep(10, 3))
        ]

        async def doom():
            await turns(10)
            tasks[3].cancel()

        # How many turns pass in a time is up to the machine: what ends by itself has ended before.
        await turns(6 if timeout else 0)
        doomed = asyncio.ensure_future(doom() if timeout is None else turns(0))
        kind, *rest = await outcome_of(api.wait(tasks, timeout=timeout, return_when=return_when))
        doomed.cancel()
        trace.append((kind, [sorted(map(tasks.index, some)) for some in rest[0]] if kind == "returned" else rest))
        tasks[3].cancel()
        trace.extend([await outcome_of(task) for task in tasks])

    assert_same_functions(scenario)


def test_wait_refuses_what_asyncio_refuses():
    async def scenario(api, trace):
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        coroutine = returning(1)
        for waited in ([], (), set(), future, coroutine, [coroutine], None, [[]], [5], 5):
            trace.append(await outcome_of(api.wait(waited)))
        coroutine.close()
        future.cancel()

    assert_same_functions(scenario)


def test_wait_leaves_no_callback_behind():
    async def scenario(api, trace):
        loop = asyncio.get_running_loop()
        for how in ("first", "timeout", "cancelled"):
            futures = [loop.create_future() for _ in range(3)]
            waiting = asyncio.ensure_future(
                api.wait(futures, timeout=0.01 if how == "timeout" else None, return_when="FIRST_COMPLETED")
            )
            await turns(2)
            trace.append([len(future._callbacks) for future in futures])
            if how == "first":
                futures[1].set_result(5)
            if how == "cancelled":
                waiting.cancel("enough")
            kind, *rest = await outcome_of(waiting)
            trace.append((kind, [len(some) for some in rest[0]] if kind == "returned" else rest))
            trace.append([len(future._callbacks or ()) for future in futures])

    assert_same_functions(scenario)


def test_wait_knows_foreign_futures():
    async def scenario(api, trace):
        pool = concurrent.futures.ThreadPoolExecutor(1)
        stock = asyncio.futures._PyFuture(loop=asyncio.get_running_loop())
        wrapped = asyncio.wrap_future(pool.submit(int, "5"))
        asyncio.get_running_loop().call_later(0.005, stock.set_result, 7)
        done, pending = await api.wait([stock, wrapped, stock])
        trace.append((sorted(future.result() for future in done), pending))
        pool.shutdown()

    assert_same_functions(scenario)


@pytest.mark.parametrize("timeout", [None, 10, 0, -1, 0.01, Fraction(1, 100)])
def test_wait_for_gives_results_and_exceptions(timeout):
    async def scenario(api, trace):
        for awaitable in (returning(1), returning(2, 3), failing(LookupError("failed")), failing(LookupError(), 2)):
            trace.append(await chain(api.wait_for(awaitable, timeout)))
        for wrong in (5, None):
            trace.append(await outcome_of(api.wait_for(wrong, timeout)))
        done = asyncio.get_running_loop().create_future()
        done.set_result("done")
        trace.append(await chain(api.wait_for(done, timeout)))

    assert_same_functions(scenario)


class SetClock:
    """A loop whose time passes only when a callback moves it."""

    now = 0.0

    def time(self):
        return self.now


class StockLoop(SetClock, asyncio.SelectorEventLoop):
    pass


class NativeLoop(SetClock, ferrio.EventLoop):
    pass


def test_a_result_in_the_turn_of_the_timeout_is_no_error_on_anybodys_loop():
    reported = []

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: reported.append(context))
        future = loop.create_future()

        def finish():
            future.set_result(1)
            loop.now += 1  # so that the timeout is due in the next turn, with the future's callbacks

        loop.call_soon(finish)
        assert await ferrio.wait_for(future, 0.5) == 1
        await turns(2)

    for factory in (StockLoop, NativeLoop):
        with ferrio.Runner(loop_factory=factory) as runner:
            runner.run(main())
    assert not reported


@pytest.mark.parametrize("timeout", [0, 0.005])
def test_wait_for_cancels_what_is_late(timeout):
    async def scenario(api, trace):
        async def stubborn(answer):
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError as error:
                trace.append(("cancelled", error.args))
                await asyncio.sleep(0)
                if isinstance(answer, Exception):
                    raise answer from None
                return answer

        for answer in ("kept", LookupError("other")):
            task = asyncio.ensure_future(stubborn(answer))
            await turns(2)
            trace.append(await chain(api.wait_for(task, timeout)))
        task = asyncio.ensure_future(asyncio.sleep(10))
        await turns(2)
        trace.append(await chain(api.wait_for(task, timeout)))
        trace.append((task.cancelled(), asyncio.current_task().cancelling()))

    assert_same_functions(scenario)


def test_wait_for_is_cancelled_with_what_it_waits_for():
    async def scenario(api, trace):
        inner = asyncio.get_running_loop().create_future()
        waiting = asyncio.ensure_future(api.wait_for(inner, 10))
        await turns(2)
        waiting.cancel("outside")
        trace.append(await outcome_of(waiting))
        trace.append(inner.cancelled())
        both = asyncio.get_running_loop().create_future()
        waiting = asyncio.ensure_future(api.wait_for(both, 10))
        await turns(2)
        both.set_result("just in time")
        waiting.cancel()
        trace.append(await outcome_of(waiting))

    assert_same_functions(scenario)


@pytest.mark.parametrize("delay", [None, 10, 0, -1, 0.005, float("inf")])
def test_timeout_ends_its_body(delay):
    async def scenario(api, trace):
        async def body():
            async with api.timeout(delay) as cm:
                trace.append((cm.when() is None, cm.expired(), masked(repr(cm))[:17]))
                await asyncio.sleep(0.02)
            trace.append((cm.expired(), masked(repr(cm))))

        trace.append(await chain(body()))
        trace.append(asyncio.current_task().cancelling())

    assert_same_functions(scenario)


def test_timeouts_states_are_asyncios():
    async def scenario(api, trace):
        loop = asyncio.get_running_loop()
        cm = api.timeout_at(None)
        trace.append((outcome(cm.reschedule, 5), repr(cm), cm._state))
        async with cm:
            trace.append((repr(cm), cm.when(), await outcome_of(cm.__aenter__())))
            cm.reschedule(loop.time() + 10)
            trace.append(cm.when() > loop.time())
            cm.reschedule(None)
        trace.append((outcome(cm.reschedule, None), repr(cm), cm._state))
        trace.append(await outcome_of(cm.__aenter__()))
        for when in ("now", 1j):
            trace.append(await outcome_of(api.timeout_at(when).__aenter__()))
            trace.append(masked(outcome(api.timeout, when)))

    assert_same_functions(scenario)


def test_timeouts_nest_and_count_cancellations():
    async def scenario(api, trace):
        async def nested(outer, inner, asked):
            task = asyncio.current_task()
            try:
                async with api.timeout(outer) as first:
                    try:
                        async with api.timeout(inner) as second:
                            if asked:
                                task.cancel("asked")
                            await asyncio.sleep(0.05)
                    finally:
                        trace.append((first.expired(), second.expired(), task.cancelling()))
            finally:
                trace.append((first.expired(), second.expired(), task.cancelling()))

        for outer, inner, asked in ((10, 0, False), (0, 10, False), (0, 0, False), (0, 10, True), (10, 0, True)):
            trace.append(await chain(asyncio.ensure_future(nested(outer, inner, asked))))

    assert_same_functions(scenario)


def test_timeout_finds_the_cancellation_in_other_exceptions():
    async def scenario(api, trace):
        async def body(error):
            async with api.timeout(0):
                try:
                    await asyncio.sleep(10)
                finally:
                    raise error

        for error in (LookupError("other"), ExceptionGroup("several", [LookupError(), ValueError()])):
            trace.append(await chain(body(error)))

    assert_same_functions(scenario)


@pytest.mark.parametrize("function", COROUTINE_FUNCTIONS, ids=lambda function: function.__qualname__)
def test_they_count_as_coroutine_functions(function):
    stock = asyncio
    for name in function.__qualname__.split("."):
        stock = getattr(stock, name)
    assert inspect.iscoroutinefunction(function)
    assert list(inspect.signature(function).parameters) == list(inspect.signature(stock).parameters)
    assert function.__name__ == stock.__name__
    assert function.__doc__ or stock.__doc__ is None
    assert pickle.loads(pickle.dumps(ferrio.sleep)) is ferrio.sleep


def test_a_coroutine_of_ours_behaves_as_pythons():
    async def own(delay, result=None):
        await asyncio.sleep(delay)
        return result

    for function in (own, ferrio.sleep):
        coroutine = function(0, 5)
        assert asyncio.iscoroutine(coroutine)
        assert inspect.isawaitable(coroutine)
        with pytest.raises(TypeError, match="can't send non-None value to a just-started coroutine"):
            coroutine.send(1)
        assert coroutine.send(None) is None
        with pytest.raises(StopIteration) as stop:
            coroutine.send(None)
        assert stop.value.value == 5
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            coroutine.send(None)
        closed = function(0)
        closed.send(None)
        closed.close()
        closed.close()
        fresh = function(0)
        with pytest.raises(LookupError, match="thrown"):
            fresh.throw(LookupError("thrown"))
        suspended = function(0)
        suspended.send(None)
        with pytest.raises(LookupError, match="thrown"):
            suspended.throw(LookupError("thrown"))


def test_a_coroutine_that_is_never_awaited_warns():
    with pytest.warns(RuntimeWarning, match=r"coroutine 'sleep' was never awaited"):
        assert asyncio.iscoroutine(ferrio.sleep(1))
    coroutine = ferrio.sleep(1)
    coroutine.close()


def test_a_coroutine_is_awaited_by_one_at_a_time():
    async def scenario(api, trace):
        coroutine = api.sleep(0)

        async def waiting():
            await coroutine

        first = asyncio.ensure_future(waiting())
        await turns(1)
        trace.append((await outcome_of(waiting()))[:2])
        trace.append(await outcome_of(first))

    assert_same_functions(scenario)


def test_a_cycle_through_a_waiting_coroutine_is_collected(loop):
    class Holder:
        pass

    async def main():
        holder = Holder()
        future = asyncio.get_running_loop().create_future()
        holder.coroutine = ferrio.wait_for(future, None)
        holder.coroutine.send(None)
        future.holder = holder
        return weakref.ref(holder)

    reference = loop.run_until_complete(asyncio.wait_for(main(), 5))
    gc.collect()
    assert reference() is None


def test_who_walks_the_stack_passes_through(loop):
    async def innermost(future):
        await future

    async def main():
        future = loop.create_future()
        task = loop.create_task(ferrio.wait_for(innermost(future), 10))
        await turns(2)
        coroutine, names = task.get_coro(), []
        while hasattr(coroutine, "cr_await"):
            names.append(
                (coroutine.cr_code.co_name, coroutine.cr_frame.f_code.co_name, coroutine.cr_frame.f_lineno > 0)
            )
            coroutine = coroutine.cr_await
        frames = task.get_stack()
        output = io.StringIO()
        task.print_stack(file=output)
        future.set_result(None)
        finished = task.get_coro()
        await task
        return names, len(frames), output.getvalue(), finished.cr_frame, finished.cr_await

    names, frames, printed, frame, awaited = loop.run_until_complete(main())
    # 3.11 runs what it waits for in a task of its own.
    expected = [("wait_for", "wait_for", True), ("innermost", "innermost", True)]
    assert names == expected[: 1 if sys.version_info < (3, 12) else 2]
    assert frames == 1
    # Where asyncio's function waits, with its line.
    assert re.search(r'File ".*/asyncio/tasks.py", line \d+, in wait_for\n    \S', printed)
    assert (frame, awaited) == (None, None)
