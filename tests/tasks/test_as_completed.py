"""as_completed() behaves as in the running Python's asyncio, on both loops."""

import asyncio
import collections.abc
import gc
import sys
import weakref

import pytest

import ferrio
from tests.support.coroutines import failing, returning
from tests.support.differential import assert_same_functions, masked, outcome, outcome_of

from_3_13 = pytest.mark.skipif(sys.version_info < (3, 13), reason="asynchronous since Python 3.13")


def test_results_come_as_they_get_done():
    async def scenario(api, trace):
        turns = [9, 1, 5, 3, 7]
        for coroutine in api.as_completed([returning(number, number) for number in turns]):
            trace.append(await coroutine)
        for coroutine in api.as_completed([returning(1, 3), failing(LookupError("failed"), 1)]):
            trace.append(await outcome_of(coroutine))
        trace.append(list(api.as_completed([])))
        coroutine = returning("once")
        trace.append([await each for each in api.as_completed([coroutine, coroutine])])
        future = asyncio.get_running_loop().create_future()
        future.set_result("done before")
        trace.append([await each for each in api.as_completed({future})])

    assert_same_functions(scenario)


def test_coroutines_may_be_awaited_in_any_order_and_at_once():
    async def scenario(api, trace):
        first, second, third = api.as_completed([returning(number, number) for number in (3, 6, 9)])
        trace.append((await third, await first, await second))
        all_of_them = list(api.as_completed([returning(number, number) for number in (3, 6, 9)]))
        trace.append(await asyncio.gather(*reversed(all_of_them)))
        trace.append(all_of_them[0].__qualname__)

    assert_same_functions(scenario)


@from_3_13
def test_an_asynchronous_iteration_gives_the_futures():
    async def scenario(api, trace):
        tasks = [asyncio.create_task(returning(number, number)) for number in (6, 3, 9)]
        order = []
        async for task in api.as_completed(tasks):
            order.append(tasks.index(task))
            trace.append(await task)
        trace.append(order)
        iterator = api.as_completed([returning(1), returning(1)])
        async for future in iterator:
            trace.append((isinstance(future, asyncio.Task), await future))
            break
        trace.append([await future async for future in iterator])
        trace.append([future async for future in iterator])
        try:
            await anext(iterator)
        except StopAsyncIteration as stop:
            trace.append(("stopped", stop.args))

    assert_same_functions(scenario)


def test_what_is_not_in_time_raises():
    async def scenario(api, trace):
        tasks = [asyncio.create_task(asyncio.sleep(delay, delay)) for delay in (0, 100, 200)]
        for coroutine in api.as_completed(tasks, timeout=0.02):
            trace.append(await outcome_of(coroutine))
        trace.append([(task.done(), task._callbacks and len(task._callbacks)) for task in tasks])
        for task in tasks:
            task.cancel()
        for coroutine in api.as_completed([returning(1, 3)], timeout=100):
            trace.append(await outcome_of(coroutine))

    assert_same_functions(scenario)


@from_3_13
def test_an_asynchronous_iteration_ends_with_the_timeout():
    async def scenario(api, trace):
        tasks = [asyncio.create_task(asyncio.sleep(delay, delay)) for delay in (0, 100)]

        async def iterating():
            async for task in api.as_completed(tasks, timeout=0.02):
                trace.append(await task)

        trace.append(await outcome_of(iterating()))
        tasks[1].cancel()

    assert_same_functions(scenario)


def test_a_cancelled_waiter_passes_its_turn_on():
    async def scenario(api, trace):
        futures = [asyncio.get_running_loop().create_future() for _ in range(3)]
        iterator = api.as_completed(futures)
        tasks = [asyncio.create_task(outcome_of(next(iter(iterator)))) for _ in range(3)]
        await asyncio.sleep(0)
        futures[1].set_result("one")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        tasks[1].cancel()
        futures[0].set_result("zero")
        futures[2].set_result("two")
        trace.append(await asyncio.gather(*tasks, return_exceptions=True))

    assert_same_functions(scenario)


@from_3_13
def test_a_cancelled_iteration_continues_as_asyncios():
    async def scenario(api, trace):
        future = asyncio.get_running_loop().create_future()
        iterator = api.as_completed([future])

        async def step():
            return await anext(iterator)

        task = asyncio.create_task(step())
        await asyncio.sleep(0)
        task.cancel()
        trace.append(await outcome_of(task))
        future.set_result(5)
        try:
            trace.append((await step()).result())
        except StopAsyncIteration:
            trace.append("lost")

    assert_same_functions(scenario)


def test_wrong_arguments_are_refused():
    async def scenario(api, trace):
        future = asyncio.get_running_loop().create_future()
        coroutine = returning(1)
        for wrong in (future, coroutine, 5, [5], [[]], ["text"]):
            trace.append(outcome(lambda wrong=wrong: list(api.as_completed(wrong))))
        coroutine.close()
        future.cancel()

    assert_same_functions(scenario)


def test_it_is_the_kind_of_iterator_that_asyncios_is():
    async def main():
        for api in (asyncio, ferrio):
            iterator = api.as_completed([])
            asynchronous = isinstance(iterator, collections.abc.AsyncIterator)
            assert asynchronous == (sys.version_info >= (3, 13))
            assert isinstance(iterator, collections.abc.Iterator)
            assert iter(iterator) is iterator

    ferrio.run(main())


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="as_completed() begins at once since Python 3.13")
def test_before_3_13_nothing_happens_until_the_first_iteration():
    async def scenario(api, trace):
        async def noting():
            trace.append("ran")

        coroutine = noting()
        iterator = api.as_completed([coroutine])
        await asyncio.sleep(0)
        trace.append("begins")
        task = next(iterator)
        await task
        trace.append((outcome(next, iterator)[:2], iterator.close()))
        closed = api.as_completed([returning])
        trace.append((closed.close(), outcome(next, closed)[:2]))

    assert_same_functions(scenario)


def test_foreign_futures_complete_as_well():
    async def scenario(api, trace):
        loop = asyncio.get_running_loop()
        futures = [kind(loop=loop) for kind in (asyncio.Future, asyncio.futures._PyFuture, ferrio.Future)]
        for number, future in enumerate(futures):
            loop.call_later(0.002 * number, future.set_result, number)
        trace.append([await each for each in api.as_completed(futures)])
        futures = [kind(loop=loop) for kind in (asyncio.Future, asyncio.futures._PyFuture, ferrio.Future)]
        trace.append([await outcome_of(each) for each in api.as_completed(futures, timeout=0.001)])
        trace.append([masked(future._callbacks or None) for future in futures])

    assert_same_functions(scenario)


def test_cycles_through_it_are_collected():
    async def main():
        future = asyncio.get_running_loop().create_future()
        iterator = ferrio.as_completed([future])
        coroutine = next(iter(iterator))
        future.cycle = (iterator, coroutine)
        coroutine.send(None)
        seen = weakref.ref(future)
        coroutine.close()
        del future, iterator, coroutine
        gc.collect()
        return seen()

    assert ferrio.run(main()) is None
