"""The garbage collector may run while an object is being created: it does not visit fields that are not set yet."""

import asyncio
import gc
from collections.abc import Callable

import pytest

import ferrio

MAKERS: dict[str, Callable[[], object]] = {
    "Lock": ferrio.Lock,
    "Event": ferrio.Event,
    "Condition": ferrio.Condition,
    "Semaphore": ferrio.Semaphore,
    "BoundedSemaphore": ferrio.BoundedSemaphore,
    "Barrier": lambda: ferrio.Barrier(2),
    "Queue": ferrio.Queue,
    "PriorityQueue": ferrio.PriorityQueue,
    "LifoQueue": ferrio.LifoQueue,
    "StreamReader": ferrio.StreamReader,
    "TaskGroup": ferrio.TaskGroup,
    "Runner": ferrio.Runner,
    "Future": lambda: asyncio.get_running_loop().create_future(),
    "Timeout": lambda: ferrio.timeout(1),
}


@pytest.fixture(autouse=True)
def at_every_allocation():
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)


@pytest.mark.parametrize("name", MAKERS)
def test_objects_are_made_under_the_collectors_eyes(name):
    async def main():
        gc.set_threshold(1)
        kept = [MAKERS[name]() for _ in range(200)]
        gc.set_threshold(700)
        assert len(kept) == 200

    ferrio.run(main())


@pytest.mark.parametrize("after_debug_mode", [False, True])
def test_connections_are_made_under_the_collectors_eyes(after_debug_mode):
    async def answer(reader, writer):
        writer.write(await reader.readline())
        writer.close()

    async def main():
        loop = asyncio.get_running_loop()
        server = await ferrio.start_server(answer, "127.0.0.1", 0)
        gc.set_threshold(1)
        for _ in range(20):
            reader, writer = await ferrio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"x\n")
            assert await reader.read() == b"x\n"
            writer.close()
            await writer.wait_closed()
            transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", 0))
            transport.close()
            child = await ferrio.create_subprocess_exec("true", stdin=-1, stdout=-1)
            await child.communicate()
        gc.set_threshold(700)
        server.close()

    async def debugged():
        await ferrio.sleep(0)

    if after_debug_mode:
        # From then on, freeing a coroutine forgets where it was made.
        ferrio.run(debugged(), debug=True)
    ferrio.run(main())
