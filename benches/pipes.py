"""Pipes as transports, both ends in this process."""

import asyncio
import os

from .workload import workload


class Collecting(asyncio.Protocol):
    def __init__(self, size, done):
        self.missing, self.done = size, done

    def data_received(self, data):
        self.missing -= len(data)

    def connection_lost(self, exc):
        self.done.set_result(self.missing)


async def _through_a_pipe(size: int, times: int) -> int:
    loop = asyncio.get_running_loop()
    read, write = os.pipe()
    done = loop.create_future()
    await loop.connect_read_pipe(lambda: Collecting(size * times, done), os.fdopen(read, "rb", 0))
    transport, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(write, "wb", 0))
    for _ in range(times):
        transport.write(bytes(size))
        await asyncio.sleep(0)
    transport.close()
    assert await done == 0
    return times


@workload
async def writes_of_1k() -> int:
    return await _through_a_pipe(1024, 1000)


@workload
async def writes_of_100k() -> int:
    return await _through_a_pipe(100 * 1024, 100)


@workload
async def connect_and_close() -> int:
    for _ in range(100):
        await _through_a_pipe(1, 1)
    return 100
