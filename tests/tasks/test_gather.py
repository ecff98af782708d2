"""gather() behaves as asyncio's, with native and foreign futures, on both loops."""

import asyncio
import gc
import sys
import weakref

import pytest

import ferrio
from tests.support.coroutines import failing, returning
from tests.support.differential import assert_same_functions, masked, outcome, outcome_of


def test_results_come_in_the_order_of_the_arguments():
    async def scenario(api, trace):
        trace.append(await outcome_of(api.gather(*[returning(number, 5 - number) for number in range(5)])))
        trace.append(await outcome_of(api.gather()))
        trace.append(await outcome_of(api.gather(returning(1), return_exceptions=True)))

    assert_same_functions(scenario)


@pytest.mark.parametrize("return_exceptions", [False, True, 0, "yes", None])
def test_exceptions_come_out_or_are_results(return_exceptions):
    async def scenario(api, trace):
        children = [returning(1), failing(LookupError("first"), 2), failing(ValueError("second"), 1), returning(2, 5)]
        kind, *rest = await outcome_of(api.gather(*children, return_exceptions=return_exceptions))
        trace.append((kind, masked(rest)))
        for _ in range(6):
            await asyncio.sleep(0)

    assert_same_functions(scenario)


def test_cancelled_children_count_as_failed_ones():
    async def scenario(api, trace):
        loop = asyncio.get_running_loop()
        for return_exceptions in (False, True):
            for message in ((), ("enough",)):
                futures = [loop.create_future() for _ in range(3)]
                gathered = api.gather(*futures, return_exceptions=return_exceptions)
                futures[1].cancel(*message)
                futures[0].set_result(0)
                futures[2].set_exception(LookupError("third"))
                kind, *rest = await outcome_of(gathered)
                trace.append((kind, masked(rest), gathered.cancelled(), gathered.cancel()))
                await asyncio.sleep(0)

    assert_same_functions(scenario)


def test_cancelling_it_cancels_the_children_and_then_it_ends():
    async def scenario(api, trace):
        loop = asyncio.get_running_loop()
        for return_exceptions in (False, True):
            futures = [loop.create_future() for _ in range(3)]
            futures[0].set_result(0)
            gathered = api.gather(*futures, return_exceptions=return_exceptions)
            trace.append((gathered.cancel("enough"), gathered.done(), gathered._cancel_requested))
            trace.append([(future.cancelled(), future._cancel_message) for future in futures])
            trace.append((await outcome_of(gathered), gathered.cancelled(), gathered.cancel()))
            done = api.gather(futures[0], futures[0])
            trace.append((done.cancel(), await outcome_of(done)))

    assert_same_functions(scenario)


def test_a_waiting_task_that_is_cancelled_cancels_the_children():
    async def scenario(api, trace):
        async def stubborn():
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError as error:
                trace.append(("caught", error.args))
            return "stayed"

        async def waiting(*children, **keywords):
            return await api.gather(*children, **keywords)

        for return_exceptions in (False, True):
            task = asyncio.create_task(waiting(stubborn(), asyncio.sleep(10), return_exceptions=return_exceptions))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            trace.append((task.cancel("go"), await outcome_of(task), task.cancelled()))

    assert_same_functions(scenario)


def test_equal_arguments_are_one_child():
    class Equal:
        def __init__(self, number):
            self.number = number

        def __eq__(self, other):
            return isinstance(other, Equal) and self.number == other.number

        def __hash__(self):
            return self.number

        def __await__(self):
            return returning(self.number).__await__()

    async def scenario(api, trace):
        coroutine = returning("once")
        future = asyncio.get_running_loop().create_future()
        future.set_result("future")
        trace.append(await api.gather(coroutine, future, coroutine, future))
        first, second, other = Equal(1), Equal(1), Equal(2)
        gathered = api.gather(first, other, second)
        trace.append([child is gathered._children[0] for child in gathered._children])
        trace.append(await gathered)

    assert_same_functions(scenario)


def test_wrong_arguments_are_refused():
    async def scenario(api, trace):
        other = asyncio.new_event_loop()
        ours, theirs = asyncio.get_running_loop().create_future(), other.create_future()
        for arguments in ((5,), ("text",), (ours, theirs), (theirs, ours), (ours, {})):
            trace.append(outcome(api.gather, *arguments))
        coroutine = returning(1)
        trace.append(outcome(api.gather, coroutine, []))
        other.close()
        ours.cancel()

    assert_same_functions(scenario)


