"""Unmodified clients and servers of others on the simulated network."""

import asyncio

import pytest

from ferrio import testing


def test_aiohttp_serves_its_own_client():
    aiohttp = pytest.importorskip("aiohttp")
    from aiohttp import web

    async def main():
        async def hello(request):
            return web.Response(text="hello " + await request.text())

        application = web.Application()
        application.router.add_post("/", hello)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "localhost", 8080).start()
        async with aiohttp.ClientSession() as session:
            for body in ("short", "long" * 5000):
                async with session.post("http://localhost:8080/", data=body) as response:
                    assert await response.text() == "hello " + body
        await runner.cleanup()

    testing.run(main)
    report = testing.explore(main, schedules=40)
    assert report.failure is None, str(report)


def test_uvicorn_serves_httpx():
    uvicorn = pytest.importorskip("uvicorn")
    httpx = pytest.importorskip("httpx")

    async def application(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["client"][0].encode()})

    async def main():
        configuration = uvicorn.Config(application, host="127.0.0.1", port=8001, log_level="warning", lifespan="off")
        server = uvicorn.Server(configuration)
        serving = asyncio.create_task(server._serve())
        while not server.started:
            await asyncio.sleep(0.01)
        async with httpx.AsyncClient(trust_env=False) as client:
            response = await client.get("http://127.0.0.1:8001/")
            assert (response.status_code, response.text) == (200, "127.0.0.1")
        server.should_exit = True
        await serving

    testing.run(main)
    report = testing.explore(main, schedules=20)
    assert report.failure is None, str(report)


def test_websockets_exchanges_messages():
    websockets = pytest.importorskip("websockets")

    async def main():
        async def echo(connection):
            async for message in connection:
                await connection.send(message)

        async with (
            websockets.serve(echo, "localhost", 8765),
            websockets.connect("ws://localhost:8765", proxy=None) as client,
        ):
            for message in ("hello", "x" * 70000):
                await client.send(message)
                assert await client.recv() == message

    testing.run(main)
    report = testing.explore(main, schedules=40)
    assert report.failure is None, str(report)


def test_anyio_connects_its_streams():
    anyio = pytest.importorskip("anyio")

    async def main():
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=9100)

        async def echo(stream):
            async with stream:
                async for data in stream:
                    await stream.send(data)

        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, echo)
            async with await anyio.connect_tcp("127.0.0.1", 9100) as stream:
                await stream.send(b"hello")
                received = b""
                while len(received) < 5:
                    received += await stream.receive()
                assert received == b"hello"
            group.cancel_scope.cancel()

    testing.run(main)
    report = testing.explore(main, schedules=40)
    assert report.failure is None, str(report)
