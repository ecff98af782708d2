"""Numeric parameters of servers, connections, sockets and descriptors."""

import asyncio
import contextlib
import socket
import ssl
import sys
from functools import partial

from tests.odd_numbers.observation import ended, loop, operation, outcome, put_down, shown_error, soon, turns, with_each

HERE = "127.0.0.1"
TIMEOUTS = ("ssl_handshake_timeout", "ssl_shutdown_timeout")


async def served(make):
    try:
        server = await make()
    except Exception as error:
        return shown_error(error)
    try:
        return ["made", await ended(server.start_serving), server.is_serving()]
    finally:
        server.close()
        await turns()


# A port that a value may stand for is one of the first few, which nobody else may take.
@operation
async def server_port(value):
    return await served(lambda: loop().create_server(asyncio.Protocol, HERE, value))


@operation
async def server_backlog(value):
    return await served(lambda: loop().create_server(asyncio.Protocol, HERE, 0, backlog=value, start_serving=False))


@operation
async def server_options(value):
    names = ["family", "flags", "reuse_address", "reuse_port", "start_serving"]
    names += ["keep_alive"] if sys.version_info >= (3, 13) else []
    return await with_each(names, value, served, partial(loop().create_server, asyncio.Protocol, HERE, 0))


@operation
async def server_timeouts(value):
    seen = []
    for tls in (None, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)):
        make = partial(loop().create_server, asyncio.Protocol, HERE, 0, ssl=tls)
        seen += await with_each(TIMEOUTS, value, served, make)
    return seen


@operation
async def server_ssl(value):
    return await served(lambda: loop().create_server(asyncio.Protocol, HERE, 0, ssl=value))


@operation
async def unix_server(value):
    seen = [await served(lambda: loop().create_unix_server(asyncio.Protocol, value))]
    make = partial(loop().create_unix_server, asyncio.Protocol, f"\0odd-{id(loop())}", backlog=value)
    return [*seen, await served(make)]


async def connecting(make):
    try:
        transport, _ = await make()
    except Exception as error:
        return shown_error(error)
    async with put_down(transport):
        return "connected"


@contextlib.contextmanager
def listening():
    with socket.create_server((HERE, 0)) as listener:
        yield listener.getsockname()[1]


@operation
async def connection_port(value):
    return await connecting(lambda: loop().create_connection(asyncio.Protocol, HERE, value))


@operation
async def connection_options(value):
    names = ["interleave", "family", "proto", "flags", "server_hostname", *TIMEOUTS]
    names += ["all_errors"] if sys.version_info >= (3, 12) else []
    names += ["ssl"] if not value else []
    with listening() as port:
        make = partial(loop().create_connection, asyncio.Protocol, HERE, port)
        seen = await with_each(names if value != [1] else (), value, connecting, make)
        return [*seen, await connecting(partial(make, local_addr=(HERE, value)))]


@operation
async def delay(value):
    with listening() as port:
        make = loop().create_connection
        return await connecting(lambda: make(asyncio.Protocol, HERE, port, happy_eyeballs_delay=value))


@operation
async def connection_timeouts(value):
    """A peer that never answers, cancelled."""
    if value != value:  # due now, next to another timer: in which order is up to asyncio's heap
        return "not tried"
    tls = {"ssl": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "server_hostname": "a"}
    seen = []
    for name in TIMEOUTS:
        ours, theirs = socket.socketpair()
        with theirs:
            make = partial(loop().create_connection, asyncio.Protocol, sock=ours, **tls)
            seen += await with_each([name], value, soon, make)
            ours.close()
            await turns()
    return seen


@operation
async def start_tls_timeouts(value):
    if value != value:
        return "not tried"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    seen = []
    for name in TIMEOUTS:
        ours, theirs = socket.socketpair()
        with theirs:
            transport, protocol = await loop().create_connection(asyncio.Protocol, sock=ours)
            async with put_down(transport):
                make = partial(loop().start_tls, transport, protocol, context, server_hostname="a")
                seen += await with_each([name], value, soon, make)
    return seen


