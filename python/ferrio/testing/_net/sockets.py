"""`socket.socket` as a simulated program sees it: a real descriptor whose other end the network holds.

Methods that move bytes of a connection are those of the system. Methods that concern addresses, listening and
datagrams are the network's. A call that would block is refused by name: the loop could not go on.
"""

import errno
import os
import socket
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from ferrio.testing._errors import RealIOError
from ferrio.testing._net import hosts
from ferrio.testing._net.hosts import Host
from ferrio.testing._places import place_of_caller

if TYPE_CHECKING:
    from ferrio.testing._net.network import Network
    from ferrio.testing._net.wires import End

real_socket = socket.socket

# How many connections wait to be accepted at most where `listen` was not told.
_BACKLOG = 128

# While a connection is being made, the buffer of its descriptor is full, so that it does not become writable.
_FILLING = bytes(1 << 20)

_FLAGS = getattr(socket, "SOCK_NONBLOCK", 0) | getattr(socket, "SOCK_CLOEXEC", 0)


class SimulatedSocket(real_socket):
    """A socket on a host of the simulated network."""

    _network: "Network"
    _host: Host
    _end: "End"

    def __init__(self, network: "Network", host: Host, family: int, kind: int, proto: int) -> None:
        pair = socket.SOCK_DGRAM if kind & ~_FLAGS == socket.SOCK_DGRAM else socket.SOCK_STREAM
        ours, wire = network.make_pair(pair)
        super().__init__(family, kind & ~_FLAGS, proto, fileno=ours.detach())
        self._network = network
        self._host = host
        self._local: Any = None
        self._peer: Any = None
        self._state = "new"
        self._error = 0
        self._options: dict[tuple[int, int], Any] = {}
        self._filled = 0
        #: Connections that wait to be accepted, and how many may.
        self._accepted: deque[tuple[SimulatedSocket, Any]] = deque()
        self._backlog = 0
        #: Datagrams that have landed.
        self._datagrams: deque[tuple[bytes, Any]] = deque()
        self.made_at = place_of_caller()
        self.is_of_others = hosts.of_others.get()
        self.purpose = ""
        self._end = network.attach(self, wire)
        self.settimeout(socket.getdefaulttimeout())
        if kind & getattr(socket, "SOCK_NONBLOCK", 0):
            self.setblocking(False)

    def description(self) -> str:
        """What it is, in words."""
        if self.purpose:
            return self.purpose
        if self.type == socket.SOCK_DGRAM:
            return f"the datagram socket {self.getsockname()}"
        if self._state == "listening":
            return f"the listening socket {self.getsockname()}"
        if self._state == "connected":
            return f"the connection of {self.getsockname()} to {self._peer}"
        return f"a socket that is {self._state}"

    # Addresses

    def getsockname(self) -> Any:
        if self._local is not None:
            return self._local
        if self.family == socket.AF_UNIX:
            return ""
        return ("0.0.0.0", 0) if self.family == socket.AF_INET else ("::", 0, 0, 0)

    def getpeername(self) -> Any:
        if self._peer is None or self._state not in ("connected", "new", "bound"):
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")
        return self._peer

    def bind(self, address: Any, /) -> None:
        if self._local is not None:
            raise OSError(errno.EINVAL, "Invalid argument")
        self._local = self._network.bind(self, address)
        self._state = "bound"

    def listen(self, backlog: int = _BACKLOG, /) -> None:
        if self._local is None:
            self._local = self._network.bind(self, ("0.0.0.0" if self.family == socket.AF_INET else "::", 0))
        self._backlog = max(backlog, 1)
        self._state = "listening"

    def accept(self) -> tuple[socket.socket, Any]:
        self._refuse_blocking("accept")
        if self._state != "listening":
            raise OSError(errno.EINVAL, "Invalid argument")
        super().recv(1)  # Raises BlockingIOError if there is none.
        sock, address = self._accepted.popleft()
        sock.settimeout(socket.getdefaulttimeout())
        return sock, address

    def push(self, sock: "SimulatedSocket", address: Any) -> bool:
        """Queue a connection to be accepted; False if too many are."""
        if self._state != "listening" or len(self._accepted) >= self._backlog:
            return False
        self._accepted.append((sock, address))
        self._end.wire.send(b"\0")
        return True

    # Connecting

    def connect(self, address: Any, /) -> None:
        number = self.connect_ex(address)
        if number:
            raise OSError(number, os.strerror(number))

    def connect_ex(self, address: Any, /) -> int:
        if self.type == socket.SOCK_DGRAM:
            self._peer = self._network.resolved(self, address)
            if self._local is None:
                self._local = self._network.bind_any(self, self._peer)
            return 0
        self._refuse_blocking("connect")
        if self._state == "connecting":
            return errno.EALREADY
        if self._state in ("connected", "listening"):
            return errno.EISCONN
        peer = self._network.resolved(self, address)
        self.hold_writes()
        self._state = "connecting"
        number = self._network.connect(self, peer)
        if number != errno.EINPROGRESS:
            self._state = "bound"
            self.release_writes()
        return number

    def connected_by_recording(self, address: Any) -> None:
        """A recording says how connecting to this address goes."""
        self._peer = address
        self._state = "connected"

    def bound_by_recording(self, address: Any) -> None:
        """A recording says what its address is."""
        self._local = address

    def hold_writes(self) -> None:
        """Make the descriptor unwritable."""
        super().setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        self._filled = os.write(self.fileno(), _FILLING)

    def release_writes(self) -> None:
        """Make the descriptor writable again."""
        if self.fileno() >= 0:
            super().setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._network.SYSTEM_BUFFER)
        while self._filled > 0:
            self._filled -= len(self._end.wire.recv(self._filled))

    def established(self, error: int) -> None:
        """The connection is made, or has failed."""
        self.release_writes()
        self._error = error
        self._state = "bound" if error else "connected"
        if error:
            self._peer = None

    # Options

    def setsockopt(self, level: int, option: int, value: Any, optlen: int | None = None, /) -> None:
        self._options[level, option] = value

    def getsockopt(self, level: int, option: int, buflen: int = 0, /) -> Any:
        if level == socket.SOL_SOCKET:
            if option == socket.SO_ERROR:
                error, self._error = self._error, 0
                return error
            if option == socket.SO_TYPE:
                return int(self.type)
            if option == getattr(socket, "SO_ACCEPTCONN", -1):
                return int(self._state == "listening")
        value = self._options.get((level, option), bytes(buflen) if buflen else 0)
        return bytes(value) if buflen else value

    # Datagrams

    def sendto(self, data: Any, *rest: Any) -> int:
        if self.type != socket.SOCK_DGRAM:
            return super().sendto(data, *rest)
        address = rest[-1] if rest else None
        target = self._peer if address is None else self._network.resolved(self, address)
        if target is None:
            raise OSError(errno.EDESTADDRREQ, "Destination address required")
        return self._network.send_datagram(self, bytes(data), target)

    def recvfrom(self, size: int, flags: int = 0, /) -> tuple[bytes, Any]:
        self._refuse_blocking("recvfrom")
        if self.type != socket.SOCK_DGRAM:
            return super().recv(size, flags), None
        super().recv(1)
        data, address = self._datagrams.popleft()
        return data[:size], address

    def recvfrom_into(self, buffer: Any, nbytes: int = 0, flags: int = 0, /) -> tuple[int, Any]:
        view = memoryview(buffer).cast("B")
        data, address = self.recvfrom(nbytes or len(view), flags)
        view[: len(data)] = data
        return len(data), address

    def deliver(self, data: bytes, address: Any) -> None:
        """A datagram has landed."""
        if self._peer is not None and self._peer != address:
            return
        self._datagrams.append((data, address))
        self._end.wire.send(b"\0")

    # Bytes

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        self._refuse_blocking("recv")
        if self.type == socket.SOCK_DGRAM:
            return self.recvfrom(size, flags)[0]
        return super().recv(size, flags)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0, /) -> int:
        self._refuse_blocking("recv_into")
        if self.type == socket.SOCK_DGRAM:
            return self.recvfrom_into(buffer, nbytes, flags)[0]
        return super().recv_into(buffer, nbytes, flags)

    def send(self, data: Any, flags: int = 0, /) -> int:
        self._refuse_blocking("send")
        if self.type == socket.SOCK_DGRAM:
            return self.sendto(data)
        return super().send(data, flags)

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        self._refuse_blocking("sendall")
        super().sendall(data, flags)

    def dup(self) -> "SimulatedSocket":
        raise RealIOError("socket.dup() is not simulated")

    def makefile(self, *arguments: Any, **keywords: Any) -> Any:
        raise RealIOError("socket.makefile() reads and writes a blocking socket, which would hold up the simulation")

    def _refuse_blocking(self, name: str) -> None:
        if self.gettimeout() != 0:
            raise RealIOError(f"socket.{name}() of a blocking socket would hold up the simulation")

    def __reduce__(self) -> Any:
        raise TypeError("cannot pickle a simulated socket")


