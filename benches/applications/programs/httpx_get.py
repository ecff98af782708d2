"""httpx: one client reads a page again and again."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx

PAGES = 10


@contextlib.asynccontextmanager
async def connected(address: str) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    async with httpx.AsyncClient() as client:

        async def operate() -> int:
            for _ in range(PAGES):
                response = await client.get(address)
                assert response.text.count("href=") == 100
            return PAGES

        yield operate
