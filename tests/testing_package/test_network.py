"""Connections and datagrams between sockets of a simulated program."""

import asyncio
import errno
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from ferrio import testing
from ferrio.testing import sim
from ferrio.testing._world import World
from tests.support.certificates import client_context, server_context


async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


def test_streams_exchange_lines_and_know_their_addresses():
    async def main():
        seen = []

        async def serve(reader, writer):
            seen.append((writer.get_extra_info("sockname"), writer.get_extra_info("peername")))
            writer.write((await reader.readline()).upper())
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(serve, "localhost", 8000)
        reader, writer = await asyncio.open_connection("127.0.0.1", 8000)
        writer.write(b"hello\n")
        assert await reader.read() == b"HELLO\n"
        ours = writer.get_extra_info("sockname")
        assert seen == [(("127.0.0.1", 8000), ours)]
        assert writer.get_extra_info("peername") == ("127.0.0.1", 8000)
        assert writer.get_extra_info("socket").family == socket.AF_INET
        assert server.sockets[0].getsockname() == ("127.0.0.1", 8000)
        writer.close()
        server.close()
        await server.wait_closed()

    testing.run(main)
    report = testing.explore(main, schedules=300)
    assert report.failure is None, str(report)


def test_bytes_of_a_direction_stay_in_order_however_they_are_split():
    chunks = set()

    async def main():
        received = bytearray()

        async def serve(reader, writer):
            while data := await reader.read(100):
                chunks.add(bytes(data))
                received.extend(data)
            writer.close()

        server = await asyncio.start_server(serve, "localhost", 8000)
        _, writer = await asyncio.open_connection("localhost", 8000)
        writer.write(b"abcd")
        await asyncio.sleep(0)
        writer.write(b"efgh")
        writer.write_eof()
        await writer.drain()
        await asyncio.sleep(1)
        assert bytes(received) == b"abcdefgh"
        writer.close()
        server.close()

    report = testing.explore(main, schedules=400)
    assert report.failure is None, str(report)
    assert {b"abcdefgh", b"a", b"abcdefg", b"abcd"} <= chunks


def test_a_program_that_takes_one_read_for_one_message_fails_by_a_split():
    async def main():
        async def serve(reader, writer):
            assert await reader.read(100) == b"hello", "not the whole message"
            writer.close()

        server = await asyncio.start_server(serve, "localhost", 8000)
        reader, writer = await asyncio.open_connection("localhost", 8000)
        writer.write(b"hello")
        await reader.read()
        writer.close()
        server.close()

    report = testing.explore(main, schedules=100)
    assert report.failure is not None
    assert report.failure.classification == "arrival"
    assert "of 5 bytes of what local sends to local land" in report.failure.story
    again = testing.replay(main, report.failure.token)
    assert type(again.failure.exception) is type(report.failure.exception)


def test_a_writer_that_is_faster_than_its_reader_waits():
    async def main():
        total = 0

        async def serve(reader, writer):
            nonlocal total
            while data := await reader.read(65536):
                total += len(data)
                await asyncio.sleep(0.01)
            writer.close()

        server = await asyncio.start_server(serve, "localhost", 8000)
        reader, writer = await asyncio.open_connection("localhost", 8000)
        loop = asyncio.get_running_loop()
        for _ in range(20):
            writer.write(bytes(100_000))
            await writer.drain()
        assert loop.time() > 0.1
        writer.write_eof()
        assert await reader.read() == b""
        assert total == 2_000_000
        writer.close()
        server.close()

    testing.run(main)


def test_half_closing_leaves_the_other_direction_open():
    async def main():
        async def serve(reader, writer):
            data = await reader.read()
            writer.write(data * 2)
            writer.close()

        server = await asyncio.start_server(serve, "localhost", 8000)
        reader, writer = await asyncio.open_connection("localhost", 8000)
        writer.write(b"half")
        writer.write_eof()
        assert await reader.read() == b"halfhalf"
        writer.close()
        server.close()

    assert testing.explore(main, schedules=200).failure is None


def test_writing_to_a_closed_peer_is_answered_with_a_reset():
    async def main():
        async def serve(reader, writer):
            writer.close()

        server = await asyncio.start_server(serve, "localhost", 8000)
        reader, writer = await asyncio.open_connection("localhost", 8000)
        assert await reader.read() == b""

        async def go_on():
            for _ in range(5):
                writer.write(b"more")
                await writer.drain()
                await asyncio.sleep(0.01)

        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            await go_on()
        server.close()

    testing.run(main)


