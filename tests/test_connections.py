"""TCP connections: opening them, transports and their protocols, and how connections end."""

import asyncio
import gc
import re
import socket
import sys
import warnings

import pytest

import ferrio
from tests.differential import assert_same, outcome, outcome_of
from tests.peers import (
    BufferedRecorder,
    Recorder,
    connection,
    listening,
    read_all,
    read_exactly,
    reset,
    turns,
    until,
)

# -- opening ---------------------------------------------------------------------


def test_connection_made_runs_before_create_connection_returns(loop):
    async def main():
        async with connection() as (transport, protocol, _):
            assert protocol.trace == ["made"]
            assert protocol.transport is transport

    loop.run_until_complete(main())


def test_transports_are_asyncios_for_isinstance(loop):
    async def main():
        async with connection() as (transport, _, _):
            assert isinstance(transport, asyncio.Transport)
            assert isinstance(transport, asyncio.BaseTransport)

    loop.run_until_complete(main())


def test_extra_info_is_asyncios():
    async def scenario(trace):
        async with connection() as (transport, _, peer):
            sock = transport.get_extra_info("socket")
            trace.append((type(sock).__name__, sock.family, sock.type, sock.proto, sock.gettimeout()))
            trace.append(transport.get_extra_info("sockname") == peer.getpeername() == sock.getsockname())
            trace.append(transport.get_extra_info("peername") == peer.getsockname())
            trace.append((transport.get_extra_info("nothing"), transport.get_extra_info("nothing", 5)))
            trace.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0)

    assert_same(scenario)


def test_extra_info_survives_the_end():
    async def scenario(trace):
        async with connection() as (transport, protocol, _):
            transport.close()
            await protocol.lost
            for name in ("sockname", "peername"):
                trace.append(transport.get_extra_info(name) is not None)

    assert_same(scenario)


def test_a_connected_socket_can_be_given(loop):
    async def main():
        with listening() as listener:
            sock = socket.create_connection(listener.getsockname())
            transport, protocol = await loop.create_connection(Recorder, sock=sock)
            peer, _ = listener.accept()
        with peer:
            transport.write(b"given")
            peer.setblocking(False)
            assert await read_exactly(peer, 5) == b"given"
            transport.close()
            await protocol.lost
        assert sock.fileno() == -1

    loop.run_until_complete(main())


def test_a_unix_socket_can_be_given_as_sock(loop):
    async def main():
        left, right = socket.socketpair()
        with right:
            right.setblocking(False)
            transport, protocol = await loop.create_connection(Recorder, sock=left)
            transport.write(b"unix")
            assert await read_exactly(right, 4) == b"unix"
            transport.close()
            await protocol.lost

    loop.run_until_complete(main())


def test_wrong_arguments_of_create_connection_are_refused_as_asyncio_refuses_them():
    async def scenario(trace):
        create = asyncio.get_running_loop().create_connection
        with socket.socket() as sock, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
            for arguments, keywords in (
                ((), {}),
                (("127.0.0.1", 1), {"sock": sock}),
                (("127.0.0.1", 1), {"server_hostname": "x"}),
                (("127.0.0.1", 1), {"ssl_handshake_timeout": 1}),
                (("127.0.0.1", 1), {"ssl_shutdown_timeout": 1}),
                ((), {"sock": datagrams}),
                (("127.0.0.1", 1), {"unknown": 1}),
            ):
                trace.append(await _outcome_of_call(create, asyncio.Protocol, *arguments, **keywords))

    assert_same(scenario)


async def _outcome_of_call(function, *arguments, **keywords):
    try:
        awaitable = function(*arguments, **keywords)
    except TypeError:
        return ("raised", "TypeError")
    kind, *rest = await outcome_of(awaitable)
    return (kind, rest[0]) if rest and rest[0] == "TypeError" else (kind, *rest)


def test_refused_connections_are_raised_in_asyncios_words():
    async def scenario(trace):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
            for keywords in ({}, {"all_errors": True}, {"family": socket.AF_INET}, {"happy_eyeballs_delay": 0.01}):
                if "all_errors" in keywords and sys.version_info < (3, 12):
                    continue
                kind, error, text = await outcome_of(
                    asyncio.get_running_loop().create_connection(asyncio.Protocol, "127.0.0.1", port, **keywords)
                )
                trace.append((kind, error, text.replace(str(port), "PORT")))

    assert_same(scenario)


