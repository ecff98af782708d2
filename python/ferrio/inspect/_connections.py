"""Connections and servers, as records: what their transports, the TLS objects and the system know.

Bytes are counted by the system, so that nobody pays for it before it is asked. Nothing here changes a connection.
"""

import _socket
import sys
import time
from typing import Any

from ferrio._ferrio import _connection_of, _count_connections, _tcp_counters
from ferrio.inspect._descriptors import kind_of_transport
from ferrio.inspect._model_io import Connection, Server
from ferrio.inspect._objects import attribute, class_name, copied, identifier, mro_of, type_name

# Protocols between a connection and the program's own.
_TLS_PROTOCOLS = {"ferrio.TlsProtocol", "asyncio.sslproto.SSLProtocol"}


def described(transport: Any) -> Connection | None:
    """A transport's record; None once it is closed."""
    return _of_ferrio(transport) if type_name(transport) == "ferrio.SocketTransport" else _of_others(transport)


def program_end(transport: Any) -> Any:
    """The transport that the program has: with TLS, the upper one."""
    protocol = attribute(transport, "_protocol")
    above = attribute(protocol, "_app_transport") if is_tls(protocol) else None
    return transport if above is None else above


def is_tls(protocol: Any) -> bool:
    """Whether a protocol is the lower end of TLS."""
    return any(class_name(kind) in _TLS_PROTOCOLS for kind in mro_of(type(protocol)))


def server_of(transport: Any) -> Any:
    """The server that has accepted a connection; None if none has."""
    found = _connection_of(transport)
    return attribute(transport, "_server") if found is None else found[9]


def _of_ferrio(transport: Any) -> Connection | None:
    known = _connection_of(transport)
    if known is None or known[0] is None:
        return None
    owner, protocol, descriptor, local, peer, buffered, paused, closing, tls, server = known
    extra = None if tls is None else tls[1]
    received, sent = _counted(descriptor)
    return Connection(
        id=identifier(program_end(transport)),
        kind="stream",
        type=type_name(transport),
        loop=identifier(owner),
        descriptor=descriptor,
        local=local,
        peer=peer,
        protocol=None if protocol is None else type_name(protocol),
        server=None if server is None else identifier(server),
        state="closing" if closing else "open",
        received=received,
        sent=sent,
        buffered=buffered,
        reading_paused=paused[0] is not None,
        writing_paused=paused[1] is not None,
        reading_paused_for=_since(paused[0]),
        writing_paused_for=_since(paused[1]),
        tls=tls is not None,
        tls_version=None if tls is None else _tls_version(tls[0]),
        tls_cipher=_tls_cipher(extra),
    )


def _of_others(transport: Any) -> Connection | None:
    """ferrio's pipes and datagram endpoints, and asyncio's own transports: by asyncio's private attributes."""
    owner, kind = attribute(transport, "_loop"), kind_of_transport(transport)
    if owner is None or kind not in ("stream", "datagram", "pipe"):
        return None
    protocol = attribute(transport, "_protocol")
    below = protocol if is_tls(protocol) else None
    if below is not None:
        protocol = attribute(below, "_app_protocol")
    descriptor = attribute(transport, "_sock_fd", attribute(transport, "_fileno"))
    extra = attribute(transport, "_extra")
    received, sent = (None, None) if kind != "stream" or type(descriptor) is not int else _counted(descriptor)
    reading = attribute(transport, "_paused") if below is None else attribute(below, "_app_reading_paused")
    writing = attribute(transport if below is None else below, *_WRITING[below is not None])
    server = attribute(transport, "_server")
    return Connection(
        id=identifier(program_end(transport)),
        kind=kind,  # type: ignore[typeddict-item]
        type=type_name(transport),
        loop=identifier(owner),
        descriptor=descriptor if type(descriptor) is int else None,
        local=_address(_item(extra, "sockname")),
        peer=_address(_item(extra, "peername")),
        protocol=None if protocol is None else type_name(protocol),
        server=None if server is None else identifier(server),
        state="closing" if attribute(transport, "_closing") else "open",
        received=received,
        sent=sent,
        buffered=_buffered(transport, below),
        reading_paused=reading if type(reading) is bool else None,
        writing_paused=writing if type(writing) is bool else None,
        reading_paused_for=None,
        writing_paused_for=None,
        tls=below is not None,
        tls_version=None if below is None else _tls_version(attribute(below, "_sslobj")),
        tls_cipher=_tls_cipher(attribute(below, "_extra")),
    )


