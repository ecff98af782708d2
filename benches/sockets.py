"""The loop's own socket methods."""

import asyncio
import socket

from .workload import workload


async def _ping_pong(size: int, times: int) -> int:
    loop = asyncio.get_running_loop()
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    message = bytes(size)

    async def receive(sock):
        received = 0
        while received < size:
            received += len(await loop.sock_recv(sock, size))

    async def echo():
        for _ in range(times):
            await receive(right)
            await loop.sock_sendall(right, message)

    echoing = asyncio.create_task(echo())
    for _ in range(times):
        await loop.sock_sendall(left, message)
        await receive(left)
    await echoing
    left.close()
    right.close()
    return times


@workload
async def ping_pong_1k() -> int:
    return await _ping_pong(1024, 2000)


@workload
async def ping_pong_100k() -> int:
    return await _ping_pong(100 * 1024, 500)
