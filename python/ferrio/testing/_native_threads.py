"""Threads of the process that are not Python's, which Rust and C libraries start: they may wake the loop at any time.

Python has no list of them, so the system is asked. One that waits without a time limit, for a lock or for descriptors
whose other ends are in the process, is woken by another thread if at all: it is not at work by itself. So an idle
thread pool is not at work, and one that waits for an answer from outside is. A server that only waits for clients is
not, as one of the loop's is not, but somebody may call it. What the system does not tell counts as at work.
"""

import contextlib
import os
import platform
import sys
import threading
import time
from collections.abc import Iterator

from ferrio.testing._descriptors import accepts, borrowed, peer_process

_THREADS = "/proc/self/task"

# The first 15 letters are what the system keeps of a name. None of these wakes what the program waits for.
_OF_FERRIO = frozenset(
    name[:15]
    for name in (
        "ferrio-inspect",
        "ferrio-collect",
        "ferrio-watch",
        "ferrio-sample",
        "ferrio-writes",
        "ferrio-interrupts",
    )
)

# The numbers of the system calls by which threads wait for locks, and for descriptors.
_LOCK, _DESCRIPTORS = {
    "x86_64": ("202", ("232", "281")),
    "aarch64": ("98", ("22",)),
    "riscv64": ("98", ("22",)),
}.get(platform.machine(), (None, ()))

# The same everywhere: as the others, but its limit is a structure in memory.
_DESCRIPTORS_TOO = "441"

# Of an operation on a lock: what it is, that the lock is this process's alone, and the operations that wait.
_OPERATION, _PRIVATE, _WAITS = 0x7F, 0x80, (0, 9)

_WITHOUT_LIMIT = 0xFFFF_FFFF

# All signals but those that no thread can block.
_ALL_BLOCKED = "fffffffe7ffbfeff"


class NativeThreads:
    """The threads that are not Python's, as seen by one run."""

    def __init__(self) -> None:
        # Also those that only `_thread` knows; from now on they are threads that somebody has started.
        self._known = _of_interpreter() | set(filter(_is_watchdog, _numbers()))

    def are_at_work(self, *, or_serve: bool = False) -> bool:
        """Whether one may go on without another thread of the process; with `or_serve`, also by what a client does."""
        for thread in threading.enumerate():
            # One that asked for its own object once is a dummy, and need not be Python's.
            if thread.native_id is not None and not isinstance(thread, threading._DummyThread):
                # Kept when the thread ends: Python forgets it a moment before the system does.
                self._known.add(thread.native_id)
        return any(number not in self._known and _is_at_work(number, or_serve) for number in _numbers())


def _numbers() -> Iterator[int]:
    with contextlib.suppress(OSError):
        yield from map(int, os.listdir(_THREADS))


def _of_interpreter() -> set[int]:
    """The system's numbers of the threads that run Python code."""
    clock_of = getattr(time, "pthread_getcpuclockid", None)
    if clock_of is None or not os.path.isdir(_THREADS):
        return set()
    # One call of functions in C, so that no thread can end meanwhile: its identifier would be a dangling pointer.
    clocks = list(map(clock_of, sys._current_frames()))
    # Linux makes the number of a thread's clock of the thread's number.
    return {~clock >> 3 for clock in clocks}


def _is_at_work(number: int, or_serves: bool) -> bool:
    call = _read(number, "syscall")
    if call is None or _waits_for_others(call, or_serves):
        return False
    return (_read(number, "comm") or [""])[0] not in _OF_FERRIO


def _waits_for_others(call: list[str], even_servers: bool) -> bool:
    """Whether a system call with these arguments ends only by what this process does."""
    if len(call) < 5:
        return False
    number, first, second, _, fourth = call[0], *(int(argument, 16) for argument in call[1:5])
    if number == _LOCK:
        return _is_wait(second) and fourth == 0
    is_endless = number in _DESCRIPTORS and fourth & _WITHOUT_LIMIT == _WITHOUT_LIMIT
    if not is_endless and not (number == _DESCRIPTORS_TOO and fourth == 0):
        return False
    return _watches_only_this_process(first, even_servers)


def _is_wait(operation: int) -> bool:
    return operation & _OPERATION in _WAITS and operation & _PRIVATE != 0


def _watches_only_this_process(poller: int, even_servers: bool) -> bool:
    try:
        with open(f"/proc/self/fdinfo/{poller}") as told:
            watched = [int(line.split()[1]) for line in told if line.startswith("tfd:")]
        return all(_is_of_this_process(descriptor, even_servers) for descriptor in watched)
    except (OSError, ValueError, IndexError):
        return False


def _is_of_this_process(descriptor: int, even_servers: bool) -> bool:
    """Whether only this process makes a descriptor readable: a counter, a pipe, or a socket between two of its parts.

    Clients from outside count unless `even_servers`.
    """
    kind = os.readlink(f"/proc/self/fd/{descriptor}")
    if kind.startswith("socket:"):
        with borrowed(descriptor) as sock:
            return not even_servers if accepts(sock) else peer_process(sock) == os.getpid()
    return kind == "anon_inode:[eventfd]" or (kind.startswith("pipe:") and _holds_both_ends(kind))


def _holds_both_ends(pipe: str) -> bool:
    ends = 0
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            ends += os.readlink(f"/proc/self/fd/{descriptor}") == pipe
    return ends > 1


def _is_watchdog(number: int) -> bool:
    """Whether it is the thread by which `faulthandler` prints what hangs: it calls nobody."""
    if "faulthandler" not in sys.modules or _read(number, "comm") != _read(os.getpid(), "comm"):
        return False
    call = _read(number, "syscall") or []
    if len(call) < 5 or call[0] != _LOCK or not _is_wait(int(call[2], 16)):
        return False
    status = _read(number, "status") or []
    return "SigBlk:" in status and status[status.index("SigBlk:") + 1] == _ALL_BLOCKED


def _read(number: int, name: str) -> list[str] | None:
    """The words that the system tells of a thread; None if that has ended, and none if it does not tell."""
    try:
        with open(f"{_THREADS}/{number}/{name}") as told:
            return told.read().split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    except OSError:
        return []
