"""Whether something real is pending in a run with `io="real"`: then the clock must not jump.

Pending are jobs of executors, threads that the program has started, threads at work that are not Python's, children,
and descriptors that the loop watches if whoever is to write to them is not this program: a socket whose peer is outside
of the process, a pipe whose other end is, anything else that the system may make readable. A listening socket alone is
not pending, or no server could ever be tested in virtual time. What is not certain counts as pending: then a sleep
takes as long as it says.
"""

import concurrent.futures.thread
import contextlib
import fcntl
import os
import select
import socket
import stat
import sys
import termios
import threading
from typing import Any

from ferrio._ferrio import Simulation
from ferrio.inspect import _lint_watch, _watching
from ferrio.testing._descriptors import accepts, borrowed, peer_process
from ferrio.testing._foreign import ForeignThreads
from ferrio.testing._surroundings import real_monotonic, real_sleep

# How long, in seconds, data between two sockets of the process may be under way without a change. The system's
# acknowledgements, by which that is known, are late by 40 ms.
_SETTLING = 0.1

_INTERNET = (socket.AF_INET, socket.AF_INET6)

# They call what the program has given to inspection, and nothing that it waits for.
_OF_INSPECTION = (_watching.THREAD, _lint_watch.THREAD)


class RealIO:
    """What is pending outside of one simulated program."""

    def __init__(self, loop: Any, simulation: Simulation, threads: ForeignThreads) -> None:
        self._loop = loop
        self._simulation = simulation
        self._threads = threads.started
        self._natives = threads.natives
        self._children_before = _children()

    def is_pending(self) -> bool:
        """Whether something real may still happen that the program waits for."""
        workers = _workers()
        if self._simulation.has_jobs():
            return True
        if any(thread.is_alive() and thread not in workers for thread in self._threads):
            return True
        if _children() - self._children_before or self._natives.are_at_work():
            return True
        watched = Simulation.descriptors(self._loop)
        if not watched:
            return False
        inside = _Inside(watched, self._are_others_alive())
        if any(not inside.writes_to(descriptor) for descriptor in watched):
            return True
        self._settle(watched)
        return False

    def may_be_called(self) -> bool:
        """Whether somebody may still call a program that waits for nothing in particular."""
        if Simulation.has_signal_handlers(self._loop) or self._are_others_alive():
            return True
        if self._natives.are_at_work(or_serve=True):
            return True
        return any(_is_listening(descriptor) for descriptor in Simulation.descriptors(self._loop))

    def _are_others_alive(self) -> bool:
        """Whether threads are alive that are neither this one nor an executor's nor those of inspection."""
        known = {threading.current_thread(), *_workers()}
        return any(thread not in known and thread.name not in _OF_INSPECTION for thread in threading.enumerate())

    def _settle(self, watched: list[int]) -> None:
        """Waits until what was sent between sockets of the process has arrived, unless a full buffer keeps it back."""
        left, deadline = 0, 0.0
        while (unconfirmed := sum(map(_unconfirmed, watched))) > 0:
            if unconfirmed != left:
                left, deadline = unconfirmed, real_monotonic() + _SETTLING
            elif real_monotonic() > deadline:
                return
            real_sleep(0.0005)


class _Inside:
    """The descriptors of this process, as far as they can be the other end of one that the loop watches."""

    def __init__(self, watched: list[int], others_alive: bool) -> None:
        # What another thread holds is not the program's own.
        self._descriptors = watched if others_alive else _descriptors() or watched
        self._watched = watched
        self._connections: set[tuple[Any, Any]] | None = None

    def writes_to(self, descriptor: int) -> bool:
        """Whether only the program itself can make a descriptor ready."""
        try:
            mode = os.fstat(descriptor).st_mode
        except OSError:
            return True  # Closed.
        if _is_silent(descriptor):
            return True
        if stat.S_ISSOCK(mode):
            with borrowed(descriptor) as sock:
                return self._is_inside(sock)
        return stat.S_ISFIFO(mode) and self._holds_other_end(descriptor)

    def _is_inside(self, sock: socket.socket) -> bool:
        if accepts(sock):
            return True
        try:
            peer, local = sock.getpeername(), sock.getsockname()
        except OSError:
            return False  # Being connected, or without a peer.
        if sock.family == socket.AF_UNIX:
            return peer_process(sock) == os.getpid() and self._descriptors is not self._watched
        return (_plain(peer), _plain(local)) in self._addresses()

    def _addresses(self) -> set[tuple[Any, Any]]:
        """The two addresses of each connection, its own first."""
        if self._connections is None:
            self._connections = set()
            for descriptor in self._descriptors:
                with contextlib.suppress(OSError):
                    if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                        with borrowed(descriptor) as sock:
                            if sock.family in _INTERNET:
                                self._connections.add((_plain(sock.getsockname()), _plain(sock.getpeername())))
        return self._connections

    def _holds_other_end(self, descriptor: int) -> bool:
        own = os.fstat(descriptor)
        for other in self._descriptors:
            with contextlib.suppress(OSError):
                if other != descriptor and os.path.samestat(own, os.fstat(other)):
                    return True
        return False


def _is_silent(descriptor: int) -> bool:
    """Whether the other side has said that nothing will come any more. The loop has seen that already."""
    poller = select.poll()
    poller.register(descriptor, getattr(select, "POLLRDHUP", 0))
    return any(events & ~select.POLLNVAL for _, events in poller.poll(0))


def _workers() -> set[threading.Thread]:
    """The threads of executors: what they do is known from their jobs."""
    executors: Any = concurrent.futures.thread
    return set(executors._threads_queues)


def _plain(address: Any) -> Any:
    """Host and port of an address; the same for IPv4 within IPv6."""
    host, port = address[:2]
    return host.removeprefix("::ffff:"), port


def _is_listening(descriptor: int) -> bool:
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return False
        with borrowed(descriptor) as sock:
            return accepts(sock)
    except OSError:
        return False


def _unconfirmed(descriptor: int) -> int:
    """How many bytes a TCP connection has sent that the other side's system has not confirmed."""
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return 0
        with borrowed(descriptor) as sock:
            if sock.family not in _INTERNET or sock.type != socket.SOCK_STREAM or accepts(sock):
                return 0
        return int.from_bytes(fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    except OSError:
        return 0


def _descriptors() -> list[int]:
    """The open descriptors of this process; empty if the system does not tell."""
    try:
        return [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        return []


def _children() -> set[str]:
    """The children of this process that have not ended."""
    alive = set()
    with contextlib.suppress(OSError):
        for thread in os.listdir("/proc/self/task"):
            with contextlib.suppress(OSError), open(f"/proc/self/task/{thread}/children") as listed:
                alive |= {child for child in listed.read().split() if _is_alive(child)}
    return alive


def _is_alive(process: str) -> bool:
    try:
        with open(f"/proc/{process}/stat") as state:
            return state.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (OSError, IndexError):
        return False
