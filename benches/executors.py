"""Work that runs in threads."""

import asyncio

from .workload import workload


@workload
async def to_thread_one_by_one() -> int:
    for number in range(500):
        assert await asyncio.to_thread(int, number) == number
    return 500


@workload
async def thousand_calls_at_once() -> int:
    loop = asyncio.get_running_loop()
    results = await asyncio.gather(*(loop.run_in_executor(None, int, number) for number in range(1000)))
    assert results == list(range(1000))
    return 1000
