"""Hosts of the simulated network: an address, a name, ports, and the program that runs there."""

import asyncio
import contextvars
import errno
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from weakref import ref

if TYPE_CHECKING:
    from ferrio.testing._net.network import Network
    from ferrio.testing._net.sockets import SimulatedSocket

# The first of the ports that the system chooses.
EPHEMERAL = 49152

LOOPBACK = ("127.0.0.1", "::1")
ANY = ("", "0.0.0.0", "::")

#: Whether what runs is a program of another host or of a child: it belongs to the surroundings of the one under test.
of_others: contextvars.ContextVar[bool] = contextvars.ContextVar("ferrio.testing surroundings", default=False)

current: "contextvars.ContextVar[Host | None]" = contextvars.ContextVar("ferrio.testing host", default=None)


class Host:
    """A host: sockets that are made while its program runs belong to it."""

    def __init__(self, network: "Network", name: str, address: str) -> None:
        self.name = name
        #: The address that other hosts connect to.
        self.address = address
        self.is_up = True
        #: How often it has crashed: connections of an earlier life are unknown to it.
        self.lives = 1
        self._network = network
        self._next_port = EPHEMERAL
        self._listeners: dict[Any, ref[SimulatedSocket]] = {}
        self._datagrams: dict[Any, ref[SimulatedSocket]] = {}
        self._program: Callable[[], Awaitable[Any]] | None = None
        self._tasks: list[asyncio.Task[Any]] = []

    def __repr__(self) -> str:
        return f"<Host {self.name} {self.address}{'' if self.is_up else ' down'}>"

    def run(self, program: Callable[[], Awaitable[Any]]) -> "asyncio.Task[Any]":
        """Start a program on the host, a coroutine function; `restart` starts it again."""
        self._program = program
        return self._start()

    def __enter__(self) -> "Host":
        self._entered = current.set(self)
        return self

    def __exit__(self, *exc_info: object) -> None:
        current.reset(self._entered)

    def crash(self) -> None:
        """Stop the host: its tasks are cancelled, and nothing that it sends from now on leaves it.

        Its connections are forgotten without a word to the other side.
        """
        if not self.is_up:
            return
        self.is_up = False
        self._network.note(f"{self.name} crashes")
        self._listeners.clear()
        self._datagrams.clear()
        self._network.forget_host(self)
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()

    def restart(self) -> "asyncio.Task[Any] | None":
        """Start the host again, and its program. Whoever still sends to its former connections gets a reset."""
        if not self.is_up:
            self.is_up = True
            self.lives += 1
            self._network.note(f"{self.name} restarts")
            self._network.release_held()
        return self._start() if self._program is not None else None

    def _start(self) -> "asyncio.Task[Any]":
        assert self._program is not None
        context = self._network.context_of_others()
        context.run(current.set, self)
        loop = asyncio.get_running_loop()
        task = loop.create_task(_await(self._program), name=self.name, context=context)
        self._tasks.append(task)
        return task

    def bind(self, table: dict[Any, "ref[SimulatedSocket]"], sock: "SimulatedSocket", ip: str, port: int) -> int:
        """Reserve a port; gives its number."""
        if ip not in ANY and ip not in LOOPBACK and ip != self.address:
            raise OSError(errno.EADDRNOTAVAIL, f"{ip} is no address of the simulated host {self.name}")
        if port == 0:
            port = self.free_port()
        known = table.get((ip, port))
        other = known() if known is not None else None
        if other is not None and other.fileno() >= 0:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        table[ip, port] = ref(sock)
        return port

    def free_port(self) -> int:
        """A port that nothing uses."""
        self._next_port += 1
        return self._next_port - 1

    def find(self, table: dict[Any, "ref[SimulatedSocket]"], ip: str, port: int) -> "SimulatedSocket | None":
        """The socket that is bound to an address, or to all of the host's."""
        for key in ((ip, port), *((known, port) for known in ANY)):
            found = table.get(key)
            sock = found() if found is not None else None
            if sock is not None and sock.fileno() >= 0:
                return sock
        return None


async def _await(program: Callable[[], Awaitable[Any]]) -> Any:
    return await program()
