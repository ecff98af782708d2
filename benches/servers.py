"""Servers: opened and closed, and connections made to one in this process."""

import asyncio
from functools import partial

from .workload import workload


class Greeter(asyncio.Protocol):
    def connection_made(self, transport):
        transport.write(b"hello")
        transport.close()


class Caller(asyncio.Protocol):
    def __init__(self, done):
        self.done = done
        self.received = b""

    def data_received(self, data):
        self.received += data

    def connection_lost(self, exc):
        self.done.set_result(self.received)


@workload
async def open_and_close() -> int:
    loop = asyncio.get_running_loop()
    for _ in range(200):
        server = await loop.create_server(Greeter, "127.0.0.1", 0)
        server.close()
        await server.wait_closed()
    return 200


@workload
async def connect_one_by_one() -> int:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Greeter, "127.0.0.1", 0)
    for _ in range(200):
        done = loop.create_future()
        await loop.create_connection(partial(Caller, done), *server.sockets[0].getsockname())
        assert await done == b"hello"
    server.close()
    return 200


@workload
async def connect_hundred_at_once() -> int:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Greeter, "127.0.0.1", 0, backlog=200)
    address = server.sockets[0].getsockname()

    async def call() -> bytes:
        done = loop.create_future()
        await loop.create_connection(lambda: Caller(done), *address)
        return await done

    assert await asyncio.gather(*(call() for _ in range(100))) == [b"hello"] * 100
    server.close()
    return 100
