"""TLS connections: flow control in both layers, and every way in which a connection ends."""

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from typing import Any

import pytest

import ferrio
from tests.support.certificates import client_context, server_context
from tests.support.differential import assert_same, outcome
from tests.support.peers import BufferedRecorder, Recorder, reset, until
from tests.support.tls_peers import NAME, Echo, blocking_server, client, serving, shake_hands


@pytest.fixture(params=["TLSv1_2", "TLSv1_3"])
def version(request) -> ssl.TLSVersion:
    return ssl.TLSVersion[request.param]


# -- flow control --------------------------------------------------------------------


def test_paused_reading_stops_the_peer(loop):
    """Both buffers fill, then the sockets; nothing is read on meanwhile."""
    data = bytes(20_000_000)
    sent = threading.Event()

    def send(peer):
        peer.sendall(data)
        sent.set()
        peer.unwrap()

    async def main():
        async with blocking_server(send) as address, client(address) as (transport, protocol):
            transport.pause_reading()
            assert not transport.is_reading()
            await asyncio.sleep(0.3)
            assert not sent.is_set()
            assert protocol.data == b""
            assert transport.get_read_buffer_size() < 1 << 20
            transport.resume_reading()
            assert transport.is_reading()
            assert await protocol.lost is None
            assert len(protocol.data) == len(data)

    loop.run_until_complete(asyncio.wait_for(main(), 30))


def test_a_peer_that_does_not_read_pauses_writing(loop):
    go_on = threading.Event()
    received = []

    def receive(peer):
        go_on.wait(10)
        received.append(sum(map(len, iter(lambda: peer.recv(1 << 20), b""))))

    async def main():
        async with blocking_server(receive) as address, client(address) as (transport, protocol):
            written = 0
            while "pause" not in protocol.trace:
                transport.write(bytes(100_000))
                written += 100_000
                await asyncio.sleep(0)
                assert written < 50_000_000
            assert transport.get_write_buffer_size() >= 512 * 1024
            go_on.set()
            await until(lambda: "resume" in protocol.trace)
            transport.close()
            await protocol.lost
            assert [event for event in protocol.trace if event in ("pause", "resume")] == ["pause", "resume"]
        assert received == [written]

    loop.run_until_complete(asyncio.wait_for(main(), 30))


def test_buffer_limits_are_asyncios():
    async def scenario(trace):
        async with serving() as address, client(address) as (transport, protocol):
            trace.append((transport.get_write_buffer_limits(), transport.get_read_buffer_limits()))
            for keywords in ({"high": 100}, {"low": 100}, {"high": 1, "low": 2}, {"high": -1}, {}):
                trace.append(outcome(transport.set_write_buffer_limits, **keywords))
                trace.append(outcome(transport.set_read_buffer_limits, **keywords))
                trace.append((transport.get_write_buffer_limits(), transport.get_read_buffer_limits()))
            transport.set_write_buffer_limits(high=0)
            transport.write(b"hello")
            await until(lambda: protocol.data == b"hello")
            trace.append(protocol.trace)

    assert_same(scenario)


def test_another_protocol_takes_over(loop):
    async def main():
        async with serving() as address, client(address) as (transport, first):
            transport.write(b"one")
            await until(lambda: first.data == b"one")
            for second in (Recorder(), BufferedRecorder(), Recorder()):
                second.made = None
                transport.set_protocol(second)
                assert transport.get_protocol() is second
                transport.write(b"two")
                await until(lambda second=second: second.data == b"two")
            assert first.data == b"one"

    loop.run_until_complete(main())


# -- the end -------------------------------------------------------------------------


def test_what_was_written_before_close_arrives(loop, version):
    received = []

    def receive(peer):
        received.append(b"".join(iter(lambda: peer.recv(1 << 20), b"")))

    async def main():
        context = client_context()
        context.maximum_version = version
        data = bytes(range(256)) * 10_000
        async with blocking_server(receive) as address, client(address, context=context) as (transport, protocol):
            transport.write(data)
            transport.close()
            assert transport.is_closing()
            assert await protocol.lost is None
        assert received == [data]

    loop.run_until_complete(main())


@pytest.mark.parametrize("eof", [None, True])
def test_the_peers_close_notify_ends_the_connection(eof):
    async def scenario(trace):
        class Client(Recorder):
            def eof_received(self):
                super().eof_received()
                return eof

        def send(peer):
            peer.sendall(b"last words")
            peer.unwrap()

        async with blocking_server(send) as address, client(address, Client) as (transport, protocol):
            trace.append(await protocol.lost)
            trace.append((protocol.trace, bytes(protocol.data), transport.is_closing()))

    assert_same(scenario)