def test_closing_with_unread_bytes_resets_the_connection():
    async def main():
        async def serve(reader, writer):
            await asyncio.sleep(1)
            writer.transport.pause_reading()
            writer.transport.abort()

        server = await asyncio.start_server(serve, "localhost", 8000, limit=10)
        reader, writer = await asyncio.open_connection("localhost", 8000)
        writer.write(bytes(200_000))
        with pytest.raises(ConnectionResetError):
            await reader.read()
        server.close()

    testing.run(main)


def test_nobody_listening_refuses_and_unknown_names_are_not_found():
    async def main():
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", 8000)
        with pytest.raises(socket.gaierror, match="no host named 'elsewhere'"):
            await asyncio.open_connection("elsewhere", 8000)
        with pytest.raises(OSError) as caught:
            await asyncio.open_connection("192.0.2.1", 8000)
        assert caught.value.errno == errno.ENETUNREACH
        server = await asyncio.start_server(echo, "localhost", 8000)
        with pytest.raises(OSError) as caught:
            await asyncio.start_server(echo, "localhost", 8000)
        assert caught.value.errno == errno.EADDRINUSE
        server.close()

    testing.run(main)


def test_unix_sockets_connect_by_their_path(tmp_path):
    path = str(tmp_path / "socket")

    async def main():
        server = await asyncio.start_unix_server(echo, path)
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"by path")
        writer.write_eof()
        assert await reader.read() == b"by path"
        writer.close()
        server.close()
        assert not os.path.exists(path)

    testing.run(main)


def test_datagrams_are_whole_and_may_overtake_each_other():
    orders = set()

    class Collect(asyncio.DatagramProtocol):
        def __init__(self):
            self.received = []

        def datagram_received(self, data, addr):
            self.received.append((data, addr))

    async def main():
        loop = asyncio.get_running_loop()
        receiving, collect = await loop.create_datagram_endpoint(Collect, local_addr=("127.0.0.1", 9000))
        sending, _ = await loop.create_datagram_endpoint(Collect, remote_addr=("127.0.0.1", 9000))
        ours = sending.get_extra_info("sockname")
        for data in (b"one", b"two", b"three"):
            sending.sendto(data)
        await asyncio.sleep(1)
        assert sorted(collect.received) == [(b"one", ours), (b"three", ours), (b"two", ours)]
        orders.add(tuple(data for data, _ in collect.received))
        sending.close()
        receiving.close()

    report = testing.explore(main, schedules=300)
    assert report.failure is None, str(report)
    assert len(orders) == 6


def test_sock_methods_serve_sockets_made_in_the_simulation():
    async def main():
        loop = asyncio.get_running_loop()
        listening = socket.socket()
        listening.setblocking(False)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        client.setblocking(False)
        assert isinstance(client, socket.socket)
        connecting = asyncio.ensure_future(loop.sock_connect(client, listening.getsockname()))
        server, address = await loop.sock_accept(listening)
        await connecting
        assert address == client.getsockname()
        await loop.sock_sendall(client, b"question")
        assert await loop.sock_recv(server, 100) == b"question"
        await loop.sock_sendall(server, b"answer")
        buffer = bytearray(10)
        assert await loop.sock_recv_into(client, buffer) == 6
        for sock in (client, server, listening):
            sock.close()

    testing.run(main)


def test_readers_and_writers_watch_simulated_sockets():
    async def main():
        loop = asyncio.get_running_loop()
        one, other = socket.socketpair()
        one.setblocking(False)
        other.setblocking(False)
        readable = loop.create_future()
        loop.add_reader(other, readable.set_result, None)
        one.send(b"ready")
        await readable
        loop.remove_reader(other)
        assert other.recv(100) == b"ready"
        one.close()
        other.close()

    testing.run(main)


def test_tls_passes_through():
    async def main():
        server = await asyncio.start_server(echo, "localhost", 8443, ssl=server_context())
        reader, writer = await asyncio.open_connection("localhost", 8443, ssl=client_context())
        writer.write(b"secret")
        assert await reader.readexactly(6) == b"secret"
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(1)  # the handler ends as well
        server.close()

    testing.run(main)


