"""Futures, tasks and switching between them."""

import asyncio

from .workload import workload


@workload
async def future_result() -> int:
    loop = asyncio.get_running_loop()
    for _ in range(5000):
        future = loop.create_future()
        loop.call_soon(future.set_result, None)
        await future
    return 5000


@workload
async def create_and_await() -> int:
    async def body():
        return 1

    assert sum([await asyncio.create_task(body()) for _ in range(5000)]) == 5000
    return 5000


@workload
async def gather_ten_thousand() -> int:
    async def body():
        return 1

    assert sum(await asyncio.gather(*(body() for _ in range(10_000)))) == 10_000
    return 10_000


async def _switch(tasks: int, times: int) -> int:
    async def body():
        for _ in range(times):
            await asyncio.sleep(0)

    await asyncio.gather(*(body() for _ in range(tasks)))
    return tasks * times


@workload
async def switch_one_task() -> int:
    return await _switch(1, 10_000)


@workload
async def switch_hundred_tasks() -> int:
    return await _switch(100, 200)


@workload
async def timeout_not_reached() -> int:
    for _ in range(2000):
        async with asyncio.timeout(10):
            await asyncio.sleep(0)
    return 2000
