"""Numeric parameters of streams and transports."""

import asyncio
import contextlib
import os
import socket
import tempfile
from functools import partial

from tests.odd_numbers.observation import ended, loop, operation, outcome, put_down, shown, soon, turns


def fed(*data, eof=False, **keywords):
    reader = asyncio.StreamReader(**keywords)
    for each in data:
        reader.feed_data(each)
    if eof:
        reader.feed_eof()
    return reader


class Wire(asyncio.Transport):
    """Says whether it was paused."""

    def __init__(self):
        super().__init__()
        self.said = []

    def pause_reading(self):
        self.said.append("pause")

    def resume_reading(self):
        self.said.append("resume")


@operation
async def reader_limit(value):
    reader = fed(b"abc\ndef\nabcdefghi", limit=value)
    seen = [outcome(lambda: reader), outcome(lambda: reader._limit)]
    for _ in range(3):
        seen += [await soon(reader.readline)]
    seen += [await soon(lambda: reader.readuntil(b"g"))]
    reader.feed_data(b"\nabcdefg")
    for _ in range(3):
        seen += [await soon(lambda: reader.readuntil(b"\n"))]
    seen += [await soon(lambda: reader.readexactly(3)), await soon(lambda: reader.read(2))]
    reader.feed_eof()
    return [*seen, await soon(reader.readline), outcome(lambda: reader)]


@operation
async def reader_limit_set(value):
    reader = fed(b"abc\ndef\nabcdefghi")
    reader._limit = value
    return [outcome(lambda: reader._limit), outcome(lambda: reader), await soon(reader.readline)]


@operation
async def reader_limit_and_transport(value):
    wire = Wire()
    reader = asyncio.StreamReader(limit=value)
    reader.set_transport(wire)
    seen = [outcome(partial(reader.feed_data, b"a" * count)) for count in (1, 1, 1, 4)]
    seen += [await soon(lambda: reader.read(6)), await soon(lambda: reader.readexactly(1))]
    return [*seen, wire.said]


@operation
async def read(value):
    seen = [await soon(lambda: fed(b"ab", eof=True).read(value)), await soon(lambda: fed(b"ab").read(value))]
    seen += [await soon(lambda: fed(eof=True).read(value)), await soon(lambda: fed().read(value))]
    reader = fed(b"abcdef", limit=2)
    reader.set_transport(wire := Wire())
    reader.feed_data(b"ab")
    return [*seen, await soon(lambda: reader.read(value)), outcome(lambda: reader), wire.said]


@operation
async def readexactly(value):
    seen = [await soon(lambda: fed(b"abc", eof=True).readexactly(value))]
    seen += [await soon(lambda: fed(b"ab").readexactly(value)), await soon(lambda: fed().readexactly(value))]
    seen += [await soon(lambda: fed(eof=True).readexactly(value))]
    reader = fed(b"abc")
    return [*seen, await soon(lambda: reader.readexactly(value)), outcome(lambda: reader)]


@operation
async def incomplete(value):
    try:
        await fed(b"a", eof=True).readexactly(value)
    except asyncio.IncompleteReadError as error:
        return [shown(error.partial), shown(error.expected)]


@operation
async def readuntil(value):
    return [await soon(lambda: fed(b"a1b").readuntil(value)), await soon(lambda: fed(b"a1b").readuntil((value, b"b")))]


@operation
async def feed_data(value):
    reader = fed()
    return [outcome(lambda: reader.feed_data(value)), outcome(lambda: reader), await soon(lambda: reader.read(1))]


@operation
async def set_exception(value):
    reader = fed()
    return [outcome(lambda: reader.set_exception(value)), await soon(reader.read)]


# Transports


@contextlib.asynccontextmanager
async def connected(protocol=asyncio.Protocol, **keywords):
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    transport, protocol = await loop().create_connection(protocol, sock=ours, **keywords)
    with theirs:
        async with put_down(transport):
            yield transport, theirs


def limits(transport, name, value):
    change, look = getattr(transport, f"set_{name}_limits"), getattr(transport, f"get_{name}_limits", lambda: None)

    def look_whole():
        return ["no limit" if mark > 2**60 else int(mark) for mark in look() or ()]

    calls = [{"high": value}, {"low": value}, {"high": value, "low": value}, {"high": 10, "low": value}]
    seen = []
    for keywords in calls:
        seen += [outcome(partial(change, **keywords)), outcome(look_whole)]
        change()
    return seen


@operation
async def write_buffer_limits(value):
    async with connected() as (transport, _):
        return limits(transport, "write_buffer", value)


@operation
async def write_buffer_limits_in_use(value):
    said = []

    class Shown(asyncio.Protocol):
        def pause_writing(self):
            said.append("pause")

        def resume_writing(self):
            said.append("resume")

    async with connected(Shown) as (transport, _):
        set_ = outcome(lambda: transport.set_write_buffer_limits(high=value))
        wrote = outcome(lambda: transport.write(b"x" * (1 << 22)))
        return [set_, wrote, said, outcome(lambda: transport.set_write_buffer_limits(low=value)), said]


@operation
async def datagram_buffer_limits(value):
    transport, _ = await loop().create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
    async with put_down(transport):
        return [*limits(transport, "write_buffer", value), outcome(lambda: transport.sendto(value))]


@operation
async def pipe_buffer_limits(value):
    reading, writing = os.pipe()
    transport, _ = await loop().connect_write_pipe(asyncio.Protocol, os.fdopen(writing, "wb"))
    with os.fdopen(reading, "rb"):
        async with put_down(transport):
            return [*limits(transport, "write_buffer", value), outcome(lambda: transport.write(value))]


@operation
async def write(value):
    async with connected() as (transport, _):
        return outcome(lambda: transport.write(value))


@operation
async def open_connection(value):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"abc\nabcdefgh\n")
        reader, writer = await asyncio.open_connection(sock=ours, limit=value)
        seen = [shown(reader._limit), await ended(reader.readline), await ended(reader.readline)]
        writer.close()
        await turns()
        return seen


@operation
async def start_server(value):
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, limit=value)
    server.close()
    return "started"


@operation
async def sendfile_offset(value):
    return await sent(lambda loop, transport, file: loop.sendfile(transport, file, value))


@operation
async def sendfile_count(value):
    return await sent(lambda loop, transport, file: loop.sendfile(transport, file, 0, value))


@operation
async def sendfile_fallback(value):
    return await sent(lambda loop, transport, file: loop.sendfile(transport, file, fallback=value))


@contextlib.contextmanager
def letters():
    with tempfile.TemporaryFile() as file:
        file.write(b"abcdefgh")
        file.flush()
        file.seek(0)
        yield file


def arrived(sock):
    try:
        return sock.recv(100)
    except BlockingIOError:
        return "nothing"


async def sent(send):
    with letters() as file:
        async with connected() as (transport, theirs):
            said = await ended(lambda: send(loop(), transport, file))
            return [said, file.tell(), arrived(theirs)]


@operation
async def sock_sendfile_offset(value):
    return await sock_sent(lambda loop, sock, file: loop.sock_sendfile(sock, file, value))


@operation
async def sock_sendfile_count(value):
    return await sock_sent(lambda loop, sock, file: loop.sock_sendfile(sock, file, 0, value))


async def sock_sent(send):
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    with letters() as file, ours, theirs:
        said = await ended(lambda: send(loop(), ours, file))
        return [said, file.tell(), arrived(theirs)]
