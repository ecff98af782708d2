"""TCP transports and their protocols: receiving and writing."""

import asyncio
import contextvars
import math
import selectors
import socket

import pytest

import ferrio
from tests.support.differential import assert_same, outcome, outcome_of
from tests.support.peers import (
    BufferedRecorder,
    Recorder,
    connection,
    read_all,
    read_exactly,
    turns,
    until,
)

# -- receiving ---------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 1000, 65536, 1 << 20])
def test_every_byte_is_received_in_order(loop, size):
    data = bytes(number % 251 for number in range(size))

    async def main():
        async with connection() as (_, protocol, peer):
            await loop.sock_sendall(peer, data)
            await until(lambda: len(protocol.data) == size)
            assert protocol.data == data

    loop.run_until_complete(main())


@pytest.mark.parametrize("size", [1, 100, 1 << 16])
def test_a_buffered_protocol_receives_into_its_own_buffer(loop, size):
    data = bytes(number % 251 for number in range(100_000))

    async def main():
        async with connection(lambda: BufferedRecorder(size)) as (_, protocol, peer):
            await loop.sock_sendall(peer, data[: size * 100])
            peer.shutdown(socket.SHUT_WR)
            await protocol.lost
            assert protocol.data == data[: size * 100]
            assert protocol.trace == ["made", "eof", ("lost", "NoneType")]

    loop.run_until_complete(main())


def test_data_and_end_of_stream_come_in_order(loop):
    async def main():
        async with connection() as (transport, protocol, peer):
            peer.send(b"last words")
            peer.close()
            assert await protocol.lost is None
            assert bytes(protocol.data) == b"last words"
            assert protocol.trace == ["made", "data", "eof", ("lost", "NoneType")]
            assert transport.is_closing()

    loop.run_until_complete(main())


def test_paused_reading_leaves_data_in_the_kernel():
    async def scenario(trace):
        async with connection() as (transport, protocol, peer):
            trace.append(transport.is_reading())
            transport.pause_reading()
            transport.pause_reading()
            trace.append(transport.is_reading())
            peer.send(b"later")
            await asyncio.sleep(0.005)
            trace.append(bytes(protocol.data))
            transport.resume_reading()
            transport.resume_reading()
            trace.append(transport.is_reading())
            await until(lambda: protocol.data)
            trace.append(bytes(protocol.data))
            transport.close()
            trace.append(transport.is_reading())
            transport.pause_reading()
            transport.resume_reading()
            await protocol.lost
            trace.append(protocol.trace)

    assert_same(scenario)


