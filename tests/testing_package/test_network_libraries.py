"""Unmodified clients and servers of others on the simulated network."""

import asyncio
import signal

import pytest

from ferrio import testing
from ferrio.testing import sim
from tests.support import fake_servers


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


def test_redis_py_talks_to_fakeredis():
    redis = pytest.importorskip("redis.asyncio")
    fakeredis = pytest.importorskip("fakeredis")

    async def main():
        with sim.net.host("cache"):
            server = await asyncio.start_server(fake_servers.redis(fakeredis.FakeServer()), "0.0.0.0", 6379)
        client = redis.Redis(host="cache", decode_responses=True)
        await client.set("name", "value")
        assert await client.get("name") == "value"
        await asyncio.gather(*(client.incr("counter") for _ in range(5)))
        async with client.pipeline(transaction=True) as commands:
            commands.incr("counter").lpush("list", "a", "b").lrange("list", 0, -1)
            assert await commands.execute() == [6, 2, ["b", "a"]]
        with pytest.raises(redis.ResponseError):
            await client.lpush("name", "x")
        await client.aclose()
        server.close()

    testing.run(main)
    report = testing.explore(main, schedules=20)
    assert report.failure is None, str(report)


def test_asyncpg_uses_its_pool():
    asyncpg = pytest.importorskip("asyncpg")

    async def main():
        with sim.net.host("database"):
            server = await asyncio.start_server(fake_servers.postgres, "0.0.0.0", 5432)
        pool = await asyncpg.create_pool(
            host="database", user="user", password="", database="data", ssl=False, min_size=1, max_size=2
        )

        async def ask(number):
            async with pool.acquire() as connection:
                return await connection.fetchval(f"SELECT {number}")

        assert await asyncio.gather(*map(ask, range(4))) == [0, 1, 2, 3]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0), pool.acquire() as connection:
                await connection.fetchval("SELECT 5")
        assert await ask(6) == 6
        await pool.close()
        server.close()

    testing.run(main)
    report = testing.explore(main, schedules=20)
    assert report.failure is None, str(report)


def test_uvicorn_stops_on_a_signal():
    uvicorn = pytest.importorskip("uvicorn")

    async def application(scope, receive, send):
        raise AssertionError("nobody asks")

    async def main():
        server = uvicorn.Server(uvicorn.Config(application, port=8001, log_level="warning", lifespan="off"))
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        sim.signal(signal.SIGTERM)
        await serving
        assert asyncio.get_running_loop().time() < 60

    testing.run(main)
    report = testing.explore(main, schedules=20)
    assert report.failure is None, str(report)
