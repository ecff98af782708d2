"""FastAPI under uvicorn with httpx and websockets as clients; the arguments: HTTP, WEBSOCKETS, tcp or tls."""

import asyncio
import contextlib
import hashlib
import os
import socket
import sys
import warnings
from collections.abc import AsyncIterator

import httpx
import uvicorn
from fastapi_app import app
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from tests.interop import clean
from tests.support import certificates

HTTP, WEBSOCKETS, TRANSPORT = sys.argv[1:]
TLS = TRANSPORT == "tls"
DATA = os.urandom(1_500_000)


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[str]:
    files = certificates.directory()
    tls = {"ssl_certfile": files / "server.pem", "ssl_keyfile": files / "server.key"} if TLS else {}
    options = {"http": HTTP, "ws": WEBSOCKETS, "log_level": "warning", "ws_ping_interval": 0.05, **tls}
    server = uvicorn.Server(uvicorn.Config(app, **options))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        task = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            await asyncio.sleep(0.01)
        try:
            yield f"localhost:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


async def requests(client: httpx.AsyncClient) -> None:
    for kind in ("async", "thread"):
        answers = await asyncio.gather(*(client.get(f"/{kind}/{number}") for number in range(50)))
        assert [answer.json() for answer in answers] == list(range(50))
    assert (await client.get("/depends")).json() == "resource"
    assert (await client.get("/nowhere")).status_code == 404
    assert (await client.get("/async/nothing")).status_code == 422


async def background(client: httpx.AsyncClient) -> None:
    assert (await client.post("/background")).json() == "begun"
    await recorded(client, ["taken", "given back", "async", "thread"])


async def recorded(client: httpx.AsyncClient, expected: list[str]) -> None:
    async with asyncio.timeout(10):
        while (record := (await client.get("/record")).json()) != expected:
            assert record == expected[: len(record)], record
            await asyncio.sleep(0.01)


async def streams(client: httpx.AsyncClient) -> None:
    async with client.stream("GET", "/stream/200") as response:
        assert sum([len(chunk) async for chunk in response.aiter_bytes()]) == 2_000_000
    async with client.stream("GET", "/stream/1000000") as response:
        async for _ in response.aiter_bytes():
            break
    await recorded(client, ["taken", "given back", "async", "thread", "streamed", "streamed"])
    assert (await client.get("/blocking/100")).content == b"y" * 100_000
    assert b"A FastAPI application" in (await client.get("/file")).content
    answer = await client.post("/upload", files={"file": ("data.bin", DATA)})
    assert answer.json() == {"name": "data.bin", "sum": hashlib.sha256(DATA).hexdigest()}


async def giving_up(client: httpx.AsyncClient) -> None:
    try:
        await client.get("/slow", timeout=0.1)
    except httpx.ReadTimeout as error:
        print(type(error).__name__)
    task = asyncio.create_task(client.get("/slow"))
    await asyncio.sleep(0.1)
    task.cancel()
    assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)


async def websockets(place: str) -> None:
    url = f"ws{'s' * TLS}://{place}"
    options = {"ssl": certificates.client_context()} if TLS else {}
    async with connect(f"{url}/websocket", subprotocols=["upper"], **options) as connection:
        assert connection.subprotocol == "upper"
        for number in range(100):
            await connection.send(f"message {number}")
            assert await connection.recv() == f"MESSAGE {number}"
        await connection.send("x" * 500_000)
        assert await connection.recv() == "X" * 500_000
        await asyncio.sleep(0.2)  # some pings of the server's
        await connection.send("close")
        try:
            await connection.recv()
        except ConnectionClosedError as error:
            print(error.rcvd.code, error.rcvd.reason)
    try:
        await connect(f"{url}/refused", **options)
    except InvalidStatus as error:
        print(error.response.status_code)
    async with connect(f"{url}/websocket", subprotocols=["upper"], **options) as connection:
        await connection.send("hello")
        assert await connection.recv() == "HELLO"


async def main() -> None:
    async with serving() as place:
        verify = certificates.client_context() if TLS else True
        async with httpx.AsyncClient(base_url=f"http{'s' * TLS}://{place}", verify=verify, timeout=30) as client:
            await requests(client)
            await background(client)
            await streams(client)
            await giving_up(client)
            await websockets(place)
            expected = ["taken", "given back", "async", "thread", "streamed", "streamed", "websocket 1000"]
            await recorded(client, expected)
            print((await client.get("/kinds")).json())


warnings.filterwarnings("ignore", "The `websockets` implementation is deprecated")
clean.GRACE = 15  # a thread of anyio's
clean.run(main)
