"""asyncpg: ten connections of a pool, each a query of one row at a time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg

TASKS, QUERIES = 10, 20


@contextlib.asynccontextmanager
async def connected(address: str) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    async with asyncpg.create_pool(host=address, user="postgres", database="postgres", min_size=TASKS) as pool:

        async def queries() -> int:
            async with pool.acquire() as connection:
                for number in range(QUERIES):
                    assert await connection.fetchval("SELECT $1::int + 1", number) == number + 1
            return QUERIES

        async def operate() -> int:
            return sum(await asyncio.gather(*(queries() for _ in range(TASKS))))

        yield operate