def test_pausing_in_data_received_stops_the_next_data(loop):
    class Pausing(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.pause_reading()

    async def main():
        async with connection(Pausing) as (transport, protocol, peer):
            data = bytes(1 << 20)
            sending = loop.create_task(loop.sock_sendall(peer, data))
            await until(lambda: protocol.data)
            await asyncio.sleep(0.005)
            seen = len(protocol.data)
            assert seen <= 1 << 18
            assert not transport.is_reading()
            while len(protocol.data) < len(data):
                seen = len(protocol.data)
                transport.resume_reading()
                await until(lambda seen=seen: len(protocol.data) > seen)
            await sending

    loop.run_until_complete(main())


def test_the_end_of_the_stream_is_seen_after_a_pause(loop):
    async def main():
        async with connection() as (transport, protocol, peer):
            transport.pause_reading()
            peer.send(b"x")
            peer.close()
            await asyncio.sleep(0.005)
            assert protocol.trace == ["made"]
            transport.resume_reading()
            await protocol.lost
            assert protocol.trace == ["made", "data", "eof", ("lost", "NoneType")]

    loop.run_until_complete(main())


def test_eof_received_may_keep_the_writing_half_open(loop):
    class HalfOpen(Recorder):
        def eof_received(self):
            super().eof_received()
            return True

    async def main():
        async with connection(HalfOpen) as (transport, protocol, peer):
            peer.shutdown(socket.SHUT_WR)
            await until(lambda: "eof" in protocol.trace)
            await turns(3)
            assert not transport.is_closing()
            assert protocol.trace.count("eof") == 1
            transport.write(b"still here")
            assert await read_exactly(peer, 10) == b"still here"
            transport.close()
            assert await read_all(peer) == b""
            assert await protocol.lost is None

    loop.run_until_complete(main())


def test_set_protocol_takes_effect_with_the_next_event(loop):
    async def main():
        async with connection() as (transport, first, peer):
            second = Recorder([])
            assert transport.get_protocol() is first
            transport.set_protocol(second)
            assert transport.get_protocol() is second
            peer.send(b"x")
            await until(lambda: second.data)
            third = BufferedRecorder()
            transport.set_protocol(third)
            peer.send(b"y")
            await until(lambda: third.data)
            peer.close()
            await third.lost
            assert (first.trace, second.trace, third.trace) == (["made"], ["data"], ["eof", ("lost", "NoneType")])

    loop.run_until_complete(main())


# -- writing ---------------------------------------------------------------------


def test_write_takes_every_kind_of_bytes(loop):
    import array

    async def main():
        async with connection() as (transport, _, peer):
            for data in (b"bytes ", bytearray(b"bytearray "), memoryview(b"view "), b""):
                transport.write(data)
            transport.write(memoryview(array.array("H", [0x4141, 0x4242])))
            transport.writelines([b" lines", bytearray(b" and "), memoryview(b"more")])
            transport.writelines(iter([b" of ", b"them"]))
            transport.writelines([])
            transport.close()
            assert await read_all(peer) == b"bytes bytearray view AABB lines and more of them"

    loop.run_until_complete(main())


def test_wrong_data_is_refused_as_asyncio_refuses_it():
    async def scenario(trace):
        async with connection() as (transport, protocol, peer):
            for wrong in ("text", 5, None, [b"x"]):
                trace.append(outcome(transport.write, wrong))
            trace.append(outcome(transport.writelines, [5])[1])
            transport.write_eof()
            trace.append(outcome(transport.write, b"x"))
            trace.append(await outcome_of(read_all(peer)))
            trace.append(protocol.trace)

    assert_same(scenario)


def test_what_was_buffered_may_be_changed_afterwards():
    """On ferrio alone: asyncio keeps a view of a mutable buffer since 3.12 and sends what it holds by then."""

    async def main():
        async with connection() as (transport, _, peer):
            transport.write(bytes(4 << 20))
            tail = bytearray(b"tail")
            transport.write(tail)
            tail[:] = b"XXXX"
            transport.close()
            received = await read_all(peer)
            assert received.endswith(b"\0tail")
            assert len(received) == (4 << 20) + 4

    with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
        runner.run(main())


def test_flow_control_pauses_and_resumes_at_the_water_marks():
    async def scenario(trace):
        async with connection() as (transport, protocol, peer):
            trace.append(transport.get_write_buffer_limits())
            transport.set_write_buffer_limits(high=100_000, low=10_000)
            trace.append(transport.get_write_buffer_limits())
            total = 0
            while "pause" not in protocol.trace:
                transport.write(bytes(50_000))
                total += 50_000
            trace.append(transport.get_write_buffer_size() > 100_000)
            received = await read_exactly(peer, total)
            await until(lambda: transport.get_write_buffer_size() == 0)
            trace.append((len(received) == total, protocol.trace))

    assert_same(scenario)


def test_the_peer_that_does_not_read_makes_the_writer_pause_not_the_loop(loop):
    async def main():
        async with connection() as (transport, protocol, _):
            transport.write(bytes(16 << 20))
            assert protocol.trace == ["made", "pause"]
            assert transport.get_write_buffer_size() > 0
            transport.abort()
            assert transport.get_write_buffer_size() == 0
            assert await protocol.lost is None

    loop.run_until_complete(main())


def test_write_buffer_limits_follow_asyncios_rules():
    async def scenario(trace):
        async with connection() as (transport, _, _):
            for keywords in (
                {"high": 1000},
                {"low": 1000},
                {"high": 0},
                {"high": 10, "low": 20},
                {"high": 10, "low": -1},
                {},
                {"high": 10, "low": 10},
                {"high": -1},
                {"high": 1e6},
                {"high": 2.5e6, "low": 0.0},
            ):
                trace.append(outcome(transport.set_write_buffer_limits, **keywords))
                trace.append(transport.get_write_buffer_limits())
            for limitless in (math.inf, 1 << 80):
                trace.append(outcome(transport.set_write_buffer_limits, limitless, 0))
                trace.append(transport.get_write_buffer_limits()[1] > 1 << 60)
            trace.append(outcome(transport.set_write_buffer_limits, math.nan)[0])
            trace.append(outcome(transport.set_write_buffer_limits, "1")[0])

    assert_same(scenario)


def test_failing_flow_control_callbacks_are_reported():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(
            lambda loop, context: trace.append((context["message"], sorted(context), repr(context["exception"])))
        )

        class Failing(Recorder):
            def pause_writing(self):
                raise LookupError("pause")

            def resume_writing(self):
                raise LookupError("resume")

        async with connection(Failing) as (transport, _, peer):
            transport.write(bytes(8 << 20))
            await read_exactly(peer, 8 << 20)
            await until(lambda: len(trace) == 2)
            trace.append(transport.is_closing())

    assert_same(scenario)


def test_write_eof_closes_the_writing_half_after_what_was_written(loop):
    async def main():
        async with connection() as (transport, protocol, peer):
            assert transport.can_write_eof() is True
            data = bytes(4 << 20)
            transport.write(data)
            transport.write_eof()
            transport.write_eof()
            assert len(await read_all(peer)) == len(data)
            peer.send(b"answer")
            await until(lambda: protocol.data == b"answer")
            assert not transport.is_closing()
            peer.close()
            await protocol.lost

    loop.run_until_complete(main())


def test_transports_take_no_attributes():
    async def main():
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            asyncio.DatagramProtocol, ("127.0.0.1", 0)
        )
        with pytest.raises(AttributeError):
            transport.sendto = print  # type: ignore[assignment]
        transport.close()

    ferrio.run(main())


