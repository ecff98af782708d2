"""What `wait_for` raises when it is cancelled again and again has the context that it has on stock asyncio.

Before 3.12 it goes on after a cancel until its task has ended, so that a second one comes while the first is handled.
"""

import asyncio

import pytest

from tests.random_programs.instructions import shown
from tests.random_programs.observation import MODES


async def stubborn(how):
    try:
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if how == "raises":
            raise ValueError("stubborn") from None
        if how == "returns":
            return 7
        raise


def waited_for(what):
    if what == "queue":
        return asyncio.Queue().get()
    if what == "future":
        return asyncio.get_running_loop().create_future()
    return stubborn(what)


async def direct(what, limit):
    return await asyncio.wait_for(waited_for(what), limit)


async def in_generator(what, limit):
    async def generator():
        yield await direct(what, limit)

    async for each in generator():
        return each


async def in_except(what, limit):
    try:
        raise KeyError("handled")
    except KeyError:
        return await direct(what, limit)


async def in_another(what, limit):
    return await asyncio.wait_for(direct(what, limit), limit)


async def in_timeouts(what, limit):
    async with asyncio.timeout(-1):
        async with asyncio.timeout(1):
            return await in_generator(what, limit)


async def outcome(start, what, limit, cancels, gap):
    task = asyncio.create_task(start(what, limit))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for number in range(cancels):
        task.cancel(number)
        for _ in range(gap):
            await asyncio.sleep(0)
    try:
        return await task
    except (Exception, asyncio.CancelledError) as error:
        return shown(error, 4)


async def everything(loop):
    def tick():
        loop.turn += 1
        loop.call_soon(tick)

    loop.call_soon(tick)
    seen = {}
    for start in (direct, in_generator, in_except, in_another, in_timeouts):
        for what in ("queue", "future", "reraises", "raises", "returns"):
            for cancels in range(3):
                for gap in range(3):
                    for limit in (-1, 0, 3, 1000) if cancels else (-1, 0, 3):
                        case = (start.__name__, what, cancels, gap, limit)
                        seen[case] = await outcome(start, what, limit, cancels, gap)
    return seen


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "stock"])
def test_contexts_of_what_wait_for_raises_are_asyncios(mode):
    def observe(mode):
        make_loop, in_place = MODES[mode]
        with in_place():
            loop = make_loop()
            loop.set_exception_handler(lambda *_: None)
            try:
                return loop.run_until_complete(everything(loop))
            finally:
                loop.close()

    stock, ours = observe("stock"), observe(mode)
    assert {case: outcome for case, outcome in ours.items() if outcome != stock[case]} == {}
