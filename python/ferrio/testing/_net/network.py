"""The network of one simulation: its hosts and links, and what is under way between them."""

import contextvars
import errno
import itertools
import selectors
import socket
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import ref

from ferrio._ferrio import Simulation
from ferrio.testing._net import hosts, names
from ferrio.testing._net.hosts import Host
from ferrio.testing._net.sockets import SimulatedSocket
from ferrio.testing._net.wires import Connecting, End, Stream

# Before anything replaces them: the network makes its own pairs outside of what it simulates.
_socketpair = socket.socketpair

# How long a system tries to reach a host that does not answer.
CONNECT_TIMEOUT = 127.0


@dataclass
class Link:
    """What holds between two hosts, in both directions."""

    #: Seconds that everything takes at least.
    latency: float = 0.0
    #: Seconds that it may take longer, where an exploration chooses.
    delay: float = 0.05
    #: How many bytes of one direction of a connection may be under way, before a writer finds its buffer full.
    buffer: int = 65536
    #: Whether datagrams may get lost.
    lossy: bool = False
    is_up: bool = True


class Network:
    """The simulated network; `sim.net` of a running simulation."""

    #: The size of the system's buffer behind a socket, in bytes as the system counts them.
    SYSTEM_BUFFER = 65536

    def __init__(self, simulation: Simulation, loop: Any, note: Callable[[str], None]) -> None:
        self._simulation = simulation
        self._loop = loop
        self.note = note
        self.hosts: dict[str, Host] = {}
        self._is_used = False
        self._begin()

    def _begin(self) -> None:
        self.hosts.clear()
        self.selector: Any = None
        self._links: dict[frozenset[str], Link] = {}
        self._numbers = itertools.count(1 << 20)
        self._sockets: list[ref[SimulatedSocket]] = []
        self._ends: dict[End, None] = {}
        self._held: list[Callable[[], None]] = []
        self._paths: dict[Any, ref[SimulatedSocket]] = {}
        #: Programs of other hosts, or of children, have run.
        self.has_others = False
        self._local = Host(self, "local", "10.0.0.1")
        self.hosts["local"] = self._local

    def end(self) -> None:
        """The run is over: close what it has left open."""
        self.has_others = False
        if not self._is_used:
            return
        self._is_used = False
        if left := self.open_sockets():
            # That the program has left them is told otherwise.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                for sock in left:
                    Simulation.forget(self._loop, sock.fileno())
                    sock._io_refs = 0  # type: ignore[attr-defined]
                    sock.close()
        for end in list(self._ends):
            end.wire.close()
        if self.selector is not None:
            self.selector.close()
        self._begin()

    # What programs use

    def host(self, name: str) -> Host:
        """The host of this name; made at the first call."""
        known = self.hosts.get(name)
        if known is None:
            self._is_used = True
            known = self.hosts[name] = Host(self, name, f"10.0.0.{len(self.hosts) + 1}")
        return known

    def link(self, one: Host | str, other: Host | str, **settings: Any) -> Link:
        """The link between two hosts; keywords change it: `latency`, `delay` (seconds), `buffer` (bytes), `lossy`."""
        hosts_ = [self.host(host) if isinstance(host, str) else host for host in (one, other)]
        key = frozenset(host.name for host in hosts_)
        link = self._links.get(key)
        if link is None:
            link = self._links[key] = Link()
        for name, value in settings.items():
            if name not in ("latency", "delay", "buffer", "lossy"):
                raise TypeError(f"a link has latency, delay, buffer and lossy, not {name!r}")
            setattr(link, name, value)
        return link

    def partition(self, one: Host | str, other: Host | str) -> None:
        """Cut a link: what is sent waits until it is healed, as TCP sends again what was not acknowledged."""
        self.link(one, other).is_up = False
        self.note(f"the link between {_name(one)} and {_name(other)} is cut")

    def heal(self, one: Host | str, other: Host | str) -> None:
        """Put a link back."""
        self.link(one, other).is_up = True
        self.note(f"the link between {_name(one)} and {_name(other)} is whole again")
        self.release_held()

    def reset(self, one: Host | str, other: Host | str) -> None:
        """Reset the connections between two hosts, as a middlebox does that has lost its state."""
        wanted = {_name(one), _name(other)}
        for end in list(self._ends):
            peer = end.incoming.source if end.incoming is not None else None
            if peer is not None and {end.host.name, peer.host.name} == wanted and end.outgoing is not None:
                end.outgoing.refuse()

    def open_sockets(self) -> list[SimulatedSocket]:
        """The sockets that nobody has closed, in the order in which they were made."""
        socks = [known() for known in self._sockets]
        return [sock for sock in socks if sock is not None and sock.fileno() >= 0]

    def owns(self, descriptor: int) -> bool:
        """Whether a descriptor is that of a simulated socket."""
        socks = (known() for known in self._sockets)
        return any(sock is not None and sock.fileno() == descriptor for sock in socks)

    # What sockets use

    def current_host(self) -> Host:
        return hosts.current.get() or self._local

    def make_pair(self, kind: int) -> tuple[socket.socket, socket.socket]:
        ours, wire = _socketpair(socket.AF_UNIX, kind)
        for end in (ours, wire):
            end.setblocking(False)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.SYSTEM_BUFFER)
        return ours, wire

    def make_socket(self, family: int, kind: int, proto: int, host: Host | None = None) -> SimulatedSocket:
        return SimulatedSocket(self, host or self.current_host(), family, kind, proto)

    def socket_pair(self, family: int, kind: int, proto: int) -> tuple[SimulatedSocket, SimulatedSocket]:
        """Two connected sockets of one host."""
        one, other = (self.make_socket(family, kind, proto) for _ in range(2))
        self._connect(one._end, other._end, self.next_number())
        for sock in (one, other):
            sock._peer = ""
            sock.established(0)
        return one, other

    def pipe(self, name: str) -> tuple[SimulatedSocket, SimulatedSocket]:
        """A pipe from or to a child of this name: the program's end, and the child's."""
        ours = self.make_socket(socket.AF_UNIX, socket.SOCK_STREAM, 0)
        theirs = self.make_socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, Host(self, name, ""))
        theirs.is_of_others = True
        self._connect(ours._end, theirs._end, self.next_number())
        for sock in (ours, theirs):
            sock._peer = ""
            sock.purpose = f"a pipe of {name}"
            sock.established(0)
        return ours, theirs

    def context_of_others(self) -> contextvars.Context:
        """A context for a program of another host or of a child."""
        self.has_others = True
        context = contextvars.copy_context()
        context.run(hosts.of_others.set, True)
        return context

    def attach(self, sock: SimulatedSocket, wire: socket.socket) -> End:
        """Take charge of a socket's wire."""
        if self.selector is None:
            self.selector = selectors.DefaultSelector()
        self._is_used = True
        self._simulation.networked = True
        self._sockets.append(ref(sock))
        end = End(self, sock._host, sock, wire)
        end.number = self.next_number()
        self._ends[end] = None
        if sock.type == socket.SOCK_DGRAM:
            end.watch(selectors.EVENT_READ, True)
        return end

    def bind(self, sock: SimulatedSocket, address: Any) -> Any:
        """Reserve an address; gives it in full."""
        host = sock._host
        if sock.family == socket.AF_UNIX:
            known = self._paths.get((host.name, address))
            other = known() if known is not None else None
            if other is not None and other.fileno() >= 0:
                raise OSError(errno.EADDRINUSE, "Address already in use")
            self._paths[host.name, address] = ref(sock)
            return address
        ip = names.address_of(self, address[0], sock.family) if address[0] else "0.0.0.0"
        table = host._datagrams if sock.type == socket.SOCK_DGRAM else host._listeners
        port = host.bind(table, sock, ip, address[1])
        return _sockaddr(sock, ip, port)

    def bind_any(self, sock: SimulatedSocket, peer: Any) -> Any:
        """The address that a socket gets by itself."""
        ip = peer[0] if peer[0] in hosts.LOOPBACK else sock._host.address
        return self.bind(sock, _sockaddr(sock, ip, 0))

    def resolved(self, sock: SimulatedSocket, address: Any) -> Any:
        """An address whose host is a number."""
        if sock.family == socket.AF_UNIX:
            return address
        return _sockaddr(sock, names.address_of(self, address[0], sock.family), address[1])

    def connect(self, sock: SimulatedSocket, peer: Any) -> int:
        """Begin to make a connection; gives the error number."""
        host = sock._host
        local: Any = ""
        if sock.family == socket.AF_UNIX:
            target = host
        else:
            found = self._host_of(host, peer[0])
            if found is None:
                return errno.ENETUNREACH
            target = found
            ip = peer[0] if peer[0] in (*hosts.LOOPBACK, "0.0.0.0") else host.address
            local = sock._local or _sockaddr(sock, ip, host.free_port())
        sock._peer, sock._local = peer, local
        connecting = Connecting(self, sock._end, target, peer)
        if not self.is_up(host, target):
            self._loop.call_later(CONNECT_TIMEOUT, self._give_up, connecting)
        connecting.schedule()
        return errno.EINPROGRESS

    def accept(self, connecting: Connecting) -> None:
        """A request for a connection has come to its host."""
        listener = self._listener(connecting)
        if listener is None:
            connecting.error = errno.ECONNREFUSED if isinstance(connecting.address, tuple) else errno.ENOENT
            return
        client = connecting.client.sock()
        sock = self.make_socket(listener.family, listener.type, listener.proto, connecting.host)
        sock._peer = client._local if client is not None else None
        sock._local = connecting.address
        sock.is_of_others = listener.is_of_others
        sock._state = "connected"
        if not listener.push(sock, sock._peer):
            sock.close()
            connecting.error = errno.ECONNREFUSED
            return
        connecting.server = sock._end
        self._connect(connecting.client, sock._end, connecting.number)
        assert sock._end.outgoing is not None
        sock._end.outgoing.is_open = False
        sock._end.watch(selectors.EVENT_READ, True)

    def establish(self, connecting: Connecting) -> None:
        """The answer to a request has come back."""
        client, server = connecting.client, connecting.server
        sock = client.sock()
        if sock is None or sock._state != "connecting":
            return
        sock.established(connecting.error)
        if server is not None and server.outgoing is not None:
            client.watch(selectors.EVENT_READ, True)
            server.outgoing.is_open = True
            server.outgoing.schedule()

    def send_datagram(self, sock: SimulatedSocket, data: bytes, address: Any) -> int:
        """Send a datagram; gives its length."""
        if sock._local is None:
            sock._local = self.bind_any(sock, address)
        target = self._host_of(sock._host, address[0])
        if target is None:
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        link = self.link(sock._host, target)
        if not link.is_up or not (sock._host.is_up and target.is_up):
            return len(data)
        if link.lossy and self.choose(1, 2):
            self.note(f"a datagram of {sock._host.name} to {target.name} gets lost")
            return len(data)
        sender = sock._local
        if sender[0] in hosts.ANY:
            own = address[0] if address[0] in hosts.LOOPBACK else sock._host.address
            sender = _sockaddr(sock, own, sender[1])
        datagram = _Datagram(self, target, data, sender, address)
        self.send(datagram, self.next_number() * 4, self.arrival_time(sock._host, target), link)
        return len(data)

    def send_lookup(self, lookup: names.Lookup) -> None:
        """A name is to be looked up."""
        host = self.current_host()
        self._is_used = True
        self.send(lookup, self.next_number() * 4, self.now(), self.link(host, host))

    # What connections use

    def look(self) -> None:
        """Take what programs have written since the last look."""
        if self.selector is None:
            return
        events = [(key.data, event) for key, event in self.selector.select(0)]
        events.sort(key=lambda item: item[0].number)
        for end, event in events:
            sock = end.sock()
            if sock is not None and sock.type == socket.SOCK_DGRAM:
                self._look_at_datagrams(sock, end)
            else:
                end.look(event)

    def now(self) -> float:
        return self._simulation.now

    def choose(self, cost: int, alternatives: int) -> int:
        return self._simulation.choose(cost, alternatives)

    def send(self, what: Any, chain: int, earliest: float, link: Link) -> None:
        self._simulation.send(what, chain, earliest, link.delay)

    def arrival_time(self, source: Host, target: Host) -> float:
        return self._simulation.now + self.link(source, target).latency

    def next_number(self) -> int:
        return next(self._numbers)

    def is_up(self, source: Host, target: Host) -> bool:
        """Whether something gets from one host to the other."""
        return source.is_up and target.is_up and self.link(source, target).is_up

    def hold(self, schedule: Callable[[], None]) -> None:
        """Keep what cannot get through."""
        self._held.append(schedule)

    def release_held(self) -> None:
        """Try again what could not get through."""
        held, self._held = self._held, []
        for schedule in held:
            schedule()

    def forget(self, *ends: End) -> None:
        """A connection has ended."""
        for end in ends:
            end.close()
            self._ends.pop(end, None)

    def forget_host(self, host: Host) -> None:
        """A host has crashed: its sockets are gone for its own program, the other side does not know yet."""
        for end in list(self._ends):
            if end.host is host:
                end.reset()
                self._ends.pop(end, None)

    def _connect(self, client: End, server: End, number: int) -> None:
        there = Stream(self, client, server, number * 4)
        back = Stream(self, server, client, number * 4 + 1)
        client.outgoing = server.incoming = there
        client.incoming = server.outgoing = back
        for end in (client, server):
            sock = end.sock()
            if sock is not None and sock._state != "connecting":
                end.watch(selectors.EVENT_READ, True)

    def _give_up(self, connecting: Connecting) -> None:
        sock = connecting.client.sock()
        if sock is not None and sock._state == "connecting" and not connecting.is_answered:
            connecting.error = errno.ETIMEDOUT
            connecting.is_answered = True
            self.establish(connecting)

    def _listener(self, connecting: Connecting) -> SimulatedSocket | None:
        address = connecting.address
        if isinstance(address, tuple):
            return connecting.host.find(connecting.host._listeners, address[0], address[1])
        known = self._paths.get((connecting.host.name, address))
        sock = known() if known is not None else None
        return sock if sock is not None and sock.fileno() >= 0 else None

    def _host_of(self, asking: Host, ip: str) -> Host | None:
        if ip in hosts.LOOPBACK or ip in hosts.ANY:
            return asking
        return next((host for host in self.hosts.values() if host.address == ip), None)

    def _look_at_datagrams(self, sock: SimulatedSocket, end: End) -> None:
        """Transports send to a connected peer through the descriptor."""
        while True:
            try:
                data = end.wire.recv(1 << 16)
            except BlockingIOError:
                return
            if not data and sock.fileno() < 0:
                self.forget(end)
                return
            self.send_datagram(sock, data, sock._peer)


@dataclass
class _Datagram:
    """A datagram that is under way."""

    network: Network
    host: Host
    data: bytes
    sender: Any
    address: Any

    @property
    def label(self) -> str:
        return f"a datagram of {self.sender[0]}:{self.sender[1]} to {self.host.name}"

    def land(self) -> None:
        host = self.host
        sock = host.find(host._datagrams, self.address[0], self.address[1]) if host.is_up else None
        if sock is not None:
            sock.deliver(self.data, self.sender)


def _name(host: Host | str) -> str:
    return host if isinstance(host, str) else host.name


def _sockaddr(sock: SimulatedSocket, ip: str, port: int) -> tuple[Any, ...]:
    return (ip, port) if sock.family == socket.AF_INET else (ip, port, 0, 0)
