"""redis-py: ten tasks, each a pipeline of 50 SET and 50 GET at a time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from redis.asyncio import Redis

TASKS, PAIRS = 10, 50


@contextlib.asynccontextmanager
async def connected(address: str) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    client = Redis(unix_socket_path=address)

    async def pipelined(task: int) -> int:
        pipeline = client.pipeline(transaction=False)
        for number in range(PAIRS):
            pipeline.set(f"{task}:{number}", number)
            pipeline.get(f"{task}:{number}")
        answers = await pipeline.execute()
        assert answers[-1] == b"%d" % (PAIRS - 1)
        return len(answers)

    async def operate() -> int:
        return sum(await asyncio.gather(*map(pipelined, range(TASKS))))

    yield operate
    await client.aclose()