def test_what_is_not_simulated_is_refused_by_name():
    real = socket.socket()
    real.setblocking(False)

    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises(testing.RealIOError, match="sock_recv"):
            await loop.sock_recv(real, 10)
        with pytest.raises(testing.RealIOError, match="create_connection"):
            await loop.create_connection(asyncio.Protocol, sock=real)
        with pytest.raises(testing.RealIOError, match="add_reader"):
            loop.add_reader(real, print)
        with pytest.raises(testing.RealIOError, match="subprocess_exec"):
            await asyncio.create_subprocess_exec("true")
        blocking = socket.socket()
        for name, arguments in (("connect", (("127.0.0.1", 1),)), ("recv", (1,)), ("sendall", (b"",))):
            with pytest.raises(testing.RealIOError, match=name):
                getattr(blocking, name)(*arguments)
        blocking.close()

    testing.run(main)
    real.close()


def test_the_socket_module_is_put_back_and_other_threads_keep_it():
    before = socket.socket, socket.getaddrinfo

    async def main():
        made = []
        thread = threading.Thread(target=lambda: made.append(socket.socket()))
        thread.start()
        while thread.is_alive():
            await asyncio.sleep(0.001)
        assert type(made[0]) is before[0]
        made[0].close()

    testing.run(main)
    assert (socket.socket, socket.getaddrinfo) == before


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_run_leaves_no_descriptors_open():
    async def main():
        await asyncio.start_server(echo, "localhost", 8000)
        _, writer = await asyncio.open_connection("localhost", 8000)
        writer.write(b"left open")
        await asyncio.sleep(0.1)

    testing.run(main)
    open_before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(3):
        testing.explore(main, schedules=20)
    open_after = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    assert open_after == open_before


PROGRAM = """
import asyncio
from ferrio import testing

async def serve(reader, writer):
    data = await reader.read(100)
    assert data == b"hello", "split"
    writer.close()

async def main():
    server = await asyncio.start_server(serve, "localhost", 8000)
    reader, writer = await asyncio.open_connection("localhost", 8000)
    writer.write(b"hello")
    await reader.read()
    writer.close()
    server.close()

import sys
if len(sys.argv) > 1:
    print(repr(testing.replay(main, sys.argv[1]).failure.exception))
else:
    failure = testing.explore(main).failure
    print(failure.token, repr(failure.exception), sep="\\n")
"""


def test_a_token_fails_again_in_another_process(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)

    def run(*arguments, seed):
        command = [sys.executable, str(tmp_path / "program.py"), *arguments]
        environment = os.environ | {"PYTHONHASHSEED": seed}
        return subprocess.run(
            command, capture_output=True, text=True, timeout=100, check=True, env=environment
        ).stdout.strip()

    token, exception = run(seed="0").splitlines()
    for seed in ("1", "2"):
        assert run(token, seed=seed) == exception


def test_sim_is_there_only_in_a_simulation():
    with pytest.raises(RuntimeError, match="runs in a simulation"):
        _ = sim.net


def test_a_busy_machine_makes_no_difference_to_the_choices():
    """A loop skips polls as the system's time says; a simulated one polls in each turn."""

    async def main():
        async def answer(reader, writer):
            for _ in range(3):
                writer.write(await reader.readline())
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 80)
        reader, writer = await asyncio.open_connection("127.0.0.1", 80)
        asyncio.get_running_loop().call_later(0.001, int)
        for _ in range(3):
            writer.write(b"line\n")
            spin()
            await asyncio.sleep(0)
            spin()
            await reader.readline()
        writer.close()
        server.close()

    def spin():
        until = real_perf_counter() + busy
        while real_perf_counter() < until:
            pass

    real_perf_counter = time.perf_counter
    busy = 0.0
    at_ease = choices_of(main)
    busy = 0.0002
    assert choices_of(main) == at_ease


def choices_of(main):
    """How many choices the undisturbed run makes."""
    world = World(0, 0.005)
    counts = []
    with world:
        clean_up = world._clean_up
        world._clean_up = lambda *arguments: (counts.append(len(world.simulation.choices)), clean_up(*arguments))[1]
        world.simulation.repeat([], 15)
        world.once(main)
    return counts[0]
