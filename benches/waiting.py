"""Waiting for several tasks, or for one with a time limit."""

import asyncio

from .workload import workload


async def _body() -> int:
    return 1


async def _turn() -> int:
    await asyncio.sleep(0)
    return 1


@workload
async def task_group_of_thousand() -> int:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_body()) for _ in range(1000)]
    assert sum(task.result() for task in tasks) == 1000
    return 1000


@workload
async def as_completed_of_thousand() -> int:
    assert sum([await done for done in asyncio.as_completed([_body() for _ in range(1000)])]) == 1000
    return 1000


@workload
async def wait_for_the_first_of_thirty() -> int:
    async def turns(count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    pending = {asyncio.create_task(turns(2 * number + 1)) for number in range(30)}
    waits = 0
    while pending:
        _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        waits += 1
    return waits


@workload
async def wait_for_what_is_quick() -> int:
    assert sum([await asyncio.wait_for(_body(), 10) for _ in range(2000)]) == 2000
    return 2000


@workload
async def wait_for_a_task() -> int:
    assert sum([await asyncio.wait_for(asyncio.create_task(_turn()), 10) for _ in range(1000)]) == 1000
    return 1000


@workload
async def timeout_that_expires() -> int:
    async def late() -> int:
        try:
            async with asyncio.timeout(0):
                await asyncio.sleep(10)
        except TimeoutError:
            return 1
        return 0

    assert sum(await asyncio.gather(*(late() for _ in range(200)))) == 200
    return 200


@workload
async def shield() -> int:
    assert sum([await asyncio.shield(_turn()) for _ in range(1000)]) == 1000
    return 1000


@workload
async def cancel_sleeping_tasks() -> int:
    tasks = [asyncio.create_task(asyncio.sleep(100)) for _ in range(2000)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)
    return 2000
