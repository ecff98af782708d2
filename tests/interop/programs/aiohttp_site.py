"""aiohttp's server and client in one process, over TCP or, with the argument `tls`, over TLS."""

import asyncio
import contextlib
import hashlib
import os
import socket
import struct
import sys
import tempfile
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

from tests.interop import clean
from tests.support import certificates

TLS = "tls" in sys.argv
FILE = os.urandom(1 << 16) * 48
started: list[str] = []
cancelled: list[str] = []


async def hello(request: web.Request) -> web.Response:
    return web.json_response({"query": dict(request.query), "port": request.transport.get_extra_info("peername")[1]})


async def upload(request: web.Request) -> web.Response:
    sums = {}
    async for part in await request.multipart():
        digest = hashlib.sha256()
        while chunk := await part.read_chunk():
            digest.update(chunk)
        sums[f"{part.name} {part.filename}"] = digest.hexdigest()
    return web.json_response(sums)


async def echo(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    async for chunk in request.content.iter_any():
        await response.write(chunk)
    await response.write_eof()
    return response


async def slow(request: web.Request) -> web.Response:
    started.append(request.path_qs)
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        cancelled.append(request.path_qs)
        raise
    return web.Response()


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    try:
        while True:
            await response.write(b"x" * 65536)
            await asyncio.sleep(0)  # on stock asyncio, writing alone never lets the loop tell that the client is gone
    except ConnectionResetError:
        cancelled.append(request.path)
    except asyncio.CancelledError:
        cancelled.append(request.path)
        raise
    return response


async def cut(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000000"})
    await response.prepare(request)
    await response.write(b"x" * 1000)
    sock = request.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()
    return response


async def websocket(request: web.Request) -> web.WebSocketResponse:
    connection = web.WebSocketResponse(compress="compress" in request.query, heartbeat=5)
    await connection.prepare(request)
    async for message in connection:
        if message.type == aiohttp.WSMsgType.TEXT:
            if message.data == "close":
                await connection.close(code=4321, message=b"as you wish")
            else:
                await connection.send_str(message.data.upper())
        elif message.type == aiohttp.WSMsgType.BINARY:
            await connection.send_bytes(message.data[::-1])
    return connection


@contextlib.asynccontextmanager
async def site(folder: str) -> AsyncIterator[str]:
    application = web.Application(client_max_size=1 << 30)
    application.router.add_get("/hello", hello)
    application.router.add_post("/upload", upload)
    application.router.add_post("/echo", echo)
    application.router.add_get("/slow", slow)
    application.router.add_get("/endless", endless)
    application.router.add_get("/cut", cut)
    application.router.add_get("/websocket", websocket)
    application.router.add_static("/files", folder)
    runner = web.AppRunner(application, handler_cancellation=True)
    await runner.setup()
    port = web.TCPSite(runner, "localhost", 0, ssl_context=certificates.server_context() if TLS else None)
    # The same number for both families of localhost.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port._port = probe.getsockname()[1]
    await port.start()
    try:
        yield f"http{'s' * TLS}://localhost:{port._port}"
    finally:
        await runner.cleanup()


async def keep_alive(client: aiohttp.ClientSession) -> None:
    ports = set()
    for number in range(20):
        async with client.get("/hello", params={"n": str(number)}) as response:
            answer = await response.json()
        assert answer["query"] == {"n": str(number)}
        ports.add(answer["port"])
    assert len(ports) == 1, ports
    answers = await asyncio.gather(*(ask(client, number) for number in range(100)))
    assert answers == list(range(100))


async def ask(client: aiohttp.ClientSession, number: int) -> int:
    async with client.get("/hello", params={"n": str(number)}) as response:
        return int((await response.json())["query"]["n"])


async def uploads(client: aiohttp.ClientSession, path: str) -> None:
    form = aiohttp.FormData()
    with open(path, "rb") as file:
        form.add_field("large", file, filename="large.bin")
        form.add_field("small", b"abc", filename="small.bin")
        async with client.post("/upload", data=form) as response:
            sums = await response.json()
    expected = {"large large.bin": FILE, "small small.bin": b"abc"}
    assert sums == {name: hashlib.sha256(data).hexdigest() for name, data in expected.items()}


async def streams(client: aiohttp.ClientSession) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(FILE), 50_000):
            yield FILE[start : start + 50_000]

    received = bytearray()
    async with client.post("/echo", data=pieces()) as response:
        async for chunk in response.content.iter_chunked(10_000):
            received += chunk
    assert received == FILE


async def downloads(client: aiohttp.ClientSession) -> None:
    async with client.get("/files/large.bin") as response:
        assert response.content_length == len(FILE)
        assert await response.read() == FILE
    async with client.get("/files/large.bin", headers={"Range": "bytes=1000-2000000"}) as response:
        assert response.status == 206
        assert await response.read() == FILE[1000:2_000_001]
    bodies = await asyncio.gather(*(fetch(client, "/files/large.bin") for _ in range(8)))
    assert all(body == FILE for body in bodies)


async def fetch(client: aiohttp.ClientSession, path: str) -> bytes:
    async with client.get(path) as response:
        return await response.read()


async def giving_up(client: aiohttp.ClientSession) -> None:
    try:
        async with client.get("/slow?timeout", timeout=aiohttp.ClientTimeout(total=0.2)):
            raise AssertionError("it should not answer")
    except TimeoutError:
        pass
    task = asyncio.create_task(fetch(client, "/slow?cancel"))
    await until(lambda: "/slow?cancel" in started)
    task.cancel()
    assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)
    async with client.get("/endless") as response:
        await response.content.readexactly(1_000_000)
        response.close()
    # No reader at the other end: the handlers see the connection lost.
    await until(lambda: {"/slow?timeout", "/slow?cancel", "/endless"} <= set(cancelled))


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def resets(client: aiohttp.ClientSession) -> None:
    try:
        await fetch(client, "/cut")
    except aiohttp.ClientPayloadError:
        pass
    else:
        raise AssertionError("the answer was cut off")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        try:
            await fetch(client, f"http://127.0.0.1:{nobody.getsockname()[1]}/")
        except aiohttp.ClientConnectorError as error:
            print(type(error).__name__, error.errno)


async def websockets(client: aiohttp.ClientSession) -> None:
    for path in ("/websocket", "/websocket?compress"):
        async with client.ws_connect(path, compress=15 if "?" in path else 0) as connection:
            for number in range(50):
                await connection.send_str(f"message {number}")
                assert await connection.receive_str() == f"MESSAGE {number}"
            await connection.send_bytes(FILE[:1_000_000])
            assert await connection.receive_bytes() == FILE[999_999::-1]
            await connection.ping()
            await connection.send_str("close")
            message = await connection.receive()
            assert (message.type, message.data, message.extra) == (aiohttp.WSMsgType.CLOSE, 4321, "as you wish")
        assert connection.close_code == 4321


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/large.bin"
        with open(path, "wb") as file:
            file.write(FILE)
        async with site(folder) as url:
            connector = aiohttp.TCPConnector(ssl=certificates.client_context() if TLS else True)
            async with aiohttp.ClientSession(url, connector=connector) as client:
                await keep_alive(client)
                print("keep-alive")
                await uploads(client, path)
                print("uploads")
                await streams(client)
                print("streams")
                await downloads(client)
                print("downloads")
                await giving_up(client)
                print("giving up")
                await resets(client)
                print("resets")
                await websockets(client)
                print("websockets")


clean.run(main)
