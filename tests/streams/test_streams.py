"""Streams over TCP, Unix sockets and TLS do what asyncio's do: both ends, on any loop."""

import asyncio
import contextlib
import importlib.util
import os
import socket
import sys

import pytest

import ferrio
from tests.support.certificates import client_context, server_context
from tests.support.differential import assert_same_functions, masked, outcome_of
from tests.support.tls_peers import NAME

KINDS = ["tcp", "unix", "tls"]


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    return request.param


@contextlib.asynccontextmanager
async def connected(module, kind, path, callback, client=None, **keywords):
    """A server that calls `callback`, and a client's reader and writer; `client` is whose functions connect."""
    client = client or module
    path = str(path / "socket")
    if kind == "unix":
        server = await module.start_unix_server(callback, path, **keywords)
        reader, writer = await client.open_unix_connection(path, **keywords)
    else:
        of_server = {"ssl": server_context()} if kind == "tls" else {}
        of_client = {"ssl": client_context(), **NAME} if kind == "tls" else {}
        server = await module.start_server(callback, "127.0.0.1", 0, **of_server, **keywords)
        address = server.sockets[0].getsockname()
        reader, writer = await client.open_connection(*address, **of_client, **keywords)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        server.close()
        with contextlib.suppress(OSError):
            os.unlink(path)


async def echo_lines(reader, writer):
    async for line in reader:
        writer.write(line.upper())
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def talk(reader, writer, trace):
    writer.write(b"one\ntwo\n")
    writer.writelines([b"three", bytearray(b"\n"), memoryview(b"four;five\n")])
    await writer.drain()
    trace.append(await reader.readline())
    trace.append(await reader.readexactly(4))
    trace.append(await reader.readuntil(b";"))
    trace.append(await reader.readuntil())
    writer.write(b"x" * 100_000 + b"\n")
    trace.append(len(await reader.readexactly(100_001)))
    trace.append((writer.can_write_eof(), writer.is_closing(), reader.at_eof()))
    writer.write(b"without end")
    if writer.can_write_eof():
        writer.write_eof()
        trace.append(await reader.read())
        trace.append((await reader.read(5), await reader.readline(), reader.at_eof()))
        trace.append(await outcome_of(reader.readexactly(1)))
        trace.append(await outcome_of(reader.readuntil()))
    writer.close()
    trace.append(writer.is_closing())
    trace.append(await outcome_of(writer.wait_closed()))
    trace.append(await outcome_of(writer.drain()))


def test_a_conversation(kind, tmp_path):
    async def scenario(module, trace):
        limit = {"limit": 1 << 18}
        async with connected(module, kind, tmp_path, echo_lines, **limit) as (reader, writer):
            await talk(reader, writer, trace)

    assert_same_functions(scenario)


@pytest.fixture(scope="module")
def factories():
    factories = [asyncio.SelectorEventLoop, ferrio.new_event_loop]
    if importlib.util.find_spec("uvloop"):
        import uvloop

        uvloop.new_event_loop().close()  # the first one opens descriptors for good
        factories.append(uvloop.new_event_loop)
    return factories


def test_stock_readers_on_our_loop_and_ours_with_stock_ones(kind, factories, tmp_path):
    traces = []
    for factory in factories:
        for server, client in [(asyncio, ferrio), (ferrio, asyncio), (ferrio, ferrio)]:

            async def main(trace, server=server, client=client):
                limit = {"limit": 1 << 18}
                async with connected(server, kind, tmp_path, echo_lines, client, **limit) as (reader, writer):
                    await talk(reader, writer, trace)

            loop = factory()
            trace = []
            try:
                loop.run_until_complete(main(trace))
            finally:
                loop.close()
            traces.append(trace[:-1])
    assert all(trace == traces[0] for trace in traces)
    assert len(traces[0]) > 5


def test_what_a_handler_raises_is_reported_and_closes(kind, tmp_path):
    async def scenario(module, trace):
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(
            lambda _, context: trace.append((context["message"], repr(context.get("exception")), sorted(context)))
        )

        async def fails(reader, writer):
            trace.append(await reader.readline())
            raise ValueError("no")

        async with connected(module, kind, tmp_path, fails) as (reader, writer):
            writer.write(b"hello\n")
            trace.append(await reader.read())

    assert_same_functions(scenario)


def test_a_plain_callback_and_no_callbacks_result(tmp_path):
    async def scenario(module, trace):
        def plain(reader, writer):
            trace.append((type(reader).__name__, type(writer).__name__))
            writer.write(b"bye")
            writer.close()

        async with connected(module, "tcp", tmp_path, plain) as (reader, writer):
            trace.append(await reader.read())
            trace.append(writer.get_extra_info("peername")[0])
            trace.append(writer.get_extra_info("nothing", 5))

    assert_same_functions(scenario)