@operation
async def datagram_endpoint(value):
    make = partial(loop().create_datagram_endpoint, asyncio.DatagramProtocol)
    addresses = ("local_addr", "remote_addr")
    seen = await with_each(addresses, (HERE, value), connecting, make)
    seen += await with_each(addresses, value, connecting, make)
    names = ("family", "proto", "flags", "reuse_port", "allow_broadcast") if value != [1] else ()
    return [*seen, *await with_each(names, value, connecting, partial(make, local_addr=(HERE, 0)))]


@operation
async def datagram_target(value):
    transport, _ = await loop().create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=(HERE, 0))
    async with put_down(transport):
        return [outcome(lambda: transport.sendto(b"x", (HERE, value))), outcome(lambda: transport.sendto(b"x", value))]


@operation
async def getaddrinfo(value):
    seen = [await ended(lambda: loop().getaddrinfo(HERE, value))]
    seen += await with_each(("family", "type", "proto", "flags"), value, ended, partial(loop().getaddrinfo, HERE, 1))
    return [*seen, await ended(lambda: loop().getnameinfo((HERE, value), 3))]


# Sockets


@contextlib.contextmanager
def pair(kind=socket.SOCK_STREAM):
    ours, theirs = socket.socketpair(type=kind)
    with ours, theirs:
        ours.setblocking(False)
        theirs.send(b"abc")
        yield ours


@operation
async def sock_recv(value):
    with pair() as sock:
        return await soon(lambda: loop().sock_recv(sock, value))


@operation
async def sock_recvfrom(value):
    with pair(socket.SOCK_DGRAM) as sock:
        return await soon(lambda: loop().sock_recvfrom(sock, value))


@operation
async def sock_recvfrom_into(value):
    room = bytearray(5)
    with pair(socket.SOCK_DGRAM) as sock:
        return [await soon(lambda: loop().sock_recvfrom_into(sock, room, value)), bytes(room)]


@operation
async def sock_data(value):
    with pair() as sock:
        seen = [await soon(lambda: loop().sock_sendall(sock, value))]
        seen += [await soon(lambda: loop().sock_recv_into(sock, value))]
        return [*seen, await soon(lambda: loop().sock_sendto(sock, b"x", value))]


@operation
async def sock_connect(value):
    with socket.socket() as sock:
        sock.setblocking(False)
        seen = [await soon(lambda: loop().sock_connect(sock, value))]
        with contextlib.suppress(OSError):
            sock.getpeername()
        return [*seen, await ended(lambda: loop().sock_connect(sock, (HERE, value)))]


@operation
async def sock_itself(value):
    return [
        await soon(lambda: loop().sock_recv(value, 1)),
        await soon(lambda: loop().sock_sendall(value, b"")),
        await soon(lambda: loop().sock_connect(value, "a")),
    ]


# Descriptors


@operation
async def watched_descriptors(value):
    """What is no number of a file: the first three are the test's own."""
    if value in (True, False, 0, 1, 2) and not isinstance(value, float):
        return "not tried"
    seen = []
    for name in ("reader", "writer"):
        seen.append(outcome(partial(getattr(loop(), f"remove_{name}"), value)))
        seen.append(outcome(partial(getattr(loop(), f"add_{name}"), value, print)))
        seen.append(outcome(partial(getattr(loop(), f"remove_{name}"), value)))
    return seen


@operation
async def watched_files(value):
    class File:
        def fileno(self):
            return value

        def __repr__(self):
            return "File"

    if value in (True, False, 0, 1, 2) or value == 1.5:
        return "not tried"
    seen = []
    for name in ("reader", "writer"):
        seen.append(outcome(partial(getattr(loop(), f"remove_{name}"), File())))
        seen.append(outcome(partial(getattr(loop(), f"add_{name}"), File(), print)))
    return seen


@operation
async def signals(value):
    seen = [outcome(lambda: loop().remove_signal_handler(value))]
    seen += [outcome(lambda: loop().add_signal_handler(value, print))]
    return [*seen, outcome(lambda: loop().remove_signal_handler(value))]


@operation
async def pipes(value):
    return [
        await soon(lambda: loop().connect_read_pipe(asyncio.Protocol, value)),
        await soon(lambda: loop().connect_write_pipe(asyncio.Protocol, value)),
    ]
