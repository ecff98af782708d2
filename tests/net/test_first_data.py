"""The first data of a connection arrives after the code that awaited the connection has had a turn."""

import asyncio
import os
import socket
from functools import partial

import pytest

import ferrio
from tests.support.certificates import client_context, server_context
from tests.support.differential import assert_same
from tests.support.peers import Recorder, listening, turns, until
from tests.support.tls_peers import NAME


@pytest.fixture(params=["create_connection", "connect_accepted_socket"])
def made(request, loop):
    """Makes a transport of a socket that has something to read already; and the other end."""
    ours, peer = socket.socketpair()
    peer.send(b"early")

    def make():
        if request.param == "create_connection":
            return loop.create_connection(Recorder, sock=ours)
        return loop.connect_accepted_socket(Recorder, ours)

    with peer:
        yield make


def test_another_protocol_can_be_set_before_data_comes(loop, made):
    async def main():
        transport, first = await made()
        second = Recorder()
        transport.set_protocol(second)
        await until(lambda: second.data)
        assert (bytes(first.data), bytes(second.data)) == (b"", b"early")
        transport.abort()
        await turns(2)

    loop.run_until_complete(main())


def test_reading_can_be_paused_before_data_comes(loop, made):
    async def main():
        transport, protocol = await made()
        transport.pause_reading()
        await asyncio.sleep(0.02)
        assert not protocol.data
        transport.resume_reading()
        await until(lambda: protocol.data)
        transport.abort()
        await turns(2)

    loop.run_until_complete(main())


def test_a_servers_protocol_hears_of_data_after_what_it_scheduled(loop):
    trace = []

    class Scheduling(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport
            loop.call_soon(trace.append, "scheduled")

        def data_received(self, data):
            trace.append(data)
            self.transport.close()

        def connection_lost(self, error):
            trace.append(error)

    async def main():
        server = await loop.create_server(Scheduling, "127.0.0.1", 0)
        with socket.create_connection(server.sockets[0].getsockname()) as client:
            client.send(b"early")
            await until(lambda: len(trace) == 3)
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())
    assert trace == ["scheduled", b"early", None]


@pytest.mark.parametrize("streams", [asyncio, ferrio], ids=["asyncio", "ferrio"])
def test_a_handler_can_start_tls_though_the_client_has_begun(loop, streams):
    async def handler(reader, writer):
        await writer.start_tls(server_context())
        writer.write(await reader.readexactly(4))
        await writer.drain()
        writer.close()

    async def main():
        server = await streams.start_server(handler, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        reader, writer = await streams.open_connection(*address, ssl=client_context(), **NAME)
        writer.write(b"ping")
        assert await reader.readexactly(4) == b"ping"
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())


def test_a_peer_that_is_gone_already_leaves_an_open_transport_for_a_turn(loop):
    async def main():
        with listening() as listener:
            ours = socket.create_connection(listener.getsockname())
            listener.accept()[0].close()
        transport, protocol = await loop.create_connection(Recorder, sock=ours)
        assert not transport.is_closing()
        await protocol.lost
        assert protocol.trace == ["made", "eof", ("lost", "NoneType")]

    loop.run_until_complete(main())


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_pipes_next_data_comes_right_after_its_reader_continued(kind):
    """asyncssh lets go of the pipe before it only then, and loses what comes later."""

    def ends():
        if kind == "socket":
            left, right = socket.socketpair()
            return left, os.fdopen(right.detach(), "rb")
        near, far = os.pipe()
        return os.fdopen(far, "wb", 0), os.fdopen(near, "rb")

    async def scenario(trace):
        loop = asyncio.get_running_loop()

        class Telling(asyncio.Protocol):
            def __init__(self, name):
                self.tell = lambda *what: trace.append((name, *what))

            def connection_made(self, transport):
                self.tell("made")

            def data_received(self, data):
                self.tell(data)

            def connection_lost(self, error):
                self.tell(error)

        def turn(left):
            trace.append(left)
            if left:
                loop.call_soon(turn, left - 1)

        transports = []
        for name in ("first", "second"):
            far, near = ends()
            with far:
                os.write(far.fileno(), name.encode())
                turn(4)
                transport, _ = await loop.connect_read_pipe(partial(Telling, name), near)
                trace.append("connected")
                for before in transports:
                    before.close()
                transports.append(transport)
                await asyncio.sleep(0.02)
        transport.close()
        await turns(2)

    assert_same(scenario)
