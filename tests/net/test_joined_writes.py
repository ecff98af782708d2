"""What one callback writes is held till it ends, and whatever looks at the connection meanwhile sends it first.

What is held is seen at the other end of a socket pair: nothing there yet. `write_pending` may need several attempts on
a busy machine; that bytes have arrived needs none.
"""

import asyncio
import os
import socket
import threading

import pytest

import ferrio
from tests.support.peers import socket_pair
from tests.support.pending_writes import arrived, connection, write_pending, write_twice


@pytest.fixture
def ferrio_loop():
    loop = ferrio.EventLoop()
    yield loop
    loop.close()


async def arrives_before_the_next_callback():
    async with connection() as (transport, _, far):
        seen = []

        def write():
            asyncio.get_running_loop().call_soon(lambda: seen.append("later turn"))
            transport.write(b"one ")
            transport.writelines([b"two ", bytearray(b"three "), memoryview(b"four")])

        for _ in range(10):
            asyncio.get_running_loop().call_soon(write)
            asyncio.get_running_loop().call_soon(lambda: seen.append(arrived(far)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert seen == [b"one two three four", "later turn"] * 10


def test_what_a_callback_wrote_arrives_before_the_next_callback_runs(loop):
    loop.run_until_complete(arrives_before_the_next_callback())


def test_the_writes_of_a_callback_are_pending_till_it_ends(ferrio_loop):
    async def main():
        async with connection() as (transport, _, far):
            await write_pending(transport, far, b"one ", b"two ", b"three")
            await asyncio.sleep(0)
            assert arrived(far) == b"one two three"

    ferrio_loop.run_until_complete(main())


def test_single_writes_are_not_held(ferrio_loop):
    async def main():
        async with connection() as (transport, _, far):
            for _ in range(500):
                transport.write(b"x")
                assert arrived(far) == b"x"
                await asyncio.sleep(0)

    ferrio_loop.run_until_complete(main())


def close(transport):
    transport.close()


def write_eof(transport):
    transport.write_eof()


OBSERVERS = {
    "get_write_buffer_size": lambda transport: transport.get_write_buffer_size() == 0 or pytest.fail("not empty"),
    "is_closing": lambda transport: transport.is_closing(),
    "close": close,
    "abort": lambda transport: transport.abort(),
    "write_eof": write_eof,
    "pause_reading": lambda transport: transport.pause_reading(),
    "resume_reading": lambda transport: transport.resume_reading(),
    "get_extra_info": lambda transport: transport.get_extra_info("socket"),
    "set_protocol": lambda transport: transport.set_protocol(asyncio.Protocol()),
    "set_write_buffer_limits": lambda transport: transport.set_write_buffer_limits(10),
    "set_join_writes": lambda transport: transport.set_join_writes(False),
    "large write": lambda transport: transport.write(b""),
}


@pytest.mark.parametrize("name", OBSERVERS)
def test_a_use_of_the_transport_sends_what_is_held(ferrio_loop, name):
    async def main():
        async with connection() as (transport, own, far):
            transport.pause_reading()
            await write_pending(transport, far)
            if name == "large write":
                transport.write(b"x" * 20_000)
                assert arrived(far) == b"held" + b"x" * 20_000
                return
            OBSERVERS[name](transport)
            assert arrived(far) == b"held"
            transport.set_protocol(own)

    ferrio_loop.run_until_complete(main())


def test_the_socket_itself_cannot_overtake_what_was_written(ferrio_loop):
    async def main(act):
        async with connection() as (transport, _, far):
            shown = transport.get_extra_info("socket")
            assert shown.getpeername() is not None
            assert shown.family == socket.AF_UNIX
            assert "TransportSocket" in repr(shown)
            await write_pending(transport, far)
            act(shown)
            assert arrived(far).startswith(b"held")
            transport.write(b"at once")
            assert arrived(far) == (b"" if act is shut_down else b"at once")

    def shut_down(shown):
        shown.shutdown(socket.SHUT_WR)

    for act in (
        lambda shown: os.write(shown.fileno(), b" raw"),
        lambda shown: shown._sock.send(b" raw"),
        lambda shown: shown.dup().close(),
        shut_down,
    ):
        ferrio_loop.run_until_complete(main(act))


def test_options_of_the_socket_do_not_end_the_holding(ferrio_loop):
    async def main():
        async with connection() as (transport, _, far):
            shown = transport.get_extra_info("socket")
            await write_pending(transport, far)
            shown.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            assert arrived(far) == b"held"
            assert shown.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            await write_pending(transport, far)

    ferrio_loop.run_until_complete(main())


def test_the_exception_handler_comes_after_what_the_callback_wrote(ferrio_loop):
    async def main():
        async with connection() as (transport, _, far):
            seen = []
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda loop, context: seen.append(arrived(far)))
            await write_twice(transport, far)

            def fail():
                transport.write(b"written ")
                transport.write(b"before")
                raise RuntimeError

            def report():
                transport.write(b"here ")
                transport.write(b"too")
                loop.call_exception_handler({"message": "reported"})

            for callback in (fail, report):
                loop.call_soon(callback)
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            assert seen == [b"written before", b"here too"]

    ferrio_loop.run_until_complete(main())


def test_another_threads_report_leaves_what_is_held_to_the_loop(ferrio_loop):
    async def main():
        async with connection() as (transport, _, far):
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda loop, context: None)
            await write_pending(transport, far, b"one ", b"two")
            thread = threading.Thread(target=loop.call_exception_handler, args=({"message": "reported"},))
            thread.start()
            thread.join()
            await asyncio.sleep(0)
            assert arrived(far) == b"one two"

    ferrio_loop.run_until_complete(main())


def test_drain_sends_what_is_held(ferrio_loop):
    async def main():
        with socket_pair() as (near, far):
            far.setblocking(False)
            _, writer = await asyncio.open_connection(sock=near)
            await write_pending(writer, far)
            await writer.drain()
            assert arrived(far) == b"held"
            writer.close()
            await writer.wait_closed()

    ferrio_loop.run_until_complete(main())
