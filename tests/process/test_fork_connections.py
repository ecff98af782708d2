"""Connections, servers and loops that a forked child closes stay whole in its parent, and the other way round.

On ferrio alone, but for the first: what a child of stock takes out of the shared poller its parent hears of no more.
"""

import asyncio
import contextlib
import os
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import ferrio
from tests.support.certificates import client_context, server_context
from tests.support.forked_children import in_child, result_of_child
from tests.support.loops import close
from tests.support.peers import listening, until

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

WAIT = 10


@pytest.fixture
def own_loop():
    loop = ferrio.new_event_loop()
    yield loop
    if not loop.is_closed():
        close(loop)


@contextlib.contextmanager
def shouting_server():
    """Answers one TLS connection, from a thread, in capitals."""

    def serve(listener):
        connection, _ = listener.accept()
        connection.settimeout(WAIT)
        with server_context().wrap_socket(connection, server_side=True) as connection, contextlib.suppress(OSError):
            while data := connection.recv(100):
                connection.sendall(data.upper())

    with listening() as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield listener.getsockname()
        thread.join()


def connect(loop, address):
    opening = asyncio.open_connection(*address, ssl=client_context(), server_hostname="localhost")
    return loop.run_until_complete(opening)


async def ask(reader, writer, line):
    writer.write(line)
    await writer.drain()
    return await asyncio.wait_for(reader.readline(), WAIT)


def drop(loop, writer):
    writer.transport.abort()
    loop.run_until_complete(asyncio.sleep(0.001))


def test_a_tls_connection_continues_in_the_child(loop):
    with shouting_server() as address:
        reader, writer = connect(loop, address)
        assert loop.run_until_complete(ask(reader, writer, b"parent\n")) == b"PARENT\n"
        assert result_of_child(lambda: loop.run_until_complete(ask(reader, writer, b"child\n"))) == b"CHILD\n"
        drop(loop, writer)


def test_a_tls_connection_that_the_child_drops_continues_in_the_parent(own_loop):
    with shouting_server() as address:
        reader, writer = connect(own_loop, address)
        assert in_child(lambda: drop(own_loop, writer)) == 0
        assert own_loop.run_until_complete(ask(reader, writer, b"parent\n")) == b"PARENT\n"
        drop(own_loop, writer)


def test_a_tls_connection_that_the_parent_drops_continues_in_the_child(own_loop):
    with shouting_server() as address:
        reader, writer = connect(own_loop, address)
        dropped, drops = os.pipe()
        answered, answers = os.pipe()

        def child():
            os.read(dropped, 1)
            os.write(answers, own_loop.run_until_complete(ask(reader, writer, b"child\n")))
            drop(own_loop, writer)

        thread = threading.Thread(target=lambda: os.write(answers, str(in_child(child)).encode()))
        thread.start()
        drop(own_loop, writer)
        os.write(drops, b"x")
        thread.join()
        assert os.read(answered, 100) == b"CHILD\n0"
        for descriptor in (dropped, drops, answered, answers):
            os.close(descriptor)


def test_a_connection_that_the_child_closes_stays_open_in_the_parent(own_loop):
    with listening() as listener:
        reader, writer = own_loop.run_until_complete(asyncio.open_connection(*listener.getsockname()))
        peer, _ = listener.accept()

        async def end():
            writer.close()
            await writer.wait_closed()

        def child():
            own_loop.run_until_complete(end())
            own_loop.close()

        with peer:
            assert in_child(child) == 0
            writer.write(b"still here")
            assert peer.recv(100) == b"still here"
            peer.send(b"so are we\n")
            assert own_loop.run_until_complete(asyncio.wait_for(reader.readline(), WAIT)) == b"so are we\n"
            own_loop.run_until_complete(end())


async def greet(_, writer):
    writer.write(b"%d\n" % os.getpid())
    await writer.drain()
    writer.close()


