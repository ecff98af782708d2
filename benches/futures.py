"""Futures alone: results, callbacks, and futures completed by other threads."""

import asyncio
import concurrent.futures

from .workload import workload


@workload
async def callbacks() -> int:
    loop = asyncio.get_running_loop()
    called: list[object] = []
    for _ in range(1000):
        future = loop.create_future()
        for _ in range(5):
            future.add_done_callback(called.append)
        future.set_result(None)
    while len(called) < 5000:
        await asyncio.sleep(0)
    return 5000


@workload
async def result_that_is_there() -> int:
    future = asyncio.get_running_loop().create_future()
    future.set_result(1)
    total = 0
    for _ in range(20_000):
        total += await future
    assert total == 20_000
    return 20_000


@workload
async def exception() -> int:
    loop, caught = asyncio.get_running_loop(), 0
    for _ in range(2000):
        future = loop.create_future()
        loop.call_soon(future.set_exception, ValueError())
        try:
            await future
        except ValueError:
            caught += 1
    assert caught == 2000
    return 2000


@workload
async def wrapped_future() -> int:
    loop = asyncio.get_running_loop()
    for number in range(1000):
        outer: concurrent.futures.Future[int] = concurrent.futures.Future()
        loop.call_soon(outer.set_result, number)
        assert await asyncio.wrap_future(outer) == number
    return 1000
