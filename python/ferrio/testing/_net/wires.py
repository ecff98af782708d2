"""Connections of the simulated network: two ends with a wire each, and a stream of bytes in each direction.

What a program writes waits in its wire until the network looks, then in the stream of its direction, at most `buffer`
bytes of it, so that a writer which is faster than its reader finds its buffer full. It lands when the simulation
chooses, in pieces of chosen sizes. Invariant: the bytes of a stream land in order, each once, and its ending after all
of them.
"""

import contextlib
import os
import selectors
import socket
from collections import deque
from typing import TYPE_CHECKING, Literal
from weakref import ref

if TYPE_CHECKING:
    from ferrio.testing._net.hosts import Host
    from ferrio.testing._net.network import Network
    from ferrio.testing._net.sockets import SimulatedSocket

# The most bytes that one look takes from a wire, and the size of the system's buffer on each side of it.
CHUNK = 65536

# What a choice costs that splits what could land as a whole.
_SPLIT = 2


class End:
    """One end of a connection: the program's socket and the wire behind it."""

    def __init__(self, network: "Network", host: "Host", sock: "SimulatedSocket", wire: socket.socket) -> None:
        self.network = network
        self.host = host
        self.life = host.lives
        self.sock = ref(sock)
        self.wire = wire
        self.number = 0
        #: What this end sends, and what it receives. Set once there is a connection.
        self.outgoing: Stream | None = None
        self.incoming: Stream | None = None
        self._watched = 0

    def watch(self, event: int, wanted: bool) -> None:
        """Tell the network about the wire's readiness, or no longer."""
        watched = self._watched | event if wanted else self._watched & ~event
        if watched == self._watched or self.wire.fileno() < 0:
            return
        selector = self.network.selector
        if not self._watched:
            selector.register(self.wire, watched, self)
        elif watched:
            selector.modify(self.wire, watched, self)
        else:
            selector.unregister(self.wire)
        self._watched = watched

    def look(self, event: int) -> None:
        """Take what the program has written, and go on where its buffer was full."""
        if event & selectors.EVENT_READ:
            self.read()
        if event & selectors.EVENT_WRITE and self.incoming is not None:
            self.watch(selectors.EVENT_WRITE, False)
            self.incoming.is_blocked = False
            self.incoming.schedule()

    def read(self) -> None:
        stream = self.outgoing
        if stream is None:
            return
        while (room := stream.room()) > 0:
            try:
                data = self.wire.recv(min(CHUNK, room))
            except BlockingIOError:
                return
            except OSError:
                self.watch(selectors.EVENT_READ, False)
                stream.end("reset")
                return
            if not data:
                self.watch(selectors.EVENT_READ, False)
                stream.end("end")
                return
            stream.add(data)
        self.watch(selectors.EVENT_READ, False)

    def is_known(self) -> bool:
        """Whether its host still knows the connection."""
        return self.wire.fileno() >= 0 and self.life == self.host.lives

    def reset(self) -> None:
        """Make the program's socket report that the connection was reset.

        The system reports that when the other end of a pair is closed and has not read everything.
        """
        sock = self.sock()
        if sock is not None and sock.fileno() >= 0:
            with contextlib.suppress(OSError):
                os.write(sock.fileno(), b"\0")
        self.close()

    def close(self) -> None:
        self.watch(selectors.EVENT_READ | selectors.EVENT_WRITE, False)
        self.wire.close()