def test_all_addresses_are_tried(loop, monkeypatch):
    real = socket.getaddrinfo
    with listening() as listener:
        port = listener.getsockname()[1]

        def lookup(host, *arguments, **keywords):
            if host != "several.invalid":
                return real(host, *arguments, **keywords)
            kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
            return [(*kind, ("127.0.0.2", port)), (*kind, ("127.0.0.3", port)), (*kind, ("127.0.0.1", port))]

        monkeypatch.setattr(socket, "getaddrinfo", lookup)

        async def main(**keywords):
            transport, _ = await loop.create_connection(asyncio.Protocol, "several.invalid", port, **keywords)
            assert transport.get_extra_info("peername") == ("127.0.0.1", port)
            transport.abort()
            await turns(2)

        loop.run_until_complete(main())
        loop.run_until_complete(main(happy_eyeballs_delay=0.05))
        loop.run_until_complete(main(interleave=1))


def test_local_addr_is_bound(loop):
    async def main():
        with listening() as listener:
            transport, _ = await loop.create_connection(
                asyncio.Protocol, *listener.getsockname(), local_addr=("127.0.0.5", 0)
            )
            assert transport.get_extra_info("sockname")[0] == "127.0.0.5"
            transport.abort()
            await turns(2)

    loop.run_until_complete(main())


def test_a_local_addr_that_cannot_be_bound_is_raised_in_asyncios_words():
    async def scenario(trace):
        with listening() as listener:
            trace.append(
                await outcome_of(
                    asyncio.get_running_loop().create_connection(
                        asyncio.Protocol, *listener.getsockname(), local_addr=("192.0.2.1", 0)
                    )
                )
            )

    assert_same(scenario)


def test_a_cancelled_connect_closes_its_socket(loop):
    """The descriptors are counted after every test."""

    async def main():
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            tasks = [
                loop.create_task(loop.create_connection(asyncio.Protocol, *listener.getsockname())) for _ in range(4)
            ]
            await asyncio.sleep(0.005)
            for task in tasks:
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, tuple):
                    result[0].abort()
            await turns(3)

    loop.run_until_complete(main())


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # stock leaves the socket to the collector
def test_a_factory_that_fails_fails_the_call_and_closes_the_socket():
    async def scenario(trace):
        def factory():
            raise LookupError("no protocol")

        with listening() as listener:
            trace.append(
                await outcome_of(asyncio.get_running_loop().create_connection(factory, *listener.getsockname()))
            )
            peer, _ = listener.accept()
            with peer:
                peer.settimeout(5)
                trace.append(outcome(peer.recv, 10)[0])

    trace = assert_same(scenario)
    assert len(trace) >= 2


def test_connect_accepted_socket_makes_a_transport(loop):
    async def main():
        with listening() as listener:
            client = socket.create_connection(listener.getsockname())
            accepted, _ = listener.accept()
        with client:
            client.setblocking(False)
            transport, protocol = await loop.connect_accepted_socket(Recorder, accepted)
            await loop.sock_sendall(client, b"hello")
            await until(lambda: protocol.data == b"hello")
            transport.write(b"back")
            assert await read_exactly(client, 4) == b"back"
            transport.close()
            await protocol.lost

    loop.run_until_complete(main())


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
            ):
                trace.append(outcome(transport.set_write_buffer_limits, **keywords))
                trace.append(transport.get_write_buffer_limits())

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
    from tests.conftest import FACTORIES

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


def test_a_reset_while_paused_on_both_sides_is_seen_once_reading_goes_on(loop):
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
            if method in ("connection_made", "connection_lost"):  # reported as a callback's, whose name differs
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

    with loop.run_until_complete(main()) as peer:
        with warnings.catch_warnings(record=True) as caught:  # stock's socket may warn as well
            warnings.simplefilter("always")
            loop.close()
            gc.collect()
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