@pytest.mark.parametrize("end", [reset, socket.socket.close])
def test_an_end_without_close_notify(end):
    async def scenario(trace):
        loop = asyncio.get_running_loop()

        def send(peer):
            peer.sendall(b"last words")
            while peer.recv(100) != b"cut":
                pass
            end(socket.socket(fileno=peer.detach()))

        with contextlib.suppress(OSError):  # the peer's socket is closed under the wrapper's feet
            async with blocking_server(send) as address, client(address) as (transport, protocol):
                await until(lambda: protocol.data == b"last words")
                transport.write(b"cut")
                trace.append(type(await protocol.lost).__name__)
                trace.append(protocol.trace)
        await loop.run_in_executor(None, int)

    assert_same(scenario)


def test_a_truncated_record_is_not_given_to_the_protocol():
    async def scenario(trace):
        async with tampered(lambda record: record[:-3], then_close=True) as protocol:
            trace.append(type(await protocol.lost).__name__)
            trace.append((protocol.trace, bytes(protocol.data)))

    assert_same(scenario)


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record[:-1] + bytes([record[-1] ^ 1]),
        lambda record: b"plain text in place of a record",
        lambda record: record[:3] + b"\xff\xff" + bytes(0xFFFF),
        lambda record: b"\x17\x03\x03\x00\x00" + record,
        lambda record: b"\x99" + record[1:],
    ],
    ids=["changed", "plain text", "too long", "empty", "unknown type"],
)
def test_a_bad_record_ends_the_connection(change):
    async def scenario(trace):
        async with tampered(change) as protocol:
            error = await protocol.lost
            trace.append((type(error).__name__, getattr(error, "reason", None)))
            trace.append((protocol.trace, bytes(protocol.data)))

    assert_same(scenario)


@contextlib.asynccontextmanager
async def tampered(change, *, then_close=False):
    """The protocol of a server to whose client's first record of data `change` is done."""
    made = asyncio.get_running_loop().create_future()

    def server():
        protocol = Recorder()
        made.set_result(protocol)
        return protocol

    async with serving(server) as address:

        def talk():
            with socket.create_connection(address, timeout=5) as sock:
                tls_object, _, outgoing = shake_hands(sock)
                tls_object.write(b"secret")
                sock.sendall(change(outgoing.read()))
                if then_close:
                    sock.shutdown(socket.SHUT_WR)
                with contextlib.suppress(ConnectionError):
                    while sock.recv(1 << 16):
                        pass

        talking = asyncio.create_task(asyncio.to_thread(talk))
        yield await made
        await talking


def test_a_peer_that_neither_answers_nor_reads_is_cut(loop):
    """It has not taken what was written; close_notify waits behind that."""
    over = threading.Event()

    async def main():
        async with blocking_server(lambda peer: over.wait(10)) as address:
            async with client(address, ssl_shutdown_timeout=0.2) as (transport, protocol):
                transport.write(bytes(10_000_000))
                transport.close()
                error = await asyncio.wait_for(protocol.lost, 5)
                assert isinstance(error, TimeoutError)
                assert "SSL shutdown timed out" in str(error)
                over.set()

    loop.run_until_complete(main())


def test_a_peer_that_closes_and_does_not_read_is_cut():
    """asyncio before 3.14 waits for it without end."""
    loop = ferrio.new_event_loop()
    over = threading.Event()

    def close_only(address):
        with socket.create_connection(address, timeout=5) as sock:
            tls_object, _, outgoing = shake_hands(sock)
            over.wait(5)  # until there is much to be sent to it
            over.clear()
            with contextlib.suppress(ssl.SSLWantReadError):
                tls_object.unwrap()
            sock.sendall(outgoing.read())
            over.wait(10)

    async def main():
        made = loop.create_future()

        class Server(Recorder):
            def connection_made(self, transport):
                super().connection_made(transport)
                made.set_result(self)

        async with serving(Server, ssl_shutdown_timeout=0.2) as address:
            peer = loop.create_task(asyncio.to_thread(close_only, address))
            protocol = await made
            protocol.transport.write(bytes(20_000_000))
            over.set()
            assert isinstance(await asyncio.wait_for(protocol.lost, 5), TimeoutError)
            over.set()
            await peer

    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


