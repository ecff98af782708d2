"""A peer does not read what it is sent, so the task that writes to it waits for ever."""

import asyncio


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x" * 1_000_000)
        await writer.drain()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    print("a client connects, and reads no more than the first bytes", flush=True)
    await reader.readexactly(10)
    await asyncio.sleep(3600)
    writer.close()


if __name__ == "__main__":
    asyncio.run(main())