# -- where it differs: see docs/differences.md -----------------------------------


def run_on_ferrio(main):
    with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
        runner.run(main())


def test_what_is_put_into_asyncios_transport_classes_does_not_reach_ours(monkeypatch):
    monkeypatch.setattr(asyncio.BaseTransport, "get_extra_info", lambda self, name, default=None: "replaced")

    async def main():
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            asyncio.DatagramProtocol, ("127.0.0.1", 0)
        )
        assert isinstance(transport, asyncio.BaseTransport)
        assert transport.get_extra_info("sockname")[0] == "127.0.0.1"
        transport.close()

    run_on_ferrio(main)


def test_transports_go_past_a_sockets_own_methods():
    class Loud(socket.socket):
        def recv(self, *arguments):
            return super().recv(*arguments).upper()

    async def main():
        loop = asyncio.get_running_loop()
        ours, peer = socket.socketpair()
        with peer:
            loud = Loud(fileno=ours.detach())
            loud.setblocking(False)
            peer.send(b"once")
            assert await loop.sock_recv(loud, 10) == b"ONCE"
            transport, protocol = await loop.create_connection(Recorder, sock=loud)
            peer.send(b"twice")
            await until(lambda: protocol.data)
            assert protocol.data == b"twice"
            transport.abort()
            await turns(2)

    run_on_ferrio(main)


def test_what_the_loop_calls_of_a_protocol_shares_a_context():
    variable = contextvars.ContextVar("variable", default="unset")
    seen = []

    class Setting(asyncio.Protocol):
        def connection_made(self, transport):
            seen.append(variable.get())
            variable.set("by connection_made")

        def data_received(self, data):
            seen.append(variable.get())

        def connection_lost(self, error):
            seen.append(variable.get())

    async def main():
        variable.set("by the program")
        async with connection(Setting) as (transport, _, peer):
            peer.send(b"data")
            await until(lambda: len(seen) == 2)
            transport.abort()
            await turns(2)
        assert variable.get() == "by the program"

    run_on_ferrio(main)
    assert seen == ["by the program", "by connection_made", "by connection_made"]


def test_a_transport_says_whether_it_is_paused_where_asyncios_does(loop):
    async def main():
        async with connection(asyncio.Protocol) as (transport, _, _):
            shown = [transport._paused]
            transport.pause_reading()
            shown.append(transport._paused)
            transport.resume_reading()
            return [*shown, transport._paused]

    assert loop.run_until_complete(main()) == [False, True, False]


def test_what_a_factory_sets_is_the_connections_as_on_asyncio():
    """Not since 3.15, which copies the context before it calls the factory."""
    variable = contextvars.ContextVar("variable", default="unset")

    async def scenario(trace):
        def factory():
            variable.set("by the factory")
            return Noting()

        class Noting(asyncio.Protocol):
            def connection_made(self, transport):
                trace.append(variable.get())

        ours, theirs = socket.socketpair()
        with theirs:
            transport, _ = await asyncio.get_running_loop().create_connection(factory, sock=ours)
            transport.abort()
            trace.append(variable.get())
            await asyncio.sleep(0)

    assert_same(scenario)


def test_a_loop_takes_no_selector():
    with selectors.DefaultSelector() as selector, pytest.raises(TypeError, match="positional argument"):
        ferrio.EventLoop(selector)
