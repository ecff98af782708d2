"""What a callback wrote arrives whole, once and in order, however the callback continues or ends."""

import asyncio
import contextlib
import logging
import os
import random
import socket
import threading
import time

import pytest

import ferrio
from tests.support.certificates import client_context, server_context
from tests.support.peers import socket_pair
from tests.support.pending_writes import ATTEMPTS, Writer, arrived, connection, write_pending, write_twice


@pytest.fixture
def ferrio_loop():
    loop = ferrio.EventLoop()
    yield loop
    loop.close()


async def blocks_for_the_answer(attempts):
    """Each callback writes and waits, blocking the loop, for the other end to answer."""
    with socket_pair() as (near, far):
        far.setblocking(True)

        def echo():
            while data := far.recv(1024):
                far.sendall(data)

        thread = threading.Thread(target=echo)
        thread.start()
        transport, _ = await asyncio.get_running_loop().create_connection(Writer, sock=near)
        transport.pause_reading()
        await asyncio.sleep(0)
        with socket.socket(fileno=os.dup(near.fileno())) as peer:
            peer.settimeout(30)
            for _ in range(attempts):
                transport.write(b"1")
                transport.write(b"2")
                await asyncio.sleep(0)
                answer = b""
                transport.write(b"3")
                while len(answer) < 3:
                    answer += peer.recv(3 - len(answer))
                assert answer == b"123"
                await asyncio.sleep(0)
        transport.abort()
        await asyncio.sleep(0)
        far.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_callback_may_wait_for_the_answer_to_what_it_wrote(loop):
    loop.run_until_complete(blocks_for_the_answer(50))


def test_a_connection_whose_callback_waited_holds_nothing_any_more(ferrio_loop):
    async def main():
        async with connection() as (transport, _, far):
            await write_pending(transport, far)
            far.setblocking(True)
            assert far.recv(100) == b"held"
            far.setblocking(False)
            await asyncio.sleep(0)
            for _ in range(50):
                transport.write(b"1")
                transport.write(b"2")
                assert arrived(far) == b"12"
                await asyncio.sleep(0)

    ferrio_loop.run_until_complete(main())


@pytest.mark.parametrize("kind", [RuntimeError, SystemExit, KeyboardInterrupt])
def test_what_was_written_before_an_exception_arrives(loop, kind, log):
    async def main():
        async with connection() as (transport, _, far):

            def fail():
                transport.write(b"before")
                transport.write(b" it")
                raise kind

            for _ in range(5):
                asyncio.get_running_loop().call_soon(fail)
                try:
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
                finally:
                    assert arrived(far) == b"before it"

    for _ in range(3):
        if kind is RuntimeError:
            loop.run_until_complete(main())
            continue
        task = loop.create_task(main())
        ends = 0
        while not task.done():
            try:
                loop.run_until_complete(task)
            except kind:
                ends += 1
        assert ends == 5


def test_what_was_written_before_stop_arrives(loop):
    fars = []

    async def outer():
        async with connection() as (transport, _, far):
            fars.append(far)
            for _ in range(5):
                transport.write(b"one ")
                transport.write(b"two")
                asyncio.get_running_loop().stop()
                await asyncio.sleep(0)

    task = loop.create_task(outer())
    task.add_done_callback(lambda _: loop.stop())
    while not task.done():
        loop.run_forever()
        if not task.done():
            assert arrived(fars[0]) == b"one two"


@pytest.mark.parametrize("seed", range(20))
def test_bytes_arrive_once_and_in_order_whatever_the_sizes(ferrio_loop, seed):
    chance = random.Random(seed)

    async def main():
        with socket_pair() as (near, far):
            far.setblocking(False)
            transport, own = await asyncio.get_running_loop().create_connection(Writer, sock=near)
            written = bytearray()
            received = bytearray()
            for _ in range(chance.randrange(1, 60)):
                for _ in range(chance.randrange(6)):
                    data = chance.randbytes(chance.choice([0, 1, 10, 1000, 16_000, 17_000, 70_000, 300_000]))
                    match chance.randrange(8):
                        case 0:
                            transport.writelines([data[:10], data[10:], b""])
                        case 1:
                            transport.write(bytearray(data))
                        case 2:
                            transport.write(memoryview(data))
                            transport.get_write_buffer_size()
                        case 3:
                            transport.set_write_buffer_limits(chance.choice([0, 1, 5000, None]))
                            transport.write(data)
                        case _:
                            transport.write(data)
                    written += data
                if chance.random() < 0.7:
                    received += arrived(far)
                await asyncio.sleep(0)
            transport.close()
            while not own.lost.done():
                received += arrived(far)
                await asyncio.sleep(0)
            received += arrived(far)
            assert received == written

    ferrio_loop.run_until_complete(main())


def test_no_more_is_held_than_the_high_water_mark(ferrio_loop):
    async def main():
        async with connection() as (transport, _, far):
            await write_twice(transport, far)
            transport.set_write_buffer_limits(10)
            await asyncio.sleep(0)
            for length in range(1, 30):
                transport.write(b"x" * length)
                got = arrived(far)
                assert len(got) in (0, length) if length <= 10 else len(got) == length
                await asyncio.sleep(0)
                arrived(far)
                await write_twice(transport, far)

    ferrio_loop.run_until_complete(main())


def test_a_full_socket_pauses_the_protocol_and_loses_nothing(loop):
    async def main():
        async with connection() as (transport, own, far):
            await write_twice(transport, far)
            written = 0
            while "pause_writing" not in own.calls:
                for _ in range(3):
                    transport.write(b"x" * 5000)
                    written += 5000
                await asyncio.sleep(0)
            received = 0
            while received < written:
                received += len(arrived(far))
                await asyncio.sleep(0)
            assert own.calls == ["pause_writing", "resume_writing"]

    loop.run_until_complete(main())


