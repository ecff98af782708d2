"""What the network tests share: protocols that record their calls, and raw sockets at the other end."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def socket_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends that do not block."""
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    with left, right:
        yield left, right


class Writer(asyncio.BaseProtocol):
    """Appends each event of a connection to `trace`, except received data; `lost` is done when the connection is."""

    def __init__(self, trace: list | None = None):
        self.trace = [] if trace is None else trace
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.trace.append("made")

    def pause_writing(self):
        self.trace.append("pause")

    def resume_writing(self):
        self.trace.append("resume")

    def connection_lost(self, error):
        self.trace.append(("lost", type(error).__name__))
        self.lost.set_result(error)  # a second call would raise


class Recorder(Writer, asyncio.Protocol):
    """Appends each event to `trace` and all data to `data`; `made` is done when the connection is made."""

    def __init__(self, trace: list | None = None):
        super().__init__(trace)
        self.data = bytearray()
        self.made = asyncio.get_running_loop().create_future()
        self.transport: Any = None  # a transport of any kind, from connection_made() on

    def connection_made(self, transport):
        self.transport = transport
        self.trace.append("made")
        self.made.set_result(None)

    def data_received(self, data):
        assert type(data) is bytes
        if not self.data:
            self.trace.append("data")
        self.data += data

    def eof_received(self):
        self.trace.append("eof")


class BufferedRecorder(asyncio.BufferedProtocol):
    def __init__(self, size: int = 4096):
        self.buffer = bytearray(size)
        self.data = bytearray()
        self.trace: list = []
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        self.trace.append("made")

    def get_buffer(self, sizehint):
        return self.buffer

    def buffer_updated(self, nbytes):
        self.data += self.buffer[:nbytes]

    def eof_received(self):
        self.trace.append("eof")

    def connection_lost(self, error):
        self.trace.append(("lost", type(error).__name__))
        self.lost.set_result(error)


@contextlib.contextmanager
def listening(family=socket.AF_INET) -> Iterator[socket.socket]:
    host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    with socket.create_server((host, 0), family=family) as listener:
        yield listener


@contextlib.asynccontextmanager
async def connection(factory=Recorder, **keywords):
    """A transport, its protocol and the non-blocking raw socket at the other end."""
    loop = asyncio.get_running_loop()
    with listening() as listener:
        transport, protocol = await loop.create_connection(factory, *listener.getsockname(), **keywords)
        peer, _ = listener.accept()
    with peer:
        peer.setblocking(False)
        try:
            yield transport, protocol, peer
        finally:
            if not transport.is_closing():
                transport.abort()
            await turns(3)


def reset(peer: socket.socket) -> None:
    """Closes so that the other side sees ECONNRESET."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition, seconds: float = 5) -> None:
    """Waits for what a kernel or another thread will make true."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.001)


async def read_all(peer: socket.socket) -> bytes:
    """All that comes until the end of the stream."""
    received = bytearray()
    loop = asyncio.get_running_loop()
    while chunk := await loop.sock_recv(peer, 1 << 20):
        received += chunk
    return bytes(received)


async def read_exactly(peer: socket.socket, size: int) -> bytes:
    received = bytearray()
    loop = asyncio.get_running_loop()
    while len(received) < size and (chunk := await loop.sock_recv(peer, size - len(received))):
        received += chunk
    return bytes(received)


def run_turns(loop, turns):
    """Runs the loop for so many turns, from outside."""
    for _ in range(turns):
        loop.call_soon(loop.stop)
        loop.run_forever()