class Stream:
    """One direction of a connection. It is among the simulation's arrivals while it has something to land."""

    def __init__(self, network: "Network", source: End, target: End, chain: int) -> None:
        self.network = network
        self.source = source
        self.target = target
        self.chain = chain
        self.chunks: deque[tuple[float, bytes]] = deque()
        self.size = 0
        self.ending: Literal["", "end", "reset"] = ""
        self.has_ended = False
        #: Nothing lands before the other side knows that it is connected.
        self.is_open = True
        #: The system's buffer of the target is full.
        self.is_blocked = False
        self.is_scheduled = False
        self._earliest_ending = 0.0

    @property
    def label(self) -> str:
        return f"what {self.source.host.name} sends to {self.target.host.name}"

    def room(self) -> int:
        """How many more bytes may be under way."""
        if self.has_ended:
            return CHUNK
        return self.network.link(self.source.host, self.target.host).buffer - self.size

    def add(self, data: bytes) -> None:
        if self.has_ended or self.ending:
            return  # To an end that is gone.
        self.chunks.append((self.network.arrival_time(self.source.host, self.target.host), data))
        self.size += len(data)
        self.schedule()

    def end(self, ending: Literal["end", "reset"]) -> None:
        """After what is under way, the source has nothing to say any more."""
        if self.has_ended or self.ending == "reset":
            return
        self.ending = ending
        self._earliest_ending = self.network.arrival_time(self.source.host, self.target.host)
        self.schedule()

    def refuse(self) -> None:
        """The connection is unknown where this comes from: drop what is under way and reset the target."""
        self.chunks.clear()
        self.size = 0
        self.ending = ""
        self.has_ended = False
        self.is_blocked = False
        self.end("reset")

    def schedule(self) -> None:
        if self.is_scheduled or self.is_blocked or not self.is_open or self.has_ended:
            return
        if self.chunks:
            earliest = self.chunks[0][0]
        elif self.ending:
            earliest = self._earliest_ending
        else:
            return
        self.is_scheduled = True
        self.network.send(self, self.chain, earliest, self.network.link(self.source.host, self.target.host))

    def land(self) -> None:
        self.is_scheduled = False
        network, target = self.network, self.target
        if not network.is_up(self.source.host, target.host):
            network.hold(self.schedule)
        elif self.chunks:
            self._land_bytes()
        elif self.ending and not self.has_ended:
            self.has_ended = True
            if not target.is_known():
                return
            if self.ending == "reset":
                target.reset()
                answer = self.source.incoming
                # A link that resets its connections tells both ends, one after the other.
                is_reset_too = answer is not None and answer.ending == "reset" and not answer.has_ended
                network.forget(target, *(() if is_reset_too else (self.source,)))
            else:
                with contextlib.suppress(OSError):
                    target.wire.shutdown(socket.SHUT_WR)
                if target.outgoing is not None and target.outgoing.has_ended:
                    network.forget(target, self.source)

    def _land_bytes(self) -> None:
        target = self.target
        if not target.is_known():
            self._answer_with_reset()
            return
        now = self.network.now()
        ready = [data for earliest, data in self.chunks if earliest <= now]
        whole = b"".join(ready)
        size = self._choose_size(len(whole), len(ready[0]))
        try:
            sent = target.wire.send(whole[:size])
        except BlockingIOError:
            sent = 0
        except OSError:
            self._answer_with_reset()
            return
        self._drop(sent)
        if sent < size:
            self.is_blocked = True
            target.watch(selectors.EVENT_WRITE, True)
        if not self.ending and self.source.wire.fileno() >= 0:
            self.source.watch(selectors.EVENT_READ, True)
        self.schedule()

    def _choose_size(self, whole: int, first: int) -> int:
        """All that could land, or only what was sent first, one byte, half of it, or all but the last byte."""
        sizes = [whole]
        for size in (first, 1, whole // 2, whole - 1):
            if 0 < size < whole and size not in sizes:
                sizes.append(size)
        chosen = self.network.choose(_SPLIT, len(sizes))
        if chosen:
            self.network.note(f"{sizes[chosen]} of {whole} bytes of {self.label} land")
        return sizes[chosen]

    def _drop(self, count: int) -> None:
        self.size -= count
        while count:
            earliest, data = self.chunks.popleft()
            if len(data) > count:
                self.chunks.appendleft((earliest, data[count:]))
                return
            count -= len(data)

    def _answer_with_reset(self) -> None:
        """The target has closed its socket, or its host has forgotten the connection."""
        self.chunks.clear()
        self.size = 0
        self.has_ended = True
        answer = self.source.incoming
        if answer is not None and self.source.wire.fileno() >= 0:
            answer.refuse()


class Connecting:
    """A connection that is being made: the request on its way to the listening socket, then the answer."""

    def __init__(self, network: "Network", client: End, host: "Host", address: tuple[str, int] | str) -> None:
        self.network = network
        self.client = client
        self.host = host
        self.address = address
        self.number = network.next_number()
        self.server: End | None = None
        self.error = 0
        self.is_answered = False

    @property
    def label(self) -> str:
        what = "answer" if self.is_answered else "request"
        return f"the {what} to the connection of {self.client.host.name} to {self.host.name}"

    def schedule(self) -> None:
        link = self.network.link(self.client.host, self.host)
        self.network.send(self, self.number * 4 + 2, self.network.now() + link.latency, link)

    def land(self) -> None:
        if not self.network.is_up(self.client.host, self.host):
            self.network.hold(self.schedule)
        elif self.is_answered:
            self.network.establish(self)
        else:
            self.is_answered = True
            self.network.accept(self)
            self.schedule()
