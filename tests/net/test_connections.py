"""TCP connections: opening them, transports and their protocols, and how connections end."""

import asyncio
import gc
import socket
import sys
import warnings

import pytest

from tests.support.differential import assert_same, outcome, outcome_of
from tests.support.peers import (
    Recorder,
    connection,
    listening,
    read_exactly,
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


@pytest.mark.parametrize("host", ["localhost\0.example", "127.0.0.1\0x"])
def test_a_name_does_not_end_at_a_null_character(loop, host):
    async def main():
        with listening() as listener:
            port = listener.getsockname()[1]
            with pytest.raises(ValueError, match="embedded null character"):
                await loop.create_connection(Recorder, host, port)
            with pytest.raises(ValueError, match="embedded null character"):
                await loop.create_server(Recorder, host, 0)
            with pytest.raises(ValueError, match="embedded null character"):
                await loop.create_datagram_endpoint(Recorder, remote_addr=(host, port))
            with socket.socket() as sock:
                sock.setblocking(False)
                with pytest.raises(ValueError, match="embedded null character"):
                    await loop.sock_connect(sock, (host, port))

    loop.run_until_complete(main())


def test_without_connection_made_there_is_no_connection(loop):
    async def main():
        ours, peer = socket.socketpair()
        with ours, peer, pytest.raises(AttributeError, match="connection_made"):
            await loop.create_connection(object, sock=ours)
        server = await loop.create_server(object, "127.0.0.1", 0)
        with socket.create_connection(server.sockets[0].getsockname()) as client:
            client.setblocking(False)
            await asyncio.sleep(0.01)
            gc.collect()
            assert await asyncio.wait_for(loop.sock_recv(client, 1), 5) == b""
        server.close()
        await turns(2)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        loop.run_until_complete(main())


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