def test_a_server_that_the_child_closes_serves_in_the_parent(own_loop):
    server = own_loop.run_until_complete(asyncio.start_server(greet, "127.0.0.1", 0))
    address = server.sockets[0].getsockname()

    async def read():
        reader, writer = await asyncio.open_connection(*address)
        line = await asyncio.wait_for(reader.readline(), WAIT)
        writer.close()
        return int(line)

    def child():
        server.close()
        own_loop.run_until_complete(asyncio.sleep(0.001))
        own_loop.close()

    assert in_child(child) == 0
    assert own_loop.run_until_complete(read()) == os.getpid()
    server.close()
    own_loop.run_until_complete(server.wait_closed())


def test_a_loop_closed_in_the_child_keeps_all_that_the_parent_registered(own_loop):
    left, right = socket.socketpair()
    left.setblocking(False)
    seen = []
    own_loop.add_reader(left, lambda: seen.append(left.recv(100)))
    own_loop.add_signal_handler(signal.SIGUSR1, seen.append, "signal")
    own_loop.call_later(0.001, seen.append, "timer")
    assert in_child(own_loop.close) == 0

    async def look():
        right.send(b"data")
        os.kill(os.getpid(), signal.SIGUSR1)
        thread = threading.Thread(target=own_loop.call_soon_threadsafe, args=(seen.append, "thread"))
        own_loop.call_later(0.002, thread.start)
        await until(lambda: len(seen) == 4, WAIT)
        thread.join()

    with left, right:
        own_loop.run_until_complete(look())
        own_loop.remove_reader(left)
    assert sorted(map(str, seen)) == ["b'data'", "signal", "thread", "timer"]
    assert own_loop.remove_signal_handler(signal.SIGUSR1)


def test_workers_forked_before_they_run_the_programs_loop(own_loop):
    """As gunicorn and its like do it: one listener, one loop made before, several workers that a signal ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    ready, tell = os.pipe()

    async def serve():
        stop = asyncio.Event()
        own_loop.add_signal_handler(signal.SIGTERM, stop.set)
        server = await asyncio.start_server(greet, sock=listener)
        os.write(tell, b"x")
        await stop.wait()
        server.close()

    def work():
        own_loop.run_until_complete(serve())
        own_loop.close()

    def introduce_and_work():
        os.write(tell, b"p%d\n" % os.getpid())
        work()

    statuses = []
    workers = [threading.Thread(target=lambda: statuses.append(in_child(introduce_and_work))) for _ in range(3)]
    for worker in workers:
        worker.start()
    said = b""
    while said.count(b"x") < 3 or said.count(b"p") < 3:
        said += os.read(ready, 100)
    numbers = {int(number) for number in said.replace(b"x", b"").split(b"p") if number.strip()}
    for _ in range(20):
        with socket.create_connection(listener.getsockname()) as connection:
            connection.settimeout(WAIT)
            assert int(connection.makefile().readline()) in numbers
    for number in numbers:
        os.kill(number, signal.SIGTERM)
    for worker in workers:
        worker.join()
    assert statuses == [0, 0, 0]
    listener.close()
    os.close(ready)
    os.close(tell)


def test_a_thread_pool_of_the_parent_works_in_the_child(own_loop):
    """Its threads are missing in the child, which starts others; asyncio's jobs wait for ever there."""
    assert own_loop.run_until_complete(own_loop.run_in_executor(None, abs, -1)) == 1

    def child():
        own = ThreadPoolExecutor(1)
        inherited = own_loop.run_until_complete(own_loop.run_in_executor(None, abs, -2))
        return inherited, own_loop.run_until_complete(own_loop.run_in_executor(own, abs, -3))

    assert result_of_child(child) == (2, 3)
    assert own_loop.run_until_complete(own_loop.run_in_executor(None, abs, -4)) == 4
    own_loop.run_until_complete(own_loop.shutdown_default_executor())
