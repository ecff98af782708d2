"""The server and client of the library `websockets`: messages, fragments, compression, pings, closing, broadcast."""

import asyncio
import os
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK

from tests.interop import clean
from tests.support import certificates

TLS = "tls" in sys.argv
LARGE = os.urandom(700_000)
listeners: set[ServerConnection] = set()


async def serve_one(connection: ServerConnection) -> None:
    path = connection.request.path
    if path == "/listen":
        listeners.add(connection)
        await connection.wait_closed()
        listeners.discard(connection)
    elif path == "/close":
        await connection.close(4000, "a reason")
    elif path == "/fail":
        connection.transport.abort()
    elif path == "/deaf":
        connection.transport.pause_reading()
        await asyncio.sleep(1)
        connection.transport.abort()
    else:
        async for message in connection:
            await connection.send(message)


def client(url: str, path: str = "/", **options: object) -> connect:
    if TLS:
        options["ssl"] = certificates.client_context()
    return connect(url + path, **options)


async def messages(url: str, **options: object) -> None:
    async with client(url, max_size=None, **options) as connection:
        for number in range(200):
            await connection.send(f"message {number}")
            assert await connection.recv() == f"message {number}"
        await connection.send(LARGE)
        assert await connection.recv() == LARGE
        for number in range(500):
            await connection.send(str(number))
        assert [await connection.recv() for _ in range(500)] == [str(number) for number in range(500)]


async def fragments(url: str) -> None:
    async def parts():
        for start in range(0, len(LARGE), 9_999):
            yield LARGE[start : start + 9_999]

    async with client(url, max_size=None) as connection:
        sending = asyncio.create_task(connection.send(parts()))
        assert await connection.recv() == LARGE
        await sending
        await connection.send(["ein ", "zwei ", "drei"])
        assert "".join([part async for part in connection.recv_streaming()]) == "ein zwei drei"


async def endings(url: str) -> None:
    async with client(url) as connection:
        latency = await (await connection.ping())
        assert 0 <= latency < 10
        await connection.close(1001, "going")
        assert (connection.close_code, connection.close_reason) == (1001, "going")
    async with client(url, "/close") as connection:
        try:
            await connection.recv()
        except ConnectionClosedError as error:
            print(error.rcvd.code, error.rcvd.reason)
    async with client(url, "/fail") as connection:
        try:
            await connection.recv()
        except ConnectionClosedError as error:
            print(error.rcvd, error)
    async with client(url, "/deaf", ping_interval=0.1, ping_timeout=0.1) as connection:
        try:
            await connection.recv()
        except ConnectionClosedError as error:
            print(error.sent.code, error.sent.reason)
    connection = await client(url)
    receiving = asyncio.create_task(connection.recv())
    await asyncio.sleep(0)
    receiving.cancel()
    assert isinstance((await asyncio.gather(receiving, return_exceptions=True))[0], asyncio.CancelledError)
    await connection.send("still there")
    assert await connection.recv() == "still there"
    await connection.close()
    try:
        await connection.recv()
    except ConnectionClosedOK as error:
        print(error.sent.code)


async def broadcasts(url: str) -> None:
    connections = await asyncio.gather(*(client(url, "/listen") for _ in range(50)))
    while len(listeners) < 50:
        await asyncio.sleep(0.001)
    for number in range(20):
        broadcast(listeners, f"news {number}")
    for connection in connections:
        assert [await connection.recv() for _ in range(20)] == [f"news {number}" for number in range(20)]
    await asyncio.gather(*(connection.close() for connection in connections))
    while listeners:
        await asyncio.sleep(0.001)


async def main() -> None:
    context = certificates.server_context() if TLS else None
    async with serve(serve_one, "127.0.0.1", 0, max_size=None, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"ws{'s' * TLS}://localhost:{port}"
        await messages(url)
        await messages(url, compression=None)
        print("messages")
        await fragments(url)
        await endings(url)
        await broadcasts(url)
        waiting = await client(url)
        server.close()
        try:
            await waiting.recv()
        except (ConnectionClosedOK, ConnectionClosedError) as error:
            print(error.rcvd.code)
        await waiting.close()


clean.run(main)
