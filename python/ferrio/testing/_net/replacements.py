"""What a simulation puts in the place of functions of the socket module and methods of the loop that need a network."""

import functools
import socket
from collections.abc import Callable
from typing import Any

from ferrio.testing._errors import RealIOError
from ferrio.testing._net import names
from ferrio.testing._net.network import Network
from ferrio.testing._net.sockets import SimulatedSocket, socket_class

# Methods of the loop that take a socket: the name, and whether it is the first argument or the keyword `sock`.
_WITH_SOCKET = {
    "connect_accepted_socket": True,
    "create_connection": False,
    "create_datagram_endpoint": False,
    "create_server": False,
    "create_unix_connection": False,
    "create_unix_server": False,
    "sock_accept": True,
    "sock_connect": True,
    "sock_recv": True,
    "sock_recv_into": True,
    "sock_recvfrom": True,
    "sock_recvfrom_into": True,
    "sock_sendall": True,
    "sock_sendfile": True,
    "sock_sendto": True,
}


def guard_loop(loop: Any, network: Network, open_inbox: Callable[[], None]) -> None:
    """Makes the loop's methods refuse sockets and descriptors that are none of the network's, and look up its names.

    `open_inbox` is called when ferrio-bridge has the loop watch its inbox.
    """
    for name, method in names.in_loop(network, loop).items():
        setattr(loop, name, method)
    for name, is_first in _WITH_SOCKET.items():
        position = (1 if name == "connect_accepted_socket" else 0) if is_first else None
        setattr(loop, name, _guarded(name, getattr(loop, name), position))
    for name in ("connect_read_pipe", "connect_write_pipe"):
        setattr(loop, name, _guarded_pipe(name, getattr(loop, name)))
    for name in ("add_reader", "add_writer"):
        setattr(loop, name, _guarded_descriptor(name, getattr(loop, name), network.owns, open_inbox))


def _guarded(name: str, method: Callable[..., Any], position: int | None) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(*arguments: Any, **keywords: Any) -> Any:
        sock = keywords.get("sock")
        if sock is None and position is not None and len(arguments) > position:
            sock = arguments[position]
        if isinstance(sock, socket.socket) and not isinstance_of_network(sock):
            raise RealIOError(f"loop.{name}() was given a socket that was not made in the simulation")
        return method(*arguments, **keywords)

    return call


def _guarded_pipe(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(protocol_factory: Any, pipe: Any) -> Any:
        if not isinstance_of_network(pipe):
            raise RealIOError(f"loop.{name}() was given a pipe that was not made in the simulation")
        return method(protocol_factory, pipe)

    return call


def isinstance_of_network(sock: Any) -> bool:
    """Whether the network holds the other end of a socket."""
    return issubclass(type(sock), SimulatedSocket)


def _guarded_descriptor(
    name: str, method: Callable[..., Any], owns: Callable[[int], bool], open_inbox: Callable[[], None]
) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(fd: Any, *arguments: Any) -> Any:
        number = fd if isinstance(fd, int) else fd.fileno()
        if arguments and hasattr(type(arguments[0]), "__ferrio_bridge_inbox__"):
            open_inbox()
        elif not owns(number):
            raise RealIOError(f"loop.{name}() was given a descriptor that is no socket of the simulation")
        return method(fd, *arguments)

    return call


def of_socket_module(network: Network, is_inside: Callable[[], bool]) -> list[tuple[Any, str, Any]]:
    """Replacements of functions of the socket module."""

    def among(real: Callable[..., Any], simulated: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(real)
        def call(*arguments: Any, **keywords: Any) -> Any:
            return (simulated if is_inside() else real)(*arguments, **keywords)

        return call

    def look_up(*arguments: Any, **keywords: Any) -> Any:
        return names.look_up(network, *arguments, **keywords)

    def name_info(address: Any, flags: int) -> Any:
        return names.name_info(network, address, flags)

    def by_name(host: str) -> str:
        return names.address_of(network, host)

    def own_name() -> str:
        return network.current_host().name

    def pair(family: int | None = None, type: int = socket.SOCK_STREAM, proto: int = 0) -> Any:
        return network.socket_pair(socket.AF_UNIX if family is None else family, type, proto)

    replaced: dict[str, Callable[..., Any]] = {
        "getaddrinfo": look_up,
        "getnameinfo": name_info,
        "gethostbyname": by_name,
        "gethostname": own_name,
        "socketpair": pair,
    }
    everything: list[tuple[Any, str, Any]] = [
        (socket, name, among(getattr(socket, name), function)) for name, function in replaced.items()
    ]
    return [*everything, (socket, "socket", socket_class(network, is_inside))]
