"""Queues between producers and consumers."""

import asyncio

from .workload import workload


async def _pass_on(queue: asyncio.Queue[int], items: int, consumers: int) -> int:
    received = 0

    async def produce() -> None:
        for number in range(items):
            await queue.put(number)
        for _ in range(consumers):
            await queue.put(-1)

    async def consume() -> None:
        nonlocal received
        while await queue.get() >= 0:
            received += 1

    await asyncio.gather(produce(), *(consume() for _ in range(consumers)))
    assert received == items
    return items


@workload
async def bounded() -> int:
    return await _pass_on(asyncio.Queue(10), 5000, 2)


@workload
async def unbounded() -> int:
    return await _pass_on(asyncio.Queue(), 5000, 1)


@workload
async def by_priority() -> int:
    queue: asyncio.PriorityQueue[int] = asyncio.PriorityQueue()
    for number in range(2000):
        await queue.put(number * 7919 % 2000)
    assert [await queue.get() for _ in range(2000)] == list(range(2000))
    return 2000


@workload
async def hand_to_hand() -> int:
    return await _pass_on(asyncio.Queue(1), 3000, 1)