def test_what_is_written_elsewhere_while_an_error_is_reported_arrives(loop, log):
    others: list[asyncio.Transport] = []

    class Relay(logging.Handler):
        def emit(self, record):
            if "Fatal write error" in record.getMessage():
                others[0].write(b"reported")

    async def main():
        async with connection() as (transport, own, far), connection() as (other, _, other_far):
            others.append(other)
            transport.pause_reading()
            await write_twice(transport, far)
            await write_twice(other, other_far)
            far.close()
            transport.write(b"lost")
            await asyncio.sleep(0)
            assert arrived(other_far) == b"reported"
            await own.lost

    relay = Relay()
    logging.getLogger("asyncio").addHandler(relay)
    loop.set_debug(True)
    try:
        loop.run_until_complete(main())
    finally:
        logging.getLogger("asyncio").removeHandler(relay)


def test_the_error_of_a_held_write_ends_the_connection(loop):
    async def main():
        async with connection() as (transport, own, far):
            await write_twice(transport, far)
            far.close()
            transport.write(b"1")
            transport.write(b"2")
            assert isinstance(await own.lost, (BrokenPipeError, ConnectionResetError, type(None)))
            assert transport.is_closing()

    loop.run_until_complete(main())


def test_is_closing_knows_of_an_error_as_soon_as_it_is_asked(loop):
    async def main():
        async with connection() as (transport, own, far):
            transport.pause_reading()
            await write_twice(transport, far)
            far.close()
            transport.write(b"1")
            assert transport.is_closing()
            assert isinstance(await own.lost, BrokenPipeError)

    loop.run_until_complete(main())


def test_a_transport_that_was_switched_off_can_be_switched_on_again(ferrio_loop):
    async def main():
        async with connection() as (transport, _, far):
            transport.set_join_writes(False)
            for _ in range(100):
                for data in (b"1", b"2"):
                    transport.write(data)
                    assert arrived(far) == data
                await asyncio.sleep(0)
            transport.set_join_writes(True)
            await write_pending(transport, far)

    ferrio_loop.run_until_complete(main())


def test_the_records_of_a_tls_connection_are_pending(ferrio_loop):
    async def main():
        loop = asyncio.get_running_loop()
        got = asyncio.Queue()

        class Reader(asyncio.Protocol):
            def data_received(self, data):
                got.put_nowait(data)

        server = await loop.create_server(Reader, "127.0.0.1", 0, ssl=server_context())
        with socket.create_connection(server.sockets[0].getsockname()) as sock:
            sock.setblocking(False)
            transport, _ = await loop.create_connection(
                Writer, sock=sock, ssl=client_context(), server_hostname="localhost"
            )
            sent = 0
            for _ in range(ATTEMPTS):
                for data in (b"1", b"2", b"3"):
                    transport.write(data)
                sent += 3
                await asyncio.sleep(0)
            received = b""
            while len(received) < sent:
                received += await got.get()
            assert received == b"123" * ATTEMPTS
            # What joined is seen by the transport below, which is asked for what it holds only here.
            transport.set_join_writes(False)
            transport.write(b"last")
            assert await got.get() == b"last"
            transport.abort()
        server.close()

    ferrio_loop.run_until_complete(main())


def test_another_thread_may_write_while_a_callback_waits_for_it(loop):
    async def main():
        async with connection() as (transport, _, far):
            far.setblocking(True)
            for _ in range(20):
                transport.write(b"1")
                transport.write(b"2")
                await asyncio.sleep(0)
                assert far.recv(2) == b"12"

                def write():
                    transport.write(b"x")
                    assert far.recv(1) == b"x"

                thread = threading.Thread(target=write)
                thread.start()
                thread.join()

    loop.run_until_complete(main())


def test_a_nested_run_sends_what_is_held_first(ferrio_loop):
    ferrio.allow_nested_runs()
    try:

        async def main():
            async with connection() as (transport, _, far):
                await write_pending(transport, far)
                loop = asyncio.get_running_loop()
                loop.run_until_complete(asyncio.sleep(0))
                assert arrived(far) == b"held"

        ferrio_loop.run_until_complete(main())
    finally:
        ferrio.allow_nested_runs(False)


def test_many_connections_written_to_in_one_callback_all_get_their_bytes(loop):
    async def main():
        async with contextlib.AsyncExitStack() as stack:
            opened = [await stack.enter_async_context(connection()) for _ in range(50)]
            for turn in range(10):
                for part in range(3):
                    for transport, _, _ in opened:
                        transport.write(b"%d.%d " % (turn, part))
                await asyncio.sleep(0)
                for _, _, far in opened:
                    assert arrived(far) == b"%d.0 %d.1 %d.2 " % (turn, turn, turn)

    loop.run_until_complete(main())


def test_the_thread_that_helps_out_ends_by_itself(ferrio_loop):
    def helpers():
        names = set()
        for task in os.listdir("/proc/self/task"):
            with contextlib.suppress(OSError), open(f"/proc/self/task/{task}/comm") as name:
                names.add(name.read().strip())
        return "ferrio-writes" in names

    if not os.path.exists("/proc/self/task"):
        pytest.skip("only Linux lists a process's threads")

    async def main():
        async with connection() as (transport, _, far):
            await write_pending(transport, far)
            while not helpers():
                time.sleep(0.001)

    ferrio_loop.run_until_complete(main())
    deadline = time.monotonic() + 30
    while helpers():
        assert time.monotonic() < deadline
        time.sleep(0.01)
