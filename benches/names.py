"""Name lookup that needs no server: numeric addresses and names of this machine."""

import asyncio

from .workload import workload


@workload
async def address_of_a_number() -> int:
    loop = asyncio.get_running_loop()
    for _ in range(500):
        assert await loop.getaddrinfo("127.0.0.1", 80, type=1)
    return 500


@workload
async def address_of_localhost() -> int:
    loop = asyncio.get_running_loop()
    for _ in range(100):
        assert await loop.getaddrinfo("localhost", 80, type=1)
    return 100
