"""TLS handshakes: their results, every way in which they fail, and that nothing leaks."""

import asyncio
import contextlib
import socket

import pytest

from tests.support.certificates import client_context
from tests.support.differential import assert_same, outcome_of, trace_on
from tests.support.peers import Recorder, listening, reset, turns, until
from tests.support.tls_peers import NAME, client, serving


def test_connection_made_follows_the_handshake():
    async def scenario(trace):
        class Client(Recorder):
            def connection_made(self, transport):
                trace.append(transport.get_extra_info("cipher") is not None)
                trace.append(transport.get_extra_info("ssl_object").version())
                super().connection_made(transport)

        async with serving() as address, client(address, Client) as (transport, protocol):
            trace.append(protocol.trace)
            trace.append(isinstance(transport, asyncio.Transport))
            trace.append("ssl" in transport.__class__.__name__.lower())

    assert_same(scenario)


def test_extra_info_is_asyncios():
    async def scenario(trace):
        context = client_context()
        async with serving() as address, client(address, context=context) as (transport, protocol):
            info = transport.get_extra_info
            trace.append(info("sslcontext") is context)
            trace.append((info("cipher"), info("compression"), info("peercert")["subject"]))
            trace.append(type(info("ssl_object")).__name__)
            trace.append(info("peername") == address)
            trace.append((type(info("socket")).__name__, info("nothing"), info("nothing", 5)))
            transport.close()
            trace.append(await protocol.lost)
            trace.append((info("cipher"), info("peername", "gone")))

    assert_same(scenario)


def test_a_certificate_that_nobody_vouches_for_is_refused():
    async def scenario(trace):
        made = []
        async with serving(lambda: made.append(Recorder()) or made[-1]) as address:
            connecting = asyncio.get_running_loop().create_connection(Recorder, *address, ssl=True, **NAME)
            trace.append(await outcome_of(connecting))
            await until(lambda: made)
            await asyncio.sleep(0.05)
            trace.append([protocol.trace for protocol in made])

    assert_same(scenario)


def test_a_certificate_for_another_name_is_refused():
    async def scenario(trace):
        async with serving() as address:
            loop = asyncio.get_running_loop()
            connecting = loop.create_connection(
                Recorder, *address, ssl=client_context(), server_hostname="elsewhere.example"
            )
            trace.append(await outcome_of(connecting))

    assert_same(scenario)


def test_the_name_defaults_to_the_host():
    async def scenario(trace):
        async with serving() as address:
            loop = asyncio.get_running_loop()
            connecting = loop.create_connection(Recorder, *address, ssl=client_context())
            trace.append(await outcome_of(connecting))

    assert_same(scenario)


@pytest.mark.parametrize("debug", [False, True])
def test_plain_text_on_a_tls_port_is_cut_without_a_call_to_the_protocol(debug):
    async def scenario(trace):
        made = []
        async with serving(lambda: made.append(Recorder()) or made[-1]) as address:
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                trace.append(await reader.read())
            writer.close()
            trace.append([protocol.trace for protocol in made])

    assert assert_same_but_logs(scenario, debug=debug)


def assert_same_but_logs(scenario, *, debug: bool) -> list:
    """Debug mode logs the reprs of asyncio's own classes."""
    traces = [
        [entry for entry in trace_on(kind, scenario, debug=debug) if not (type(entry) is tuple and entry[0] == "log")]
        for kind in ("stock", "ferrio")
    ]
    assert traces[0] == traces[1]
    return traces[0]


def test_a_server_that_speaks_plain_text_is_refused():
    async def scenario(trace):
        async def answer(_, writer):
            writer.write(b"220 mail.example ESMTP\r\n")
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            address = server.sockets[0].getsockname()
            connecting = asyncio.get_running_loop().create_connection(Recorder, *address, ssl=client_context(), **NAME)
            kind, error, text = await outcome_of(connecting)
            trace.append((kind, error, text.split("(_ssl")[0]))

    assert_same(scenario)


@pytest.mark.parametrize("end", [reset, socket.socket.close])
def test_an_end_in_mid_handshake_fails_it(end):
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        with listening() as listener:
            connecting = loop.create_task(
                loop.create_connection(Recorder, *listener.getsockname(), ssl=client_context(), **NAME)
            )
            listener.setblocking(False)
            peer, _ = await loop.sock_accept(listener)
            with peer:
                await loop.sock_recv(peer, 100)
                end(peer)
                trace.append(await outcome_of(connecting))

    assert_same(scenario)


def test_a_client_that_resets_in_mid_handshake_leaves_nothing(loop):
    async def main():
        made = []
        async with serving(lambda: made.append(Recorder()) or made[-1]) as address:
            for part in (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00"):
                peer = socket.create_connection(address)
                peer.sendall(part)
                await until(lambda: made)
                await turns(5)
                reset(peer)
                await asyncio.sleep(0.02)
                assert made.pop().trace == []

    loop.run_until_complete(main())


def test_a_handshake_that_takes_too_long_is_aborted():
    async def scenario(trace):
        loop = asyncio.get_running_loop()
        with listening() as listener:
            connecting = loop.create_connection(
                Recorder, *listener.getsockname(), ssl=client_context(), ssl_handshake_timeout=0.1, **NAME
            )
            trace.append(await outcome_of(connecting))

    assert_same(scenario)


def test_a_server_aborts_a_client_that_says_nothing(loop):
    async def main():
        async with serving(Recorder, ssl_handshake_timeout=0.05) as address:
            reader, writer = await asyncio.open_connection(*address)
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()

    loop.run_until_complete(main())


def test_a_cancelled_handshake_closes_the_connection(loop):
    async def main():
        with listening() as listener:
            connecting = loop.create_connection(Recorder, *listener.getsockname(), ssl=client_context(), **NAME)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(connecting, 0.05)
            await turns(3)
            listener.setblocking(False)
            peer, _ = await loop.sock_accept(listener)
            with peer:
                assert await loop.sock_recv(peer, 1 << 16)
                with contextlib.suppress(ConnectionResetError):
                    assert await loop.sock_recv(peer, 1 << 16) == b""

    loop.run_until_complete(main())


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_wrong_arguments_are_refused_as_asyncio_does():
    """Stock leaves the socket of a refused connection to the collector."""

    async def scenario(trace):
        loop = asyncio.get_running_loop()
        context = client_context()
        with listening() as listener:
            address = listener.getsockname()
            for keywords in (
                {"ssl_handshake_timeout": 1},
                {"ssl_shutdown_timeout": 1},
                {"server_hostname": "localhost"},
                {"ssl": context, "ssl_handshake_timeout": 0, **NAME},
                {"ssl": context, "ssl_handshake_timeout": -1.5, **NAME},
                {"ssl": context, "ssl_shutdown_timeout": 0, **NAME},
                {"ssl": "no context", **NAME},
            ):
                trace.append(await outcome_of(loop.create_connection(Recorder, *address, **keywords)))
            for keywords in ({"ssl_handshake_timeout": 1}, {"ssl_shutdown_timeout": 1}):
                trace.append(await outcome_of(loop.create_server(Recorder, "127.0.0.1", 0, **keywords)))
            trace.append(await outcome_of(loop.create_server(Recorder, "127.0.0.1", 0, ssl=True)))

    assert_same(scenario)
