"""Tests for anyio's plugin of pytest: its fixtures live in one task per scope, tests in task groups of their own."""

import asyncio
import os
from collections.abc import AsyncIterator

import anyio
import pytest

pytestmark = pytest.mark.anyio
given: list[str] = []


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def port() -> AsyncIterator[int]:
    async def echo(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            async for data in stream:
                await stream.send(data)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, echo)
        yield listener.extra(anyio.abc.SocketAttribute.local_port)
        group.cancel_scope.cancel()


@pytest.fixture
async def resource() -> AsyncIterator[str]:
    given.append("taken")
    yield "resource"
    await anyio.sleep(0)
    given.append("given back")


async def test_whose_loop_it_is() -> None:
    loop = asyncio.get_running_loop()
    assert f"{type(loop).__module__} {asyncio.Task.__module__}".startswith(os.environ["KINDS"])


@pytest.mark.parametrize("size", [1, 100_000])
async def test_a_server_of_a_fixture(port: int, size: int) -> None:
    async with await anyio.connect_tcp("127.0.0.1", port) as stream, anyio.create_task_group() as group:
        group.start_soon(stream.send, bytes(size))
        received = 0
        while received < size:
            received += len(await stream.receive())
    assert received == size


async def test_a_resource(resource: str) -> None:
    assert resource == "resource"
    assert given == ["taken"]


async def test_it_was_given_back() -> None:
    assert given == ["taken", "given back"]


async def test_scopes_and_threads() -> None:
    with anyio.move_on_after(0.01) as scope:
        await anyio.sleep(10)
    assert scope.cancelled_caught
    assert await anyio.to_thread.run_sync(lambda: anyio.from_thread.run(anyio.sleep, 0)) is None


@pytest.mark.xfail(strict=True, raises=ZeroDivisionError)
async def test_a_failure_is_reported() -> None:
    await anyio.sleep(0)
    raise ZeroDivisionError
