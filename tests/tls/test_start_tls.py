"""TLS over an existing connection: `start_tls` of loops and stream writers, and TLS over Unix sockets."""

import asyncio
import contextlib
import socket
import sys

import pytest

import ferrio
from tests.support.certificates import client_context, server_context
from tests.support.differential import assert_same, outcome_of
from tests.support.peers import Recorder, connection, turns, until

NAME = {"server_hostname": "localhost"}


class Upgraded(Recorder):
    """Told of the connection once, in the clear."""


@contextlib.asynccontextmanager
async def upgrading_server(dialogue):
    async with await asyncio.start_server(dialogue, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()


async def close(writer) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


def test_streams_upgrade_at_both_ends(loop):
    async def serve(reader, writer):
        assert await reader.readline() == b"STARTTLS\n"
        writer.write(b"ready\n")
        await writer.start_tls(server_context())
        assert writer.get_extra_info("sslcontext") is not None
        writer.write(b"you said " + await reader.readline())
        await close(writer)

    async def main():
        async with upgrading_server(serve) as address:
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"STARTTLS\n")
            assert await reader.readline() == b"ready\n"
            await writer.start_tls(client_context(), **NAME)
            writer.write(b"a secret\n")
            assert await reader.read() == b"you said a secret\n"
            await close(writer)

    loop.run_until_complete(asyncio.wait_for(main(), 10))


def test_the_protocol_is_told_once(loop):
    async def serve(reader, writer):
        writer.write(b"ready\n")
        await writer.start_tls(server_context())
        writer.write(await reader.readexactly(5))
        await close(writer)

    async def main():
        async with upgrading_server(serve) as address:
            lower, protocol = await loop.create_connection(Upgraded, *address)
            await until(lambda: protocol.data == b"ready\n")
            transport = await loop.start_tls(lower, protocol, client_context(), **NAME)
            assert transport is not lower
            assert transport.get_protocol() is protocol
            transport.write(b"hello")
            assert await protocol.lost is None
            assert protocol.data == b"ready\nhello"
            assert protocol.trace == ["made", "data", "eof", ("lost", "NoneType")]

    loop.run_until_complete(asyncio.wait_for(main(), 10))


def test_wrong_arguments_are_refused_as_asyncio_does():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        context = client_context()
        async with connection() as (transport, protocol, _):
            refused: list[tuple[tuple, dict]] = [
                ((transport, protocol, None), {}),
                ((transport, protocol, True), {}),
                ((transport, protocol, "context"), {}),
                ((None, protocol, context), {}),
                ((asyncio.Transport(), protocol, context), {}),
                ((transport, protocol, context), {"ssl_handshake_timeout": 0}),
                ((transport, protocol, context), {"ssl_shutdown_timeout": -1}),
            ]
            for arguments, keywords in refused:
                kind, error, text = await outcome_of(loop.start_tls(*arguments, **(NAME | keywords)))
                trace.append((kind, error, text.split("<")[0]))

    assert_same(scenario)


@pytest.mark.parametrize("answer", [b"no TLS here\r\n", b""])
def test_an_upgrade_that_fails_closes_the_connection(answer):
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        async with connection() as (transport, protocol, peer):
            upgrading = loop.create_task(loop.start_tls(transport, protocol, client_context(), **NAME))
            await loop.sock_recv(peer, 1 << 16)
            peer.sendall(answer)
            if not answer:
                peer.shutdown(socket.SHUT_RDWR)
            kind, error, text = await outcome_of(upgrading)
            trace.append((kind, error, text.split("(_ssl")[0], transport.is_closing()))

    assert_same(scenario)


def test_a_cancelled_upgrade_closes_the_connection():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        async with connection() as (transport, protocol, _):
            upgrading = loop.create_task(loop.start_tls(transport, protocol, client_context(), **NAME))
            await asyncio.sleep(0.02)
            upgrading.cancel()
            trace.append(await outcome_of(upgrading))
            trace.append(transport.is_closing())

    assert_same(scenario)


def test_tls_runs_over_tls(loop):
    async def serve(reader, writer):
        await writer.start_tls(server_context())
        await writer.start_tls(server_context())
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        await close(writer)

    async def main():
        data = bytes(range(256)) * 4000
        async with upgrading_server(serve) as address:
            lower, protocol = await loop.create_connection(Recorder, *address)
            middle = await loop.start_tls(lower, protocol, client_context(), **NAME)
            upper = await loop.start_tls(middle, protocol, client_context(), **NAME)
            assert upper.get_extra_info("peername") == address
            upper.write(data)
            await until(lambda: len(protocol.data) == len(data))
            assert protocol.data == data
            upper.close()
            assert await protocol.lost is None

    loop.run_until_complete(asyncio.wait_for(main(), 20))


