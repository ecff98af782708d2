"""Locks, semaphores, events, conditions and barriers."""

import asyncio

from .workload import workload


@workload
async def lock_that_is_free() -> int:
    lock = asyncio.Lock()
    for _ in range(5000):
        async with lock:
            pass
    return 5000


@workload
async def lock_of_hundred_tasks() -> int:
    lock = asyncio.Lock()
    entered = 0

    async def body() -> None:
        nonlocal entered
        for _ in range(20):
            async with lock:
                entered += 1
                await asyncio.sleep(0)

    await asyncio.gather(*(body() for _ in range(100)))
    assert entered == 2000
    return entered


@workload
async def semaphore_of_ten() -> int:
    semaphore = asyncio.Semaphore(10)
    inside = most = 0

    async def body() -> None:
        nonlocal inside, most
        async with semaphore:
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(body() for _ in range(2000)))
    assert most == 10
    return 2000


@workload
async def event_for_thousand() -> int:
    event = asyncio.Event()
    tasks = [asyncio.create_task(event.wait()) for _ in range(1000)]
    await asyncio.sleep(0)
    event.set()
    assert all(await asyncio.gather(*tasks))
    return 1000


@workload
async def condition_to_and_fro() -> int:
    condition = asyncio.Condition()
    turn, times = 0, 1000

    async def body(mine: int) -> None:
        nonlocal turn

        def is_mine() -> bool:
            return turn % 2 == mine

        for _ in range(times):
            async with condition:
                await condition.wait_for(is_mine)
                turn += 1
                condition.notify()

    await asyncio.gather(body(0), body(1))
    assert turn == 2 * times
    return turn


@workload
async def barrier_of_ten() -> int:
    barrier = asyncio.Barrier(10)
    passed = 0

    async def body() -> None:
        nonlocal passed
        for _ in range(100):
            await barrier.wait()
            passed += 1

    await asyncio.gather(*(body() for _ in range(10)))
    assert passed == 1000
    return passed
