"""Unix sockets: transports and streams, both ends in this process."""

import asyncio
import os
import tempfile

from .connections import Echo
from .workload import workload


class PingPong(asyncio.Protocol):
    def __init__(self, message, times, done):
        self.message, self.times, self.done = message, times, done
        self.missing = len(message)

    def connection_made(self, transport):
        self.transport = transport
        transport.write(self.message)

    def data_received(self, data):
        self.missing -= len(data)
        if self.missing:
            return
        self.missing, self.times = len(self.message), self.times - 1
        if self.times:
            self.transport.write(self.message)
        else:
            self.transport.close()

    def connection_lost(self, exc):
        self.done.set_result(self.times)


@workload
async def echo_1k() -> int:
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "socket")
        server = await loop.create_unix_server(Echo, path)
        done = loop.create_future()
        await loop.create_unix_connection(lambda: PingPong(bytes(1024), 2000, done), path)
        assert await done == 0
        server.close()
    return 2000


@workload
async def stream_lines() -> int:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()
        ended.set()

    ended = asyncio.Event()
    line = b"x" * 99 + b"\n"
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "socket")
        server = await asyncio.start_unix_server(echo, path)
        reader, writer = await asyncio.open_unix_connection(path)
        for _ in range(500):
            writer.write(line)
            assert await reader.readline() == line
        writer.close()
        await writer.wait_closed()
        # A handler that is cancelled because the program ends is logged by 3.11.
        await ended.wait()
        server.close()
    return 500
