"""How TCP connections end: closed, aborted, reset, failed; `connection_lost` is called exactly once."""

import asyncio
import gc
import re
import socket
import warnings

import pytest

from tests.support.differential import assert_same, outcome, outcome_of
from tests.support.peers import (
    BufferedRecorder,
    Recorder,
    connection,
    listening,
    read_all,
    reset,
    turns,
    until,
)

# -- the end ---------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, 100_000, 8 << 20])
def test_what_was_written_before_close_is_delivered(loop, size):
    async def main():
        async with connection() as (transport, protocol, peer):
            data = bytes(number % 251 for number in range(size))
            transport.write(data)
            transport.close()
            assert transport.is_closing()
            assert await read_all(peer) == data
            assert await protocol.lost is None

    loop.run_until_complete(main())


def test_what_was_written_is_delivered_when_the_program_ends_at_once(loop_kind):
    from tests.support.loops import FACTORIES

    with listening() as listener:

        async def main():
            transport, _ = await asyncio.get_running_loop().create_connection(Recorder, *listener.getsockname())
            transport.write(b"goodbye")
            transport.close()

        with asyncio.Runner(loop_factory=FACTORIES[loop_kind]) as runner:
            runner.run(main())
        peer, _ = listener.accept()
        with peer:
            assert peer.recv(100) == b"goodbye"


def test_close_calls_connection_lost_once_and_later():
    async def scenario(trace):
        async with connection() as (transport, protocol, _):
            transport.close()
            transport.close()
            trace.append(list(protocol.trace))
            await protocol.lost
            transport.close()
            transport.abort()
            await turns(3)
            trace.append(protocol.trace)

    assert_same(scenario)


def test_abort_drops_what_was_not_sent(loop):
    async def main():
        async with connection() as (transport, protocol, peer):
            transport.write(bytes(16 << 20))
            transport.abort()
            assert transport.is_closing()
            assert await protocol.lost is None
            assert protocol.trace == ["made", "pause", ("lost", "NoneType")]
            received = 0
            try:
                while chunk := await loop.sock_recv(peer, 1 << 20):
                    received += len(chunk)
            except ConnectionResetError:
                pass
            assert received < 16 << 20

    loop.run_until_complete(main())


def test_writing_to_a_closing_transport_is_dropped_quietly_then_warned_of():
    async def scenario(trace):
        async with connection() as (transport, protocol, peer):
            transport.close()
            transport.write(b"dropped")
            await protocol.lost
            for _ in range(8):
                trace.append(outcome(transport.write, b"after the end"))
            trace.append(await outcome_of(read_all(peer)))

    assert_same(scenario)


def test_writing_after_a_reset_warns_as_asyncio_does():
    async def scenario(trace):
        async with connection() as (transport, protocol, peer):
            reset(peer)
            await protocol.lost
            for _ in range(8):
                trace.append(outcome(transport.write, b"after the end"))
            trace.append(outcome(transport.write_eof)[:2])
            trace.append(protocol.trace)

    assert_same(scenario)


def test_a_reset_reaches_connection_lost(loop):
    async def main():
        async with connection() as (transport, protocol, peer):
            reset(peer)
            assert isinstance(await protocol.lost, ConnectionResetError)
            assert protocol.trace == ["made", ("lost", "ConnectionResetError")]
            assert transport.is_closing()

    loop.run_until_complete(main())


def test_a_reset_while_paused_on_both_sides_is_seen_once_reading_resumes(loop):
    async def main():
        async with connection() as (transport, protocol, peer):
            transport.pause_reading()
            transport.write(bytes(8 << 20))
            reset(peer)
            await asyncio.wait_for(protocol.lost, 5)
            assert protocol.trace[-1][0] == "lost"

    loop.run_until_complete(main())


@pytest.mark.parametrize("method", ["connection_made", "data_received", "eof_received", "connection_lost"])
def test_an_exception_in_a_protocol_is_reported_and_ends_the_connection_as_in_asyncio(method):
    async def scenario(trace):
        loop = asyncio.get_running_loop()

        def handler(loop, context):
            message = context["message"]
            if method == "connection_made":  # reported as a callback's, whose argument is asyncio's transport
                message = message.split(" callback ")[0]
            trace.append((message, sorted(context), repr(context["exception"])))

        loop.set_exception_handler(handler)

        def fail(self, *arguments):
            getattr(Recorder, method)(self, *arguments)
            raise LookupError(method)

        failing = type("Failing", (Recorder,), {method: fail})
        async with connection(failing) as (transport, protocol, peer):
            peer.send(b"x")
            if method != "connection_made":
                await until(lambda: protocol.data or protocol.lost.done())
            if method == "connection_lost":
                transport.close()
            elif method != "connection_made":
                peer.shutdown(socket.SHUT_WR)
            else:
                transport.close()
            error = await asyncio.wait_for(protocol.lost, 5)
            trace.append((repr(error), transport.is_closing(), protocol.trace))

    assert_same(scenario)


