"""Datagrams: receiving, sending and buffering. The peers are raw sockets."""

import asyncio
import contextvars
import os
import socket
import sys

import pytest

from tests.support.datagrams import HOST, Recorder, endpoint, full_pipe, raw, read
from tests.support.differential import assert_same, outcome
from tests.support.peers import turns, until


@pytest.fixture
def path(tmp_path, monkeypatch):
    """Short, whatever the temporary directory is called."""
    monkeypatch.chdir(tmp_path)
    return "socket"


# -- receiving and sending -------------------------------------------------------


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_datagrams_come_whole_with_their_sender_and_are_answered(loop, family, host):
    async def main():
        async with endpoint(local_addr=(host, 0)) as (transport, protocol):
            address = transport.get_extra_info("sockname")
            with raw(family, (host, 0)) as one, raw(family, (host, 0)) as two:
                for peer, data in ((one, b"1"), (two, b"two"), (one, b""), (one, bytes(60000))):
                    peer.sendto(data, address)
                    await until(lambda: protocol.received)
                    assert protocol.received.pop() == (data, peer.getsockname())
                    transport.sendto(data + b"!", peer.getsockname())
                    assert await loop.sock_recvfrom(peer, 70000) == (data + b"!", address)

    loop.run_until_complete(main())


def test_a_connected_endpoint_talks_to_its_peer_alone(loop):
    async def main():
        with raw() as peer, raw() as stranger:
            async with endpoint(remote_addr=peer.getsockname()) as (transport, protocol):
                assert transport.get_extra_info("peername") == peer.getsockname()
                transport.sendto(b"x")
                transport.sendto(b"y", peer.getsockname())
                assert await read(peer, 2) == [b"x", b"y"]
                stranger.sendto(b"z", transport.get_extra_info("sockname"))
                peer.sendto(b"answer", transport.get_extra_info("sockname"))
                await until(lambda: protocol.received)
                assert protocol.received == [(b"answer", peer.getsockname())]
                with pytest.raises(ValueError, match=r"Invalid address: must be None or \('127\.0\.0\.1'"):
                    transport.sendto(b"x", stranger.getsockname())

    loop.run_until_complete(main())


@pytest.mark.parametrize("data", [b"x", bytearray(b"yy"), memoryview(b"zzz"), memoryview(b"a-b-c")[:3]])
def test_bytes_bytearray_and_memoryview_are_sent(loop, data):
    async def main():
        with raw() as peer:
            async with endpoint(local_addr=HOST) as (transport, _):
                transport.sendto(data, peer.getsockname())
                assert await read(peer, 1) == [bytes(data)]

    loop.run_until_complete(main())


def test_an_address_that_is_a_name_is_looked_up(loop):
    async def main():
        with raw() as peer:
            async with endpoint(local_addr=HOST) as (transport, _):
                transport.sendto(b"x", ("localhost", peer.getsockname()[1]))
                transport.sendto(b"y", ["127.0.0.1", peer.getsockname()[1]])  # not a tuple: refused by the socket
                await turns(2)
                assert await read(peer, 1) == [b"x"]

    seen = []
    loop.set_exception_handler(lambda loop, context: seen.append((context["message"], type(context["exception"]))))
    loop.run_until_complete(main())
    assert seen == [("Fatal write error on datagram transport", TypeError)]


def test_empty_datagrams_go_out_where_asyncio_sends_them():
    async def scenario(trace):
        with raw() as peer:
            async with endpoint(local_addr=HOST) as (transport, _):
                transport.sendto(b"", peer.getsockname())
                transport.sendto(b"x", peer.getsockname())
                trace.append(await read(peer, 1))

    trace = assert_same(scenario)
    assert trace == [[b""] if sys.version_info >= (3, 13) else [b"x"]]