class _SocketClass(type):
    """Makes `isinstance(x, socket.socket)` mean what it always does, while the class makes simulated sockets."""

    def __instancecheck__(cls, instance: object) -> bool:
        if "_replaces_socket" in cls.__dict__:
            return isinstance(instance, real_socket)
        return super().__instancecheck__(instance)

    def __subclasscheck__(cls, subclass: type) -> bool:
        if "_replaces_socket" in cls.__dict__:
            return issubclass(subclass, real_socket)
        return super().__subclasscheck__(subclass)


def socket_class(network: "Network", is_inside: Callable[[], bool]) -> Any:
    """What takes the place of `socket.socket` while a simulation lasts."""

    class _socket(real_socket, metaclass=_SocketClass):
        _replaces_socket = True

        def __new__(cls, family: int = -1, type: int = -1, proto: int = -1, fileno: Any = None) -> Any:
            if cls is not replacement or fileno is not None or not is_inside():
                base = real_socket if cls is replacement else cls
                made = real_socket.__new__(base)
                if cls is replacement:
                    made.__init__(family, type, proto, fileno)  # type: ignore[misc]
                return made
            family = socket.AF_INET if family == -1 else family
            kind = socket.SOCK_STREAM if type == -1 else type
            return network.make_socket(family, kind, max(proto, 0))

    replacement: Any = _socket
    _socket.__name__ = _socket.__qualname__ = "socket"
    _socket.__module__ = "socket"
    return cast(Any, replacement)