# The attribute that says whether writing is paused, without and with TLS.
_WRITING = {False: ("_protocol_paused",), True: ("_app_writing_paused",)}


def _counted(descriptor: int) -> tuple[int | None, int | None]:
    found = _tcp_counters(descriptor)
    return (None, None) if found is None or found[0] else (found[1], found[2])


def _since(instant: int | None) -> float | None:
    """Seconds since an instant in nanoseconds; zero is an unknown one."""
    return max(time.monotonic_ns() - instant, 0) / 1e9 if instant else None


def _buffered(transport: Any, below: Any) -> int | None:
    total = 0
    for known in (
        attribute(transport, "_buffer_size"),
        attribute(transport, "_buffer"),
        attribute(below, "_write_buffer_size"),
    ):
        if type(known) is int:
            return known if below is None else total + known
        if type(known) is bytearray:
            total += len(known)
        elif known is not None:
            parts = copied(known)
            total += sum(len(each) for each in parts if type(each) in (bytes, bytearray))
            total += sum(each.nbytes for each in parts if type(each) is memoryview)
    return total


def _tls_version(tls: Any) -> str | None:
    """The version of a TLS object of the standard class: the C object behind it knows it."""
    module = sys.modules.get("ssl")
    if module is None or type_name(tls) != "ssl.SSLObject":
        return None
    inner = attribute(tls, "_sslobj")
    return inner.version() if type_name(inner) == "_ssl._SSLSocket" else None


def _tls_cipher(extra: Any) -> str | None:
    """The cipher that was noted after the handshake: asking for it now could meet one that another thread makes."""
    cipher = _item(extra, "cipher")
    return cipher[0] if type(cipher) is tuple and cipher and type(cipher[0]) is str else None


def _item(extra: Any, name: str) -> Any:
    return extra.get(name) if type(extra) is dict else None


def _address(known: Any) -> str | None:
    """A socket's address, as Python's functions give it, as text."""
    if type(known) is tuple and len(known) >= 2 and type(known[0]) is str and type(known[1]) is int:
        return f"[{known[0]}]:{known[1]}" if len(known) == 4 else f"{known[0]}:{known[1]}"
    if type(known) is bytes:
        return (
            f"@{known[1:].decode(errors='replace')}" if known[:1] == b"\0" else known.decode(errors="replace") or None
        )
    return known.encode(errors="replace").decode() if type(known) is str and known else None


def described_server(server: Any) -> Server:
    """A server's record."""
    sockets = [each for each in copied(attribute(server, "_sockets")) if _socket.socket in mro_of(type(each))]
    counted = _count_connections(server)
    queues = [_queue_of(each) for each in sockets]
    known = [each for each in queues if each is not None]
    limit = attribute(server, "_backlog")
    serving = attribute(server, "_serving")
    return Server(
        id=identifier(server),
        type=type_name(server),
        loop=identifier(attribute(server, "_loop")),
        addresses=[each for each in map(_listens_at, sockets) if each is not None],
        serving=serving if type(serving) is bool else None,
        tls=attribute(server, "_ssl_context") is not None,
        accepted=None if counted is None else counted[0],
        open=_open(server) if counted is None else counted[1],
        waiting=sum(each[0] for each in known) if known and len(known) == len(queues) else None,
        backlog=sum(each[1] for each in known)
        if known and len(known) == len(queues)
        else limit
        if type(limit) is int
        else None,
    )


def _open(server: Any) -> int | None:
    """How many connections a server of asyncio's own has."""
    count = attribute(server, "_active_count")
    if type(count) is int:
        return count
    references = attribute(attribute(server, "_clients"), "data")
    return len(references) if type(references) is set else None


def _listens_at(sock: Any) -> str | None:
    try:
        return _address(_socket.socket.getsockname(sock))
    except OSError:
        return None


def _queue_of(sock: Any) -> tuple[int, int] | None:
    descriptor = _socket.socket.fileno(sock)
    found = None if descriptor < 0 else _tcp_counters(descriptor)
    return (found[1], found[2]) if found is not None and found[0] else None