def test_errors_of_the_network_reach_error_received():
    async def scenario(trace):
        with raw() as peer:
            address = peer.getsockname()
            transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: Recorder(trace), remote_addr=address
            )
        transport.sendto(b"nobody there")
        await until(lambda: len(trace) > 1)
        transport.sendto(bytes(70000))  # too large
        with raw(address=address) as peer:
            transport.sendto(b"still alive")
            trace.append(await read(peer, 1))
        transport.close()
        await protocol.lost

    trace = assert_same(scenario)
    assert [event[0] for event in trace[1:]] == ["ConnectionRefusedError", "OSError", b"still alive", "lost"]


@pytest.mark.parametrize(
    "address", [None, ("127.0.0.1", 70000), ("127.0.0.1", -1), ("127.0.0.1",), "x", 5, (b"x", "y")]
)
def test_what_is_no_address_is_a_fatal_error(address):
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(
            lambda _, context: trace.append((sorted(context), context["message"], repr(context["exception"])))
        )
        transport, protocol = await loop.create_datagram_endpoint(lambda: Recorder(trace), local_addr=HOST)
        trace.append(outcome(transport.sendto, b"x", address))
        trace.append(transport.is_closing())
        trace.append(type(await protocol.lost).__name__)

    assert_same(scenario)


def test_data_of_another_type_is_refused():
    async def scenario(trace):
        async with endpoint(local_addr=HOST) as (transport, _):
            trace.extend(outcome(transport.sendto, data, ("127.0.0.1", 9)) for data in ("x", 5, None, [b"x"]))

    assert_same(scenario)


def test_a_flood_lets_others_have_their_turn(loop):
    async def main():
        with raw() as peer:
            async with endpoint(local_addr=HOST) as (transport, protocol):
                for _ in range(100):
                    peer.sendto(b"x", transport.get_extra_info("sockname"))
                most, before = 0, 0
                async with asyncio.timeout(5):
                    while len(protocol.received) < 100:
                        await asyncio.sleep(0)
                        most = max(most, len(protocol.received) - before)
                        before = len(protocol.received)
                assert most <= 32

    loop.run_until_complete(main())


def test_closing_in_datagram_received_ends_reading_at_once(loop):
    class Closing(Recorder):
        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            self.transport.close()

    async def main():
        with raw() as peer:
            async with endpoint(Closing, local_addr=HOST) as (transport, protocol):
                for _ in range(3):
                    peer.sendto(b"x", transport.get_extra_info("sockname"))
                assert await protocol.lost is None
                assert len(protocol.received) == 1

    loop.run_until_complete(main())


def test_reading_can_be_paused(loop):
    async def main():
        with raw() as peer:
            async with endpoint(local_addr=HOST) as (transport, protocol):
                transport.pause_reading()
                transport.pause_reading()
                assert not transport.is_reading()
                peer.sendto(b"x", transport.get_extra_info("sockname"))
                await turns(20)
                assert protocol.received == []
                transport.resume_reading()
                transport.resume_reading()
                await until(lambda: protocol.received)
                assert transport.is_reading()

    loop.run_until_complete(main())


def test_callbacks_run_in_the_context_of_the_endpoint(loop):
    variable = contextvars.ContextVar("variable", default="outside")

    class Context(Recorder):
        def datagram_received(self, data, addr):
            self.received.append(variable.get())
            variable.set("later")

        def connection_lost(self, exc):
            self.received.append(variable.get())
            super().connection_lost(exc)

    async def main():
        variable.set("inside")
        with raw() as peer:
            async with endpoint(Context, local_addr=HOST) as (transport, protocol):
                variable.set("afterwards")
                peer.sendto(b"x", transport.get_extra_info("sockname"))
                await until(lambda: protocol.received)
                transport.close()
                await protocol.lost
                return protocol.received

    assert loop.run_until_complete(main())[0] == "inside"


