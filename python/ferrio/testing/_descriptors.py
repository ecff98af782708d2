"""What the system tells of a socket that is known by its descriptor alone."""

import contextlib
import socket
import struct
from collections.abc import Iterator

_PEER = struct.Struct("3i")

# Before a simulation replaces it.
_socket = socket.socket


@contextlib.contextmanager
def borrowed(descriptor: int) -> Iterator[socket.socket]:
    """The socket of a descriptor, which stays open."""
    sock = _socket(fileno=descriptor)
    try:
        yield sock
    finally:
        sock.detach()


def accepts(sock: socket.socket) -> bool:
    """Whether it listens."""
    try:
        return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError:
        return False


def peer_process(sock: socket.socket) -> int | None:
    """The process at the other end of a Unix connection; None if the system does not tell, 0 for other sockets."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    process: int = _PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, option, _PEER.size))[0]
    return process
