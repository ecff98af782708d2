"""TCP: an echo server on the measured loop, with its clients in another process without asyncio."""

import asyncio
import subprocess
import sys

from .workload import Rate, workload


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


class BufferedEcho(asyncio.BufferedProtocol):
    def connection_made(self, transport):
        self.transport = transport
        self.buffer = bytearray(1 << 16)
        self.view = memoryview(self.buffer)

    def get_buffer(self, sizehint):
        return self.buffer

    def buffer_updated(self, count):
        self.transport.write(bytes(self.view[:count]))


async def _echo(factory, size: int, connections: int, times: int) -> Rate:
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    return await _with_clients(server, "echo", size, connections, times)


async def _with_clients(server, *arguments) -> Rate:
    port = server.sockets[0].getsockname()[1]
    command = [sys.executable, "-S", "-m", "benches.clients", str(port), *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    output, _ = await asyncio.to_thread(process.communicate)
    server.close()
    assert process.returncode == 0
    return Rate(output)


@workload
async def echo_1k_10_connections() -> Rate:
    return await _echo(Echo, 1024, 10, 1000)


@workload
async def echo_1k_100_connections() -> Rate:
    return await _echo(Echo, 1024, 100, 100)


@workload
async def echo_100k_10_connections() -> Rate:
    return await _echo(Echo, 100 * 1024, 10, 200)


@workload
async def echo_buffered_1k_10_connections() -> Rate:
    return await _echo(BufferedEcho, 1024, 10, 1000)


@workload
async def stream_lines() -> Rate:
    async def echo(reader, writer):
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    return await _with_clients(server, "echo", 1024, 10, 500)


@workload
async def accept() -> Rate:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0, backlog=1024)
    return await _with_clients(server, "connect", 16, 1, 2000)