@pytest.mark.parametrize("method", ["connection_made", "datagram_received", "error_received", "connection_lost"])
def test_an_exception_in_a_protocol_is_reported_and_the_transport_continues(method):
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        seen = loop.create_future()

        def handler(_, context):
            trace.append((sorted(context), repr(context["exception"])))
            seen.set_result(None)

        loop.set_exception_handler(handler)
        with raw() as peer:
            address = peer.getsockname()
            failing = type("Failing", (Recorder,), {method: lambda *_: 1 / 0})
            transport, protocol = await loop.create_datagram_endpoint(failing, remote_addr=address)
            if method == "datagram_received":
                peer.sendto(b"x", transport.get_extra_info("sockname"))
                await seen
        if method == "error_received":
            transport.sendto(b"nobody there")
            await seen
        trace.append(transport.is_closing())
        transport.close()
        if method == "connection_lost":
            await seen
        else:
            trace.append(await protocol.lost)

    assert_same(scenario)


# -- waiting to be sent ----------------------------------------------------------


def test_what_does_not_fit_waits_in_order(loop, path):
    async def main():
        async with full_pipe(path) as (transport, protocol, peer, count):
            header = 8 if sys.version_info >= (3, 13) else 0
            assert transport.get_write_buffer_size() == 4 + header
            for number in range(count, count + 20):
                transport.sendto(b"%04d" % number)
            assert transport.get_write_buffer_size() == 21 * (4 + header)
            assert await read(peer, count + 20) == [b"%04d" % number for number in range(count + 20)]
            await until(lambda: "write=<idle" in repr(transport))
            assert protocol.trace == ["made"]
            if loop.__class__.__module__ == "ferrio" or sys.version_info >= (3, 14):
                assert transport.get_write_buffer_size() == 0

    loop.run_until_complete(main())


def test_a_full_queue_pauses_the_protocol_and_an_empty_one_resumes_it():
    async def scenario(trace):
        async with full_pipe(f"\0ferrio-flow-{os.getpid()}", lambda: Recorder(trace)) as (transport, _, peer, count):
            trace.append(transport.get_write_buffer_limits())
            transport.set_write_buffer_limits(high=2000, low=1000)
            trace.append(transport.get_write_buffer_limits())
            trace.append(outcome(transport.set_write_buffer_limits, high=1, low=2))
            for _ in range(25):
                transport.sendto(bytes(100))
                trace.append(transport.get_write_buffer_size())
            await read(peer, count + 25)
            await until(lambda: trace[-1] == "resume")

    assert_same(scenario)


def test_closing_sends_what_waits(loop, path):
    async def main():
        async with full_pipe(path) as (transport, protocol, peer, count):
            for number in range(count, count + 20):
                transport.sendto(b"%04d" % number)
            transport.close()
            assert transport.is_closing()
            transport.sendto(b"more")
            assert not protocol.lost.done()
            assert (await read(peer, count + 21))[-1] == b"more"
            assert await protocol.lost is None
            assert protocol.trace == ["made", ("lost", "NoneType")]

    loop.run_until_complete(main())


def test_aborting_drops_what_waits(loop, path):
    async def main():
        async with full_pipe(path) as (transport, protocol, peer, count):
            transport.abort()
            transport.abort()
            assert await protocol.lost is None
            await read(peer, count - 1)
            with pytest.raises(BlockingIOError):
                peer.recv(1)

    loop.run_until_complete(main())


def test_a_peer_that_goes_away_ends_the_waiting_of_each_datagram():
    async def scenario(trace):
        async with full_pipe(f"\0ferrio-gone-{os.getpid()}", lambda: Recorder(trace)) as (transport, _, peer, _):
            transport.sendto(b"second")
            peer.close()
            await until(lambda: len(trace) == 3)
            trace.append(transport.is_closing())
            transport.close()
            trace.append(await transport.get_protocol().lost)

    trace = assert_same(scenario)
    assert [event[0] for event in trace[1:3]] == ["ConnectionRefusedError", "OSError"]


def test_a_buffer_that_changes_after_sendto_is_sent_as_it_was(loop, path):
    async def main():
        async with full_pipe(path) as (transport, _, peer, count):
            data = bytearray(b"before")
            transport.sendto(data)
            data[:] = b"after!"
            assert (await read(peer, count + 1))[-1] == b"before"

    loop.run_until_complete(main())
