"""What the datagram tests share: a protocol that records its calls, and raw sockets at the other end."""

import asyncio
import contextlib
import socket

from tests.support.peers import turns

HOST = ("127.0.0.1", 0)


class Recorder(asyncio.DatagramProtocol):
    """Appends each event to `trace`; `lost` is done when the transport is."""

    def __init__(self, trace: list | None = None):
        self.trace = [] if trace is None else trace
        self.received: list = []
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        self.trace.append("made")

    def datagram_received(self, data, addr):
        assert type(data) is bytes
        self.received.append((data, addr))

    def error_received(self, exc):
        self.trace.append((type(exc).__name__, exc.errno))

    def pause_writing(self):
        self.trace.append("pause")

    def resume_writing(self):
        self.trace.append("resume")

    def connection_lost(self, exc):
        self.trace.append(("lost", type(exc).__name__))
        self.lost.set_result(exc)  # a second call would raise


@contextlib.contextmanager
def raw(family=socket.AF_INET, address=HOST):
    with socket.socket(family, socket.SOCK_DGRAM) as peer:
        peer.setblocking(False)
        peer.bind(address)
        yield peer


@contextlib.asynccontextmanager
async def endpoint(factory=Recorder, **keywords):
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(factory, **keywords)
    try:
        yield transport, protocol
    finally:
        if not transport.is_closing():
            transport.abort()
        await turns(3)


@contextlib.asynccontextmanager
async def full_pipe(path, factory=Recorder):
    """An endpoint on a Unix datagram socket whose peer does not read, so that what it sends waits."""
    with raw(socket.AF_UNIX, path) as peer:
        async with endpoint(factory, family=socket.AF_UNIX, remote_addr=path) as (transport, protocol):
            count = 0
            while transport.get_write_buffer_size() == 0:
                transport.sendto(b"%04d" % count)
                count += 1
            yield transport, protocol, peer, count


async def read(peer, count):
    loop = asyncio.get_running_loop()
    return [await loop.sock_recv(peer, 100) for _ in range(count)]
