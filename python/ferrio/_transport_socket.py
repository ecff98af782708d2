"""What `get_extra_info("socket")` of a connection returns.

A program that acts on the socket itself must not overtake what it wrote to the transport. So whatever gives access to
the socket, rather than to information about it, first makes the transport send everything, then and from then on.
"""

import socket
from asyncio import trsock
from typing import Any
from weakref import ref

# The attribute of the class below, which has a property in its place.
_wrapped: Any = trsock.TransportSocket.__dict__["_sock"]


class TransportSocket(trsock.TransportSocket):
    """A socket-like wrapper for exposing real transport sockets.

    These objects can be safely returned by APIs like
    `transport.get_extra_info('socket')`.  All potentially disruptive
    operations (like "socket.close()") are banned.
    """

    __slots__ = ("_transport",)

    def __init__(self, sock: socket.socket, transport: Any) -> None:
        _wrapped.__set__(self, sock)
        self._transport = ref(transport)

    @property
    def _sock(self) -> socket.socket:
        transport = self._transport()
        if transport is not None:
            transport.set_join_writes(False)
        wrapped: socket.socket = _wrapped.__get__(self)
        return wrapped

    def _information(self) -> trsock.TransportSocket:
        return trsock.TransportSocket(_wrapped.__get__(self))

    @property
    def family(self) -> int:
        return self._information().family

    @property
    def type(self) -> int:
        return self._information().type

    @property
    def proto(self) -> int:
        return self._information().proto

    def __repr__(self) -> str:
        return repr(self._information())

    def get_inheritable(self) -> bool:
        return self._information().get_inheritable()

    def getsockopt(self, *args: Any, **kwargs: Any) -> Any:
        return self._information().getsockopt(*args, **kwargs)

    def getpeername(self) -> Any:
        return self._information().getpeername()

    def getsockname(self) -> Any:
        return self._information().getsockname()

    def setsockopt(self, *args: Any, **kwargs: Any) -> None:
        transport = self._transport()
        if transport is not None:
            transport.get_write_buffer_size()  # Sends what the option is not meant for.
        self._information().setsockopt(*args, **kwargs)


TransportSocket.__module__ = trsock.TransportSocket.__module__
