"""What the loops watch, collected for a snapshot: connections, servers and child processes, each once.

Objects are collected first, records are made of them one by one later. Lists are bounded; what is left off is counted.
"""

from collections.abc import Iterator
from typing import Any

from ferrio.inspect import _children, _connections
from ferrio.inspect._descriptors import kind_of_transport, watched_by
from ferrio.inspect._model_io import Child, Connection, LeftOff, Server
from ferrio.inspect._objects import identifier

# How many entries a list of a snapshot has at most.
MOST_LISTED = 10_000

# After so many objects other threads may run.
_SLICE = 200


class Watched:
    """What loops watch."""

    def __init__(self) -> None:
        # By identifier.
        self._transports: dict[str, Any] = {}
        self._servers: dict[str, Any] = {}
        self._children: dict[str, Any] = {}

    def slices(self, loops: list[Any]) -> Iterator[None]:
        """Collects; each step takes a bounded time, except that a loop's descriptors are listed at once."""
        for owner in loops:
            found = watched_by(owner)
            yield
            while found:
                for each in found[-_SLICE:]:
                    self._see(each)
                del found[-_SLICE:]
                yield

    def count_connections(self) -> int:
        """How many connections there are."""
        return len(self._transports)

    def left_off(self, jobs: int, timers: int) -> LeftOff:
        """By how many entries each list is too long; of jobs and timers there are so many too many."""
        return LeftOff(
            connections=max(len(self._transports) - MOST_LISTED, 0),
            servers=max(len(self._servers) - MOST_LISTED, 0),
            children=max(len(self._children) - MOST_LISTED, 0),
            jobs=jobs,
            timers=timers,
        )

    def described_connections(self) -> Iterator[Connection]:
        """The connections that are still there."""
        for transport in list(self._transports.values())[:MOST_LISTED]:
            if (record := _connections.described(transport)) is not None:
                yield record

    def described_servers(self) -> list[Server]:
        """The servers."""
        return [_connections.described_server(each) for each in list(self._servers.values())[:MOST_LISTED]]

    def described_children(self) -> list[Child]:
        """The child processes."""
        return [_children.described(each) for each in list(self._children.values())[:MOST_LISTED]]

    def _see(self, thing: Any) -> None:
        kind = kind_of_transport(thing)
        if kind == "server":
            self._servers[identifier(thing)] = thing
        elif kind == "child":
            self._children[identifier(thing)] = thing
        elif kind is not None:
            self._transports[identifier(thing)] = thing
            if len(self._transports) <= MOST_LISTED and (server := _connections.server_of(thing)) is not None:
                self._servers[identifier(server)] = server
