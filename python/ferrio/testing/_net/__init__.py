"""The simulated network: hosts, their sockets, and what moves between them.

Each simulated socket has a real descriptor, one end of a pair of connected sockets; the network holds the other end,
the wire. So the loop, its transports, TLS and parts of libraries in C work on descriptors as ever, and what the network
decides is only when bytes get from one wire to another, how many at once, and what becomes of the rest.
"""

from ferrio.testing._net.hosts import Host
from ferrio.testing._net.network import Network

__all__ = ["Host", "Network"]