class Wrapper(asyncio.Transport):
    """A transport made by a user: it passes everything on."""

    _start_tls_compatible = True

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def __getattribute__(self, name):
        if name in ("inner", "__class__", "_start_tls_compatible"):
            return super().__getattribute__(name)
        return getattr(super().__getattribute__("inner"), name)


class Feed(asyncio.Protocol):
    """Hands what comes to a buffered protocol, as the user's transport does it."""

    def __init__(self, inner):
        self.inner = inner

    def data_received(self, data):
        while data:
            room = self.inner.get_buffer(len(data))
            count = min(len(room), len(data))
            room[:count] = data[:count]
            self.inner.buffer_updated(count)
            data = data[count:]

    def eof_received(self):
        return self.inner.eof_received()

    def connection_lost(self, error):
        self.inner.connection_lost(error)

    def pause_writing(self):
        self.inner.pause_writing()

    def resume_writing(self):
        self.inner.resume_writing()


class OwnTransport(Wrapper):
    def __getattribute__(self, name):
        if name == "set_protocol":
            inner = super().__getattribute__("inner")
            return lambda protocol: inner.set_protocol(Feed(protocol))
        return super().__getattribute__(name)


@pytest.mark.parametrize("kind", [Wrapper, OwnTransport])
def test_tls_runs_over_a_transport_of_the_users(loop, kind):
    async def serve(reader, writer):
        await writer.start_tls(server_context())
        writer.write(await reader.readexactly(400_000))
        await close(writer)

    async def main():
        async with upgrading_server(serve) as address:
            lower, protocol = await loop.create_connection(Recorder, *address)
            transport = await loop.start_tls(kind(lower), protocol, client_context(), **NAME)
            transport.write(bytes(400_000))
            assert await protocol.lost is None
            assert protocol.data == bytes(400_000)

    loop.run_until_complete(asyncio.wait_for(main(), 10))


def test_a_transport_whose_lower_one_is_closing_is_closing():
    """As in asyncio from 3.14 on."""
    loop = ferrio.new_event_loop()

    async def serve(reader, writer):
        writer.write(b"ready\n")
        await writer.start_tls(server_context())
        assert await reader.read() == b""
        await close(writer)

    async def main():
        async with upgrading_server(serve) as address:
            lower, protocol = await loop.create_connection(Recorder, *address)
            await until(lambda: protocol.data == b"ready\n")
            transport = await loop.start_tls(lower, protocol, client_context(), **NAME)
            assert not transport.is_closing()
            lower.abort()
            assert transport.is_closing()
            await protocol.lost

    loop.run_until_complete(asyncio.wait_for(main(), 10))
    loop.close()


def test_what_was_written_in_the_clear_goes_first():
    """And what the other end reads ahead of its own upgrade is not lost, which asyncio sees to from 3.14 on."""
    loop = ferrio.new_event_loop()

    async def main():
        data = bytes(5_000_000)

        async def serve(reader, writer):
            assert await reader.readexactly(len(data)) == data
            await writer.start_tls(server_context())
            writer.write(await reader.readexactly(5))
            await close(writer)

        async with upgrading_server(serve) as address:
            lower, protocol = await loop.create_connection(Recorder, *address)
            lower.write(data)
            transport = await loop.start_tls(lower, protocol, client_context(), **NAME)
            transport.write(b"after")
            assert await protocol.lost is None
            assert protocol.data == b"after"

    loop.run_until_complete(asyncio.wait_for(main(), 10))
    loop.close()


def test_an_accepted_socket_can_be_secured(loop):
    async def main():
        left, right = socket.socketpair()
        serving = loop.create_task(loop.connect_accepted_socket(Recorder, left, ssl=server_context()))
        transport, protocol = await loop.create_connection(Recorder, sock=right, ssl=client_context(), **NAME)
        served, server = await serving
        transport.write(b"hello")
        await until(lambda: server.data == b"hello")
        served.close()
        assert await protocol.lost is None
        assert await server.lost is None
        await turns(3)

    loop.run_until_complete(main())


def test_unix_sockets_can_be_secured(loop, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    async def main():
        served = asyncio.Event()

        async def serve(reader, writer):
            writer.write(await reader.readline())
            await close(writer)
            served.set()

        async with await asyncio.start_unix_server(serve, "socket", ssl=server_context()):
            reader, writer = await asyncio.open_unix_connection("socket", ssl=client_context(), **NAME)
            writer.write(b"hello\n")
            assert await reader.read() == b"hello\n"
            await close(writer)
            await served.wait()

    loop.run_until_complete(main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="3.11 waits for ever, and so does ferrio there")
def test_a_connection_that_is_lost_before_the_handshake_gives_no_transport(loop):
    async def main():
        async with connection() as (transport, protocol, _):
            transport.close()
            upgrading = loop.start_tls(transport, protocol, client_context(), **NAME)
            assert await asyncio.wait_for(upgrading, 5) is None

    loop.run_until_complete(main())
