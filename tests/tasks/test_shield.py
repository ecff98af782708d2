"""shield() and ensure_future() behave as asyncio's, with native and foreign futures, on both loops."""

import asyncio
import gc
import sys

import pytest

import ferrio
from tests.support.coroutines import failing, returning
from tests.support.differential import assert_same_functions, masked, outcome, outcome_of


class Awaitable:
    def __init__(self, coroutine):
        self.coroutine = coroutine

    def __await__(self):
        return self.coroutine.__await__()


def test_it_ends_as_what_it_shields():
    async def scenario(api, trace):
        for make in (lambda: returning(1, 2), lambda: failing(LookupError("failed"), 2), lambda: returning(None)):
            trace.append(await outcome_of(api.shield(make())))
            trace.append(await outcome_of(api.shield(Awaitable(make()))))
            trace.append(await outcome_of(api.shield(asyncio.create_task(make()))))
        future = asyncio.get_running_loop().create_future()
        shield = api.shield(future)
        trace.append((shield is future, masked(repr(shield)).split(" cb=")[0], future.cancel("enough")))
        trace.append((await outcome_of(shield), shield.cancelled()))
        trace.append((api.shield(future) is future, outcome(api.shield, 5)))

    assert_same_functions(scenario)


@pytest.mark.parametrize("debug", [False, True])
def test_it_is_cancelled_alone(debug):
    async def scenario(api, trace):
        async def waiting(awaitable):
            return await api.shield(awaitable)

        asyncio.get_running_loop().slow_callback_duration = 100
        for make in (lambda: returning(1, 3), lambda: failing(LookupError("unseen"), 3)):
            inner = asyncio.create_task(make(), name="inner")
            task = asyncio.create_task(waiting(inner))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            trace.append((len(inner._callbacks), task.cancel("go"), await outcome_of(task)))
            trace.append((inner.done(), inner._callbacks and len(inner._callbacks)))
            await asyncio.wait([inner])
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            trace.append((inner.done(), inner.cancelled()))
            inner._log_traceback = False
            del inner, task
            gc.collect()

    assert_same_functions(scenario, debug=debug)


def test_an_exception_nobody_waits_for_is_reported_as_by_asyncio():
    async def scenario(api, trace):
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: trace.append((context["message"], str(context["exception"]))))
        for cancelled_first in (True, False):
            inner = loop.create_future()
            outer = api.shield(inner)
            if cancelled_first:
                outer.cancel()
                await asyncio.sleep(0)
                inner.set_exception(LookupError("unseen"))
            else:
                inner.set_exception(LookupError("unseen"))
                outer.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            trace.append("dropped")
            del inner, outer
            gc.collect()
        trace.append("end")

    assert_same_functions(scenario)


def test_foreign_futures_are_shielded():
    async def scenario(api, trace):
        loop = asyncio.get_running_loop()
        for kind in (asyncio.Future, asyncio.futures._PyFuture, ferrio.Future):
            for end in (
                lambda future: future.set_result(1),
                lambda future: future.set_exception(LookupError("failed")),
                lambda future: future.cancel("x"),
            ):
                future = kind(loop=loop)
                outers = [api.shield(future), api.shield(future)]
                outers[0].cancel()
                await asyncio.sleep(0)
                trace.append(len(future._callbacks))
                end(future)
                trace.append(await outcome_of(outers[1]))

    assert_same_functions(scenario)


def test_ensure_future_takes_what_asyncios_takes():
    async def scenario(api, trace):
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        trace.append((api.ensure_future(future) is future, api.ensure_future(future, loop=loop) is future))
        other = asyncio.new_event_loop()
        trace.append(outcome(api.ensure_future, future, loop=other))
        other.close()
        for wrong in (5, "text", None, returning, [returning]):
            trace.append(outcome(api.ensure_future, wrong))
        task = api.ensure_future(Awaitable(returning(2, 1)))
        trace.append((type(task.get_coro()).__name__, task.get_coro().__name__, await task))
        coroutine = returning(3)
        trace.append((outcome(api.ensure_future, coroutine, loop=other), outcome(coroutine.send, None)))
        future.cancel()

    assert_same_functions(scenario)


def test_futures_and_coroutines_are_distinguished_as_by_asyncio():
    class Old:
        _asyncio_future_blocking = None

    class Own:
        _asyncio_future_blocking = False

    class Delegating:
        def __getattr__(self, name):
            return lambda: None

    def generator():
        yield

    async def asynchronous_generator():
        yield

    async def scenario(api, trace):
        loop = asyncio.get_running_loop()
        coroutine = returning(1)
        future = loop.create_future()
        kinds = [coroutine, future, generator(), asynchronous_generator(), Awaitable(coroutine), Old(), Own(), Own]
        kinds += [Delegating(), 5, None, returning, asyncio.Future(loop=loop), ferrio.Future, ferrio.Future(loop=loop)]
        kinds += [asyncio.sleep(0)]
        for kind in kinds:
            trace.append((api.isfuture(kind), api.iscoroutine(kind), api.iscoroutine(kind)))
        coroutine.close()
        kinds[-1].close()

    assert_same_functions(scenario)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="kept since 3.14")
def test_the_inner_future_knows_who_waits():
    async def scenario(api, trace):
        inner = asyncio.get_running_loop().create_future()
        outers = [api.shield(inner)]
        trace.append((inner._asyncio_awaited_by == {asyncio.current_task()}, len(inner._callbacks)))
        outers[0].cancel()
        await asyncio.sleep(0)
        trace.append((inner._asyncio_awaited_by, inner._callbacks))
        outers.append(api.shield(inner))
        inner.set_result(5)
        trace.append((await outers[1], inner._asyncio_awaited_by))

    assert_same_functions(scenario)
