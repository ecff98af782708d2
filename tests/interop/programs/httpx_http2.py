"""httpx speaking HTTP/2 over TLS with a small server on asyncio's streams and the library h2; and HTTP/1.1."""

import asyncio
import contextlib
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator

import h2.config
import h2.connection
import h2.events
import httpx

from tests.interop import clean
from tests.support import certificates

DATA = os.urandom(400_000)


class Connection:
    """Answers each request with the body that it brought, as far as the windows let it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.reader = reader
        self.writer = writer
        self.state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.bodies: dict[int, bytearray] = {}
        self.opened = asyncio.Condition()

    async def serve(self) -> None:
        self.state.initiate_connection()
        await self.flush()
        try:
            async with asyncio.TaskGroup() as group:
                while data := await self.reader.read(65536):
                    for event in self.state.receive_data(data):
                        await self.handle(event, group)
                    await self.flush()
                raise ConnectionResetError
        except* (ConnectionResetError, ssl.SSLError):
            pass
        finally:
            self.writer.close()
            with contextlib.suppress(ConnectionResetError, ssl.SSLError):
                await self.writer.wait_closed()

    async def handle(self, event: h2.events.Event, group: asyncio.TaskGroup) -> None:
        match event:
            case h2.events.RequestReceived():
                self.bodies[event.stream_id] = bytearray()
            case h2.events.DataReceived():
                self.bodies[event.stream_id] += event.data
                self.state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                group.create_task(self.answer(event.stream_id))
            case h2.events.WindowUpdated():
                async with self.opened:
                    self.opened.notify_all()

    async def answer(self, stream: int) -> None:
        body = bytes(self.bodies.pop(stream))
        self.state.send_headers(stream, [(":status", "200"), ("content-length", str(len(body)))])
        while body:
            async with self.opened:
                while not (size := min(self.state.local_flow_control_window(stream), 16_384)):
                    await self.opened.wait()
            self.state.send_data(stream, body[:size])
            body = body[size:]
            await self.flush()
        self.state.end_stream(stream)
        await self.flush()

    async def flush(self) -> None:
        if data := self.state.data_to_send():
            self.writer.write(data)
            await self.writer.drain()


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[str]:
    context = certificates.server_context()
    context.set_alpn_protocols(["h2"])
    tasks = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        await Connection(reader, writer).serve()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}"
        await asyncio.gather(*tasks)


async def http2() -> None:
    async with serving() as url:
        async with httpx.AsyncClient(http2=True, verify=certificates.client_context(), base_url=url) as client:
            answer = await client.post("/", content=b"hello")
            assert (answer.http_version, answer.content) == ("HTTP/2", b"hello")
            answers = await asyncio.gather(*(client.post("/", content=DATA[number:]) for number in range(20)))
            assert [answer.content for answer in answers] == [DATA[number:] for number in range(20)]
            task = asyncio.create_task(client.post("/", content=DATA))
            await asyncio.sleep(0.01)
            task.cancel()
            assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)


async def http1() -> None:
    """Chunks, a connection that the server keeps or resets, and a client that knows both."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                path = head.split()[1]
                if path == b"/reset":
                    sock = writer.get_extra_info("socket")
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    break
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                for number in range(100):
                    writer.write(b"5\r\n%05d\r\n" % number)
                    await writer.drain()
                writer.write(b"0\r\n\r\n")
        writer.close()
        with contextlib.suppress(ConnectionResetError):
            await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with httpx.AsyncClient(base_url=url) as client:
            expected = b"".join(b"%05d" % number for number in range(100))
            answers = await asyncio.gather(*(client.get("/") for _ in range(30)))
            assert all(answer.content == expected for answer in answers)
            try:
                await client.get("/reset")
            except (httpx.ReadError, httpx.RemoteProtocolError) as error:
                print(type(error).__name__)


async def main() -> None:
    await http2()
    print("http2")
    await http1()
    print("http1")


clean.run(main)
