"""Tests for pytest-asyncio: fixtures and tests that share a loop for the module, or have one for each test."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

loops: set[int] = set()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def port() -> AsyncIterator[int]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest_asyncio.fixture
async def own() -> AsyncIterator[asyncio.AbstractEventLoop]:
    loop = asyncio.get_running_loop()
    yield loop
    assert asyncio.get_running_loop() is loop


@pytest.mark.asyncio
async def test_whose_loop_it_is(own: asyncio.AbstractEventLoop) -> None:
    loop = asyncio.get_running_loop()
    assert loop is own
    assert f"{type(loop).__module__} {asyncio.Task.__module__}".startswith(os.environ["KINDS"])


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("size", [1, 100_000])
async def test_a_server_of_a_fixture(port: int, size: int) -> None:
    loops.add(id(asyncio.get_running_loop()))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(bytes(size))
    writer.write_eof()
    assert await reader.read() == bytes(size)
    writer.close()
    await writer.wait_closed()


@pytest.mark.asyncio(loop_scope="module")
async def test_the_loop_was_shared() -> None:
    assert loops == {id(asyncio.get_running_loop())}


@pytest.mark.asyncio
async def test_what_a_test_leaves_is_cancelled() -> None:
    asyncio.get_running_loop().create_task(asyncio.sleep(1000))
    await asyncio.to_thread(int)


@pytest.mark.asyncio
@pytest.mark.xfail(strict=True, raises=ZeroDivisionError)
async def test_a_failure_is_reported() -> None:
    await asyncio.sleep(0)
    raise ZeroDivisionError
