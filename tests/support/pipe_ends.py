"""The ends of pipes for tests: a transport on one, a raw descriptor on the other."""

import asyncio
import contextlib
import os

from tests.support.peers import Recorder, Writer, turns

BIG = bytes(range(256)) * 8192  # 2 MiB: more than a pipe holds


def file(fd: int, mode: str):
    return open(fd, mode, 0)


@contextlib.asynccontextmanager
async def reading(factory=Recorder):
    """A read transport, its protocol and the descriptor that feeds it."""
    loop = asyncio.get_running_loop()
    ours, theirs = os.pipe()
    with open(theirs, "wb", 0) as feed, open(ours, "rb", 0) as pipe:
        transport, protocol = await loop.connect_read_pipe(factory, pipe)
        try:
            yield transport, protocol, feed
        finally:
            transport.close()
            await turns(3)


@contextlib.asynccontextmanager
async def writing(factory=Writer):
    """A write transport, its protocol and the non-blocking other end."""
    loop = asyncio.get_running_loop()
    theirs, ours = os.pipe()
    os.set_blocking(theirs, False)
    with open(theirs, "rb", 0) as drain, open(ours, "wb", 0) as pipe:
        transport, protocol = await loop.connect_write_pipe(factory, pipe)
        try:
            yield transport, protocol, drain
        finally:
            if not protocol.lost.done():
                transport.abort()
            await turns(3)


async def drained(drain, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        received += drain.read(1 << 20) or b""
        await asyncio.sleep(0)
    return bytes(received)