@pytest.mark.parametrize("method", ["get_buffer", "buffer_updated", "empty buffer"])
def test_an_exception_in_a_buffered_protocol_is_reported_as_in_asyncio(method):
    async def scenario(trace):
        loop = asyncio.get_running_loop()

        def handler(loop, context):
            trace.append((context["message"], sorted(context), repr(context["exception"])))

        loop.set_exception_handler(handler)

        def fail(self, *arguments):
            if method == "empty buffer":
                return bytearray()
            raise LookupError(method)

        name = "get_buffer" if method == "empty buffer" else method
        failing = type("Failing", (BufferedRecorder,), {name: fail})
        async with connection(failing) as (_, protocol, peer):
            peer.send(b"x")
            error = await asyncio.wait_for(protocol.lost, 5)
            trace.append((repr(error), protocol.trace))

    assert_same(scenario)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_in_a_protocol_leaves_the_loop(loop, error):
    class Interrupting(Recorder):
        def data_received(self, data):
            raise error

    async def main():
        with listening() as listener:
            transport, _ = await loop.create_connection(Interrupting, *listener.getsockname())
            peer, _ = listener.accept()
        return transport, peer

    transport, peer = loop.run_until_complete(main())
    peer.send(b"x")
    peer.close()
    with pytest.raises(error):
        loop.run_forever()
    transport.abort()
    loop.run_until_complete(turns(3))


def test_closing_in_a_callback_is_the_end_of_data(loop):
    class Closing(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.close()

    async def main():
        async with connection(Closing) as (_, protocol, peer):
            peer.send(b"first")
            await protocol.lost
            assert protocol.trace == ["made", "data", ("lost", "NoneType")]

    loop.run_until_complete(main())


def test_an_unclosed_transport_warns_and_closes_its_socket(loop):
    async def main():
        with listening() as listener:
            transport, _ = await loop.create_connection(asyncio.Protocol, *listener.getsockname())
            transport.pause_reading()
            return listener.accept()[0]

    with warnings.catch_warnings(record=True) as caught:  # stock's socket may warn as well
        warnings.simplefilter("always")
        peer = loop.run_until_complete(main())
        loop.close()
        gc.collect()
    with peer:
        assert any("unclosed transport" in str(warning.message) for warning in caught)
        assert peer.recv(1) == b""


def test_repr_of_transports_is_asyncios_but_for_their_name():
    def shown(transport):
        return re.sub(r"^<_?(Selector)?|fd=\d+", "", repr(transport))

    async def scenario(trace):
        async with connection() as (transport, protocol, peer):
            trace.append(shown(transport))
            transport.pause_reading()
            trace.append(shown(transport))
            transport.write(bytes(8 << 20))
            trace.append("write=<polling" in shown(transport))
            transport.close()
            trace.append("closing" in shown(transport))
            await read_all(peer)
            await protocol.lost
            trace.append(shown(transport))

    assert_same(scenario)


def test_a_transport_keeps_itself_alive(loop):
    """A program that drops the transport and keeps nothing of it still receives."""
    received = []

    class Collecting(asyncio.Protocol):
        def data_received(self, data):
            received.append(data)
            loop.stop()

    async def main():
        with listening() as listener:
            await loop.create_connection(Collecting, *listener.getsockname())
            return listener.accept()[0]

    peer = loop.run_until_complete(main())
    gc.collect()
    peer.send(b"x")
    loop.run_forever()
    peer.close()
    loop.run_until_complete(asyncio.sleep(0.002))
    assert received == [b"x"]


def test_streams_work_above_the_transports(loop):
    async def echo(reader, writer):
        while line := await reader.readline():
            writer.write(line.upper())
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def main():
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            for number in range(20):
                writer.write(b"line %d\n" % number)
                assert await reader.readline() == b"LINE %d\n" % number
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()

    loop.run_until_complete(main())
