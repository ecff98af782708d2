"""Instructions on streams over the program's own transport, which decides what arrives and when writing is paused.

Reads and drains therefore wait until an instruction ends the wait, or are cancelled while they wait.
"""

import asyncio

PLACES = 2


class Wire(asyncio.Transport):
    """Appends the calls of its methods to the trace, and does nothing else."""

    def __init__(self, world, number: int) -> None:
        super().__init__()
        self.world, self.number, self.closing = world, number, False

    def write(self, data) -> None:
        self.world.note(f"wire{self.number}", "write", bytes(data))

    def writelines(self, chunks) -> None:
        self.world.note(f"wire{self.number}", "writelines", b"".join(chunks))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.world.note(f"wire{self.number}", "write_eof")

    def close(self) -> None:
        self.world.note(f"wire{self.number}", "close")
        self.closing = True

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.world.note(f"wire{self.number}", "pause_reading")

    def resume_reading(self) -> None:
        self.world.note(f"wire{self.number}", "resume_reading")


class Streams:
    """A part of `World`: a few connections."""

    def make_streams(self) -> None:
        self.connections = []
        for number in range(PLACES):
            reader = asyncio.StreamReader(limit=4, loop=self.loop)
            protocol = asyncio.StreamReaderProtocol(reader, loop=self.loop)
            wire = Wire(self, number)
            protocol.connection_made(wire)
            writer = asyncio.StreamWriter(wire, protocol, reader, self.loop)
            self.connections.append((reader, protocol, writer))

    def reader(self, which):
        return self.connections[which % PLACES][0]

    def protocol(self, which):
        return self.connections[which % PLACES][1]

    def writer(self, which):
        return self.connections[which % PLACES][2]

    def do_feed(self, me, which, data):
        self.protocol(which).data_received(data)

    def do_feed_eof(self, me, which):
        return self.protocol(which).eof_received()

    def do_lose(self, me, which, kind):
        self.protocol(which).connection_lost(None if kind is None else self.make(kind))

    def do_hold(self, me, which):
        self.protocol(which).pause_writing()

    def do_let_go(self, me, which):
        self.protocol(which).resume_writing()

    def do_write(self, me, which, data):
        self.writer(which).write(data)

    def do_close_writer(self, me, which):
        self.writer(which).close()

    def do_stream(self, me, which):
        reader, _, writer = self.connections[which % PLACES]
        return reader.at_eof(), self.shown(reader.exception()), writer.is_closing()

    async def read(self, me, which, count):
        return await self.reader(which).read(count)

    async def readline(self, me, which):
        return await self.reader(which).readline()

    async def readexactly(self, me, which, count):
        return await self.reader(which).readexactly(count)

    async def readuntil(self, me, which, separator):
        return await self.reader(which).readuntil(separator)

    async def lines(self, me, which):
        return [line async for line in self.reader(which)]

    async def drain(self, me, which):
        return await self.writer(which).drain()

    async def wait_closed(self, me, which):
        return await self.writer(which).wait_closed()
