"""Connections, servers, pipes and datagram endpoints in a child forked from the process that made them.

The tests run on stock asyncio as well: it shows that the claims are asyncio's.
"""

import asyncio
import contextlib
import functools
import os
import threading

import pytest

from tests.support.forked_children import result_of_child
from tests.support.peers import listening

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

WAIT = 10


async def echo(reader, writer):
    while data := await reader.read(100):
        writer.write(data)
        await writer.drain()
    writer.close()


async def ask(**address):
    reader, writer = await asyncio.open_connection(**address)
    writer.write(b"question")
    writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), WAIT)
    writer.close()
    await writer.wait_closed()
    return answer


def test_connections_and_servers_of_the_childs_own(loop):
    async def main():
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with server:
            host, port = server.sockets[0].getsockname()
            return await ask(host=host, port=port)

    loop.run_until_complete(asyncio.sleep(0))
    assert result_of_child(lambda: loop.run_until_complete(main())) == b"question"


def test_a_server_of_the_parent_serves_in_each_child(loop):
    server = loop.run_until_complete(asyncio.start_server(echo, "127.0.0.1", 0))
    host, port = server.sockets[0].getsockname()

    def child():
        return loop.run_until_complete(ask(host=host, port=port))

    try:
        assert [result_of_child(child) for _ in range(3)] == [b"question"] * 3
        assert loop.run_until_complete(ask(host=host, port=port)) == b"question"
    finally:
        server.close()
        loop.run_until_complete(server.wait_closed())


def test_a_stream_connection_of_the_parent_continues_in_the_child(loop):
    with listening() as listener:
        host, port = listener.getsockname()
        reader, writer = loop.run_until_complete(asyncio.open_connection(host, port))
        peer, _ = listener.accept()
        with peer:

            async def talk():
                writer.write(b"from the child")
                await writer.drain()
                peer.send(b"one line\n")
                line = await asyncio.wait_for(reader.readline(), WAIT)
                loop.call_later(0.005, peer.send, b"another\n")
                return line, await asyncio.wait_for(reader.readline(), WAIT)

            assert result_of_child(lambda: loop.run_until_complete(talk())) == (b"one line\n", b"another\n")
            assert peer.recv(100) == b"from the child"
            writer.close()
            loop.run_until_complete(writer.wait_closed())


def test_bulk_from_the_child_on_the_parents_connection(loop):
    """More than the socket takes at once: the edge that says there is room again is the child's own."""
    size = 3_000_000
    with listening() as listener:
        reader, writer = loop.run_until_complete(asyncio.open_connection(*listener.getsockname()))
        peer, _ = listener.accept()
        with peer:

            def swallow():
                left = size
                while left:
                    left -= len(peer.recv(min(left, 1 << 16)))
                peer.send(b"all")

            def child():
                thread = threading.Thread(target=swallow)

                async def flood():
                    thread.start()
                    writer.write(bytes(size))
                    await writer.drain()
                    return await asyncio.wait_for(reader.readexactly(3), WAIT)

                answer = loop.run_until_complete(flood())
                thread.join()
                return answer

            assert result_of_child(child) == b"all"
            writer.close()
            loop.run_until_complete(writer.wait_closed())


def test_a_wait_of_a_sock_method_continues_in_the_child(loop, pair):
    left, right = pair

    async def receive():
        return await loop.sock_recv(left, 100)

    task = loop.create_task(receive())
    loop.run_until_complete(asyncio.sleep(0.001))

    def child():
        right.send(b"hello")
        return loop.run_until_complete(asyncio.wait_for(task, WAIT))

    assert result_of_child(child) == b"hello"
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        loop.run_until_complete(task)


class Collector(asyncio.DatagramProtocol):
    def __init__(self, received):
        self.received = received

    def datagram_received(self, data, address):
        self.received.done() or self.received.set_result(data)


def test_a_datagram_endpoint_of_the_parent_receives_in_the_child(loop):
    received = loop.create_future()
    endpoint = loop.create_datagram_endpoint(functools.partial(Collector, received), ("127.0.0.1", 0))
    transport, _ = loop.run_until_complete(endpoint)

    def child():
        transport.sendto(b"to myself", transport.get_extra_info("sockname"))
        return loop.run_until_complete(asyncio.wait_for(received, WAIT))

    assert result_of_child(child) == b"to myself"
    transport.close()
    loop.run_until_complete(asyncio.sleep(0.001))


def test_pipes_of_the_parent_continue_in_the_child(loop):
    reader_end, writer_end = os.pipe()

    async def connect():
        reader = asyncio.StreamReader()
        reading, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reader_end, "rb", 0)
        )
        writing, _ = await loop.connect_write_pipe(asyncio.Protocol, os.fdopen(writer_end, "wb", 0))
        return reader, reading, writing

    reader, *transports = loop.run_until_complete(connect())

    def child():
        async def talk():
            transports[1].write(b"through the pipe\n")
            return await asyncio.wait_for(reader.readline(), WAIT)

        return loop.run_until_complete(talk())

    assert result_of_child(child) == b"through the pipe\n"
    for transport in transports:
        transport.close()
    loop.run_until_complete(asyncio.sleep(0.001))