@pytest.mark.parametrize("end", ["close_notify", "end of file"])
@pytest.mark.parametrize("factory", [Recorder, BufferedRecorder])
def test_what_waits_when_the_peer_closes_still_arrives(end, factory: Any):
    """By a socket that takes little at a time: part waits in the socket's buffer, part above it (gh-115514)."""
    loop = ferrio.new_event_loop()
    size = 1_000_000
    written, outcome = threading.Event(), []

    def close_and_receive(address):
        with socket.create_connection(address, timeout=5) as sock:
            tls_object, incoming, outgoing = shake_hands(sock)
            written.wait(5)
            if end == "close_notify":
                with contextlib.suppress(ssl.SSLWantReadError):
                    tls_object.unwrap()
                sock.sendall(outgoing.read())
            else:
                sock.shutdown(socket.SHUT_WR)
            time.sleep(0.1)  # until it is seen at the other end
            outcome.append(receive_all(sock, tls_object, incoming))

    def receive_all(sock, tls_object, incoming):
        count = 0
        while True:
            try:
                count += len(tls_object.read(1 << 16))
            except ssl.SSLWantReadError:
                if not incoming.write(sock.recv(1 << 14)):
                    return count, "end of file"
            except ssl.SSLZeroReturnError:
                return count, "close_notify"

    async def main():
        made = loop.create_future()

        class Server(factory):
            def connection_made(self, transport):
                super().connection_made(transport)
                sock = transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 14)
                made.set_result(self)

        async with serving(Server) as address:
            peer = loop.create_task(asyncio.to_thread(close_and_receive, address))
            protocol = await made
            for _ in range(40):
                protocol.transport.write(bytes(size // 40))
            written.set()
            await asyncio.wait_for(peer, 20)
            await asyncio.wait_for(protocol.lost, 5)
            assert outcome == [(size, end)]

    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def test_what_a_peer_keeps_sending_after_close_is_not_read(loop):
    sent = []

    def flood(peer):
        total = 0
        with contextlib.suppress(OSError):
            while total < 1 << 30:
                total += peer.send(bytes(1 << 16))
        sent.append(total)

    async def main():
        async with blocking_server(flood) as address:
            async with client(address, ssl_shutdown_timeout=0.3) as (transport, protocol):
                await until(lambda: protocol.data)
                transport.close()
                before = len(protocol.data)
                await asyncio.wait_for(protocol.lost, 5)
                assert len(protocol.data) - before < 1 << 20
        assert sent[0] < 1 << 28

    loop.run_until_complete(main())


def test_abort_drops_what_is_buffered():
    async def scenario(trace):
        over = threading.Event()
        async with blocking_server(lambda peer: over.wait(5)) as address:
            async with client(address) as (transport, protocol):
                transport.write(bytes(10_000_000))
                transport.abort()
                trace.append(transport.is_closing())
                trace.append(await asyncio.wait_for(protocol.lost, 5))
                trace.append(protocol.trace[-1])
                over.set()

    assert_same(scenario)


def test_writing_after_the_end_is_warned_of():
    async def scenario(trace):
        async with serving() as address, client(address) as (transport, protocol):
            transport.close()
            trace.append(await protocol.lost)
            for _ in range(8):
                trace.append(outcome(transport.write, b"after the end"))
            trace.append(outcome(transport.writelines, [b"after", b"the end"]))

    assert_same(scenario)


@pytest.mark.parametrize("method", ["connection_made", "data_received", "eof_received", "connection_lost"])
def test_an_exception_of_the_protocol_is_reported(method):
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(
            lambda _, context: trace.append((context["message"].split("<")[0], str(context["exception"])))
        )

        class Server(asyncio.Protocol):
            pass

        def fail(*_):
            raise RuntimeError(method)

        setattr(Server, method, fail)
        async with serving(Server) as address:
            transport, protocol = await loop.create_connection(Recorder, *address, ssl=client_context(), **NAME)
            transport.write(b"hello")
            await asyncio.sleep(0.05)
            transport.close()
            await protocol.lost
            await asyncio.sleep(0.05)

    assert_same(scenario)


def test_a_server_waits_for_its_connections(loop):
    async def main():
        server = await loop.create_server(Echo, "127.0.0.1", 0, ssl=server_context())
        async with client(server.sockets[0].getsockname()) as (transport, protocol):
            transport.write(b"hello")
            await until(lambda: protocol.data == b"hello")
            server.close()
            transport.write(b"again")
            await until(lambda: protocol.data == b"helloagain")
            transport.close()
            await protocol.lost
        await asyncio.wait_for(server.wait_closed(), 5)

    loop.run_until_complete(main())
