"""aiohttp's client: twenty tasks of one session, each reads a page and counts its links."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp

TASKS, PAGES = 20, 10


@contextlib.asynccontextmanager
async def connected(address: str) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    async with aiohttp.ClientSession() as session:

        async def pages() -> int:
            for _ in range(PAGES):
                async with session.get(address) as response:
                    assert (await response.text()).count("href=") == 100
            return PAGES

        async def operate() -> int:
            return sum(await asyncio.gather(*(pages() for _ in range(TASKS))))

        yield operate
