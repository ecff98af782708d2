"""Names and addresses of simulated hosts: `getaddrinfo` and its like for what runs in a simulation."""

import ipaddress
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

    from ferrio.testing._net.network import Network

_SERVICES = {"http": 80, "https": 443, "domain": 53, "ssh": 22, "smtp": 25}


def look_up(
    network: "Network", host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
) -> list[tuple[Any, ...]]:
    """`socket.getaddrinfo` among the hosts of the network."""
    number = _port(port)
    if isinstance(host, bytes | bytearray):
        host = bytes(host).decode("idna")
    if host is None or host == "":
        address = "0.0.0.0" if flags & socket.AI_PASSIVE else "127.0.0.1"
        if family == socket.AF_INET6:
            address = "::" if flags & socket.AI_PASSIVE else "::1"
    else:
        address = address_of(network, str(host), family)
    version = ipaddress.ip_address(address.split("%", 1)[0]).version
    found = socket.AF_INET if version == 4 else socket.AF_INET6
    if family not in (0, found):
        raise socket.gaierror(socket.EAI_NONAME, f"no such address of the simulated host {host!r}")
    sockaddr: tuple[Any, ...] = (address, number) if version == 4 else (address, number, 0, 0)
    kinds = [(socket.SOCK_STREAM, socket.IPPROTO_TCP), (socket.SOCK_DGRAM, socket.IPPROTO_UDP)]
    return [
        (found, kind, protocol, "", sockaddr)
        for kind, protocol in kinds
        if type in (0, kind) and proto in (0, protocol)
    ]


def address_of(network: "Network", host: str, family: int = 0) -> str:
    """The address of a name; the name itself if it is one."""
    try:
        ipaddress.ip_address(host.split("%", 1)[0])
    except ValueError:
        pass
    else:
        return host
    if host == "localhost":
        return "::1" if family == socket.AF_INET6 else "127.0.0.1"
    known = network.hosts.get(host)
    if known is None:
        raise socket.gaierror(socket.EAI_NONAME, f"the simulated network has no host named {host!r}")
    return known.address


def name_info(network: "Network", address: tuple[Any, ...], flags: int = 0) -> tuple[str, str]:
    """`socket.getnameinfo`."""
    ip, port = address[:2]
    names = [host.name for host in network.hosts.values() if host.address == ip]
    name = names[0] if names and not flags & socket.NI_NUMERICHOST else str(ip)
    return name, str(port)


def _port(port: Any) -> int:
    if port is None or port == "":
        return 0
    if isinstance(port, bytes):
        port = port.decode()
    if isinstance(port, str) and not port.isdigit():
        if port not in _SERVICES:
            raise socket.gaierror(socket.EAI_SERVICE, f"no such service: {port!r}")
        return _SERVICES[port]
    return int(port)


class Lookup:
    """A lookup that is under way: it takes as long as the network does."""

    def __init__(
        self, network: "Network", future: "asyncio.Future[Any]", question: str, ask: Callable[[], Any]
    ) -> None:
        self.network = network
        self.future = future
        self.label = f"the answer to {question}"
        self.ask = ask

    def land(self) -> None:
        if self.future.done():
            return
        try:
            self.future.set_result(self.ask())
        except Exception as error:
            self.future.set_exception(error)


def in_loop(network: "Network", loop: Any) -> dict[str, Callable[..., Any]]:
    """The loop's `getaddrinfo` and `getnameinfo`; they call the socket module's, which programs replace."""

    async def getaddrinfo(
        host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> Any:
        future = loop.create_future()
        question = f"getaddrinfo({host!r}, {port!r})"

        def ask() -> Any:
            return socket.getaddrinfo(host, port, family, type, proto, flags)

        network.send_lookup(Lookup(network, future, question, ask))
        return await future

    async def getnameinfo(sockaddr: Any, flags: int = 0) -> Any:
        future = loop.create_future()
        lookup = Lookup(network, future, f"getnameinfo({sockaddr!r})", lambda: socket.getnameinfo(sockaddr, flags))
        network.send_lookup(lookup)
        return await future

    return {"getaddrinfo": getaddrinfo, "getnameinfo": getnameinfo}
