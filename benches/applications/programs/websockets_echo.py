"""An echo server of websockets, without compression."""

import asyncio

from websockets.asyncio.server import ServerConnection, serve as listen


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def serve() -> None:
    async with listen(echo, "127.0.0.1", 0, compression=None) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await asyncio.Event().wait()
