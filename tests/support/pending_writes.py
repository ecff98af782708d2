"""A connection whose other end is looked at, to see when what a callback writes leaves."""

import asyncio
import contextlib
import socket

import pytest

from tests.support.peers import socket_pair

# A busy machine may let the thread that helps out be quicker than the look at the other end.
ATTEMPTS = 200


class Writer(asyncio.Protocol):
    """Keeps what it is called with."""

    def __init__(self):
        self.calls = []
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport

    def pause_writing(self):
        self.calls.append("pause_writing")

    def resume_writing(self):
        self.calls.append("resume_writing")

    def connection_lost(self, error):
        self.lost.set_result(error)


@contextlib.asynccontextmanager
async def connection(protocol=Writer):
    """A transport and the other end of its connection, which does not block."""
    with socket_pair() as (near, far):
        far.setblocking(False)
        transport, own = await asyncio.get_running_loop().create_connection(protocol, sock=near)
        try:
            yield transport, own, far
        finally:
            transport.abort()
            await asyncio.sleep(0)
            await asyncio.sleep(0)


def arrived(far: socket.socket) -> bytes:
    received = b""
    with contextlib.suppress(BlockingIOError):
        while data := far.recv(1 << 20):
            received += data
    return received


async def write_twice(transport, far) -> None:
    """A callback that makes the next ones hold what they write."""
    for _ in range(2):
        await asyncio.sleep(0)
        transport.write(b"1")
        transport.write(b"2")
        await asyncio.sleep(0)
    assert arrived(far) == b"1212"


async def write_pending(transport, far, *writes: bytes) -> None:
    """Writes, and returns while nothing of it was sent."""
    for _ in range(ATTEMPTS):
        await write_twice(transport, far)
        for data in writes or (b"held",):
            transport.write(data)
        early = arrived(far)
        if not early:
            return
        await asyncio.sleep(0)
        assert early + arrived(far) == b"".join(writes or (b"held",))
    pytest.fail("what a callback wrote was never held")