def test_what_is_done_already_tells_as_asyncio_does():
    async def scenario(api, trace):
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in range(2)]
        futures[0].set_result(0)
        futures[1].set_exception(LookupError("failed"))
        gathered = api.gather(*futures, return_exceptions=True)
        trace.append((gathered.done(), masked(await gathered)))
        gathered = api.gather(futures[0])
        trace.append((gathered.done(), await gathered))
        gathered = api.gather(*futures)
        trace.append((gathered.done(), await outcome_of(gathered)))

    assert_same_functions(scenario)


def test_order_among_other_callbacks_is_asyncios():
    async def scenario(api, trace):
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in range(3)]
        futures[0].add_done_callback(lambda _: trace.append("before"))
        gathered = api.gather(*futures)
        futures[0].add_done_callback(lambda _: trace.append(("after", gathered.done())))
        futures[2].add_done_callback(lambda _: trace.append(("last", gathered.done())))
        gathered.add_done_callback(lambda _: trace.append("gathered"))
        for future in futures:
            future.set_result(None)
            loop.call_soon(trace.append, "turn")
        trace.append(await gathered)

    assert_same_functions(scenario)


def test_foreign_futures_are_children():
    async def scenario(api, trace):
        loop = asyncio.get_running_loop()
        kinds = [asyncio.Future, asyncio.futures._PyFuture, ferrio.Future]
        for end in (lambda future: future.set_result(1), lambda future: future.cancel("x")):
            futures = [kind(loop=loop) for kind in kinds]
            gathered = api.gather(*futures, returning(2), return_exceptions=True)
            for future in futures:
                end(future)
            trace.append(masked(await gathered))
        futures = [kind(loop=loop) for kind in kinds]
        gathered = api.gather(*futures)
        trace.append((gathered.cancel("y"), [future._cancel_message for future in futures], await outcome_of(gathered)))

    assert_same_functions(scenario)


def test_children_of_its_own_making_may_be_lost():
    async def scenario(api, trace):
        future = asyncio.get_running_loop().create_future()

        async def waiting():
            await future

        task = asyncio.create_task(waiting())
        gathered = api.gather(waiting(), task)
        trace.append([child._log_destroy_pending for child in gathered._children])
        future.set_result(None)
        await gathered

    assert_same_functions(scenario)


def test_it_is_asyncios_kind_of_future():
    async def main():
        gathered = ferrio.gather(returning(1))
        assert isinstance(gathered, asyncio.Future)
        assert isinstance(gathered, ferrio.Future)
        assert isinstance(gathered, asyncio.tasks._GatheringFuture)
        assert repr(gathered) == "<_GatheringFuture pending>"
        assert "gather.<locals>._done_callback()" in repr(gathered._children[0])
        (pair,) = gathered._children[0]._callbacks
        callback, _context = pair
        assert gathered._children[0].remove_done_callback(callback) == 1
        gathered._children[0].add_done_callback(callback)
        with pytest.raises(TypeError):
            type(gathered)()
        assert await gathered == [1]

    ferrio.run(main())


@pytest.mark.parametrize("factory", [ferrio.new_event_loop, asyncio.SelectorEventLoop])
def test_without_a_running_loop_it_takes_the_current_one(factory):
    loop = factory()
    futures = [loop.create_future() for _ in range(2)]
    gathered = ferrio.gather(*futures)
    assert gathered.get_loop() is loop
    for future in futures:
        future.set_result(1)
    assert loop.run_until_complete(gathered) == [1, 1]
    asyncio.set_event_loop(loop)
    try:
        assert ferrio.gather().result() == []
        assert loop.run_until_complete(ferrio.gather(returning(3))) == [3]
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def test_without_any_loop_it_fails_as_asyncios():
    asyncio.set_event_loop(None)
    for api in (asyncio, ferrio):
        coroutine = returning(1)
        for arguments in ((coroutine,), ()):
            with pytest.raises(RuntimeError, match="no current event loop"):
                api.gather(*arguments)
        coroutine.close()


def test_cycles_through_it_are_collected():
    loop = ferrio.new_event_loop()

    class Marker:
        pass

    marker = Marker()
    future = loop.create_future()
    gathered = ferrio.gather(future)
    future.marker, future.cycle = marker, gathered
    seen = weakref.ref(marker)
    del marker, future, gathered
    gc.collect()
    assert seen() is None
    loop.close()


@pytest.mark.skipif(sys.version_info < (3, 14), reason="kept since 3.14")
def test_children_know_who_waits():
    async def scenario(api, trace):
        futures = [asyncio.get_running_loop().create_future() for _ in range(2)]
        gathered = api.gather(*futures)
        for future in futures:
            trace.append(future._asyncio_awaited_by == {asyncio.current_task()})
        futures[0].set_exception(LookupError())
        trace.append(await outcome_of(gathered))
        trace.append([future._asyncio_awaited_by for future in futures])

    assert_same_functions(scenario)
