"""Stream readers and writers, both ends in this process."""

import asyncio

from .workload import workload

LINE = b"x" * 99 + b"\n"


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()
    writer.close()


async def _end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Closes the connection when the other end has: a handler that is cancelled is reported by Python 3.11."""
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


@workload
async def lines_to_and_fro() -> int:
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for _ in range(500):
            writer.write(LINE)
            assert await reader.readline() == LINE
        await _end(reader, writer)
    return 500


@workload
async def lines_in_a_row() -> int:
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(LINE * 2000)
        for _ in range(2000):
            assert await reader.readline() == LINE
        await _end(reader, writer)
    return 2000


@workload
async def lines_of_a_fed_reader() -> int:
    reader = asyncio.StreamReader()
    reader.feed_data(LINE * 5000)
    reader.feed_eof()
    lines = 0
    while await reader.readline():
        lines += 1
    assert lines == 5000
    return lines


@workload
async def hundred_connections_opened() -> int:
    served = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        served += 1
        writer.write(await reader.readexactly(5))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        for _ in range(100):
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"hello")
            assert await reader.read() == b"hello"
            writer.close()
            await writer.wait_closed()
    assert served == 100
    return 100