def test_a_connection_that_is_reset_fails_reads_and_drains(tmp_path):
    async def scenario(module, trace):
        async def resets(reader, writer):
            await reader.readline()
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            writer.transport.abort()

        async with connected(module, "tcp", tmp_path, resets) as (reader, writer):
            writer.write(b"hello\n")
            trace.append(await outcome_of(reader.read()))
            trace.append(await outcome_of(reader.readline()))
            trace.append(await outcome_of(reader.readexactly(3)))
            trace.append(masked(reader.exception()))
            trace.append(await outcome_of(writer.drain()))
            trace.append(await outcome_of(writer.wait_closed()))

    assert_same_functions(scenario)


def test_a_reader_that_is_not_read_pauses_its_transport(kind, tmp_path):
    async def scenario(module, trace):
        size = 3_000_000
        written = []

        async def writes(reader, writer):
            writer.write(bytes(size))
            await writer.drain()
            written.append(True)
            writer.close()

        async with connected(module, kind, tmp_path, writes, limit=1000) as (reader, _writer):
            while not reader._paused:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.01)
            trace.append((written, len(reader._buffer) > 2000, len(reader._buffer) < size // 2))
            trace.append(await outcome_of(reader.readline()))
            total = 0
            while data := await reader.read(50_000):
                total += len(data)
            trace.append((written, total > size // 2, reader._paused))

    assert_same_functions(scenario)


def test_drain_waits_until_the_peer_has_read(tmp_path):
    async def scenario(module, trace):
        go_on = asyncio.Event()

        async def reads(reader, writer):
            await go_on.wait()
            trace.append(len(await reader.read()))
            writer.close()

        async with connected(module, "unix", tmp_path, reads) as (reader, writer):
            writer.write(bytes(5_000_000))
            drains = [asyncio.create_task(writer.drain()) for _ in range(3)]
            await asyncio.sleep(0.01)
            drains[1].cancel()
            trace.append([drain.done() for drain in drains])
            go_on.set()
            writer.write_eof()
            trace.append([repr(ended) for ended in await asyncio.gather(*drains, return_exceptions=True)])
            trace.append(await reader.read())

    assert_same_functions(scenario)


def test_a_lost_connection_wakes_all_who_drain(tmp_path):
    async def scenario(module, trace):
        async def waits(reader, writer):
            await reader.readexactly(1)
            await asyncio.sleep(0.01)
            writer.transport.abort()

        async with connected(module, "unix", tmp_path, waits) as (_reader, writer):
            writer.write(bytes(5_000_000))
            outcomes = await asyncio.gather(*(outcome_of(writer.drain()) for _ in range(3)))
            trace.append([outcome[:2] for outcome in outcomes])

    assert_same_functions(scenario)


def test_start_tls_on_both_ends(tmp_path):
    async def scenario(module, trace):
        async def upgrades(reader, writer):
            trace.append(await reader.readline())
            writer.write(b"go on\n")
            await writer.start_tls(server_context())
            writer.write((await reader.readline()).upper())
            await writer.drain()
            writer.close()

        async with connected(module, "tcp", tmp_path, upgrades) as (reader, writer):
            writer.write(b"tls, please\n")
            trace.append(await reader.readline())
            await writer.start_tls(client_context(), server_hostname="localhost")
            trace.append(writer.get_extra_info("sslcontext") is not None)
            writer.write(b"secret\n")
            trace.append(await reader.readline())
            trace.append(await reader.read())

    assert_same_functions(scenario)


def test_methods_put_into_stream_classes_are_not_called_by_the_others(monkeypatch):
    calls = []
    monkeypatch.setattr(ferrio.StreamReader, "feed_data", lambda *arguments: calls.append(arguments))

    class Noting(ferrio.StreamReader):
        def feed_data(self, data):
            calls.append(data)

    async def echo(reader, writer):
        writer.write(await reader.readexactly(4))
        writer.close()

    async def main():
        server = await ferrio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await ferrio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"ping")
        assert await reader.readexactly(4) == b"ping"
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        assert calls == []
        Noting().feed_data(b"data")

    with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
        runner.run(main())
    assert calls == [b"data"]


@pytest.mark.filterwarnings("ignore:.*:ResourceWarning")
def test_a_handler_that_forgets_its_writer_ends_well_in_debug_mode(kind, tmp_path):
    """The writer goes, and closes its connection, while no Python function is there that could have called it."""

    async def forget(reader, writer):
        await reader.readexactly(4)

    async def main():
        async with connected(ferrio, kind, tmp_path, forget) as (reader, writer):
            writer.write(b"data")
            if sys.version_info >= (3, 13):
                assert await reader.read() == b""

    with asyncio.Runner(loop_factory=ferrio.new_event_loop, debug=True) as runner:
        runner.run(main())
