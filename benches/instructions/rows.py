"""The rows: one operation each, and how often to run it. Each row runs `count` operations and checks itself.

Nothing in a row may depend on time: the row itself sends, in one piece, what another process would send, while the loop
does nothing else. A server, which needs a peer, has one connection with one request in flight.
"""

import asyncio
import importlib
import socket
from collections.abc import Awaitable, Callable
from types import ModuleType

Row = Callable[[int], Awaitable[None]]

ROWS: dict[str, tuple[Row, int]] = {}

# `measured.py` runs the servers and `counting.py` sends requests; their packages may be missing.
SERVERS = ("uvicorn_request", "aiohttp_request")
REQUESTS = 100


def row(count: int) -> Callable[[Row], Row]:
    def known(function: Row) -> Row:
        ROWS[function.__name__] = (function, count)
        return function

    return known


@row(20_000)
async def call_soon_chain(count: int) -> None:
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    left = count

    def callback() -> None:
        nonlocal left
        left -= 1
        if left:
            loop.call_soon(callback)
        else:
            done.set_result(None)

    loop.call_soon(callback)
    await done


@row(20_000)
async def switch_100(count: int) -> None:
    async def switching() -> None:
        for _ in range(count // 100):
            await asyncio.sleep(0)

    for task in [asyncio.create_task(switching()) for _ in range(100)]:
        await task


@row(5_000)
async def task_seq(count: int) -> None:
    async def one() -> int:
        return 1

    total = 0
    for _ in range(count):
        total += await asyncio.create_task(one())
    assert total == count


@row(4_000)
async def queue_handoff(count: int) -> None:
    """Every get waits: an item goes to another task and comes back."""
    there: asyncio.Queue[int | None] = asyncio.Queue()
    back: asyncio.Queue[int] = asyncio.Queue()

    async def echo() -> None:
        while (item := await there.get()) is not None:
            back.put_nowait(item)

    task = asyncio.create_task(echo())
    for number in range(count):
        there.put_nowait(number)
        assert await back.get() == number
    there.put_nowait(None)
    await task


@row(4_000)
async def lock_contended_100(count: int) -> None:
    lock = asyncio.Lock()
    taken = 0

    async def taking() -> None:
        nonlocal taken
        for _ in range(count // 100):
            async with lock:
                taken += 1
                await asyncio.sleep(0)

    await asyncio.gather(*[taking() for _ in range(100)])
    assert taken == count


class Echoing:
    """A stream server that sends lines back, and signals when it has answered a given number of them."""

    def __init__(self) -> None:
        self.left = 0
        self.answered: asyncio.Future[None] | None = None

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()
            self.left -= 1
            if not self.left and self.answered:
                self.answered.set_result(None)
        writer.close()


async def received(peer: socket.socket, size: int) -> None:
    """Responses may be sent after the turn in which the handler wrote them, but not more than a few turns later."""
    for _ in range(1000):
        try:
            size -= len(peer.recv(size))
        except BlockingIOError:
            await asyncio.sleep(0)
        if not size:
            return
    raise AssertionError(f"{size} bytes of the answer have not come")


@row(3_200)
async def line_1k_c10_p16(count: int) -> None:
    """Lines of 1 KiB on ten connections, sixteen in flight on each."""
    connections, depth, line = 10, 16, b"x" * 1023 + b"\n"
    echoing = Echoing()
    server = await asyncio.start_server(echoing.handle, "127.0.0.1", 0)
    peers = [socket.create_connection(server.sockets[0].getsockname()) for _ in range(connections)]
    for peer in peers:
        peer.setblocking(False)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in range(count // (connections * depth)):
        echoing.left = connections * depth
        echoing.answered = asyncio.get_running_loop().create_future()
        for peer in peers:
            assert peer.send(line * depth) == len(line) * depth
        await echoing.answered
        for peer in peers:
            await received(peer, len(line) * depth)
    for peer in peers:
        peer.close()
    server.close()
    await server.wait_closed()


def example() -> ModuleType:
    """The extension of examples/rust-extension."""
    return importlib.import_module("rust_extension")


@row(5_000)
async def rust_coroutine(count: int) -> None:
    lazy = example().lazy
    for number in range(count):
        assert await lazy(number) == number


@row(5_000)
async def rust_task(count: int) -> None:
    ready = example().ready
    for number in range(count):
        assert await ready(number) == number


@row(4_000)
async def rust_task_woken(count: int) -> None:
    """Each task waits for what another one does on the same thread."""
    gate = example().Gate()
    for _ in range(count // 100):
        tasks = [gate.wait() for _ in range(100)]
        await asyncio.sleep(0)
        gate.open_for_all()
        for task in tasks:
            await task


NAMES = (*ROWS, *SERVERS)
