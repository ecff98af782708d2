"""What a run has left when it ended: tasks, locks that are held, sockets, descriptors.

Tasks are looked at when the program has ended, all else after what `asyncio.run` does then: tasks are cancelled, and a
few turns pass in which transports close. What runs on other hosts than the program's own belongs to its surroundings.
"""

import asyncio
import gc
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import ferrio
from ferrio.testing import _why
from ferrio.testing._net import hosts
from ferrio.testing._net.network import Network
from ferrio.testing._places import name_of_task, place_of_task

_LOCKS = (asyncio.locks.Lock, ferrio.Lock)
_SEMAPHORES = (asyncio.locks.BoundedSemaphore, ferrio.BoundedSemaphore)

# What another thread of the process may open at any time says nothing about the program.
_PASSING = ("anon_inode:", "socket:")


def has_other_tasks() -> bool:
    """Whether a task that is none of ferrio's may be pending. From 3.14 on only `all_tasks` can tell."""
    tasks: Any = asyncio.tasks
    scheduled = getattr(tasks, "_scheduled_tasks" if sys.version_info >= (3, 12) else "_all_tasks", None)
    if sys.version_info >= (3, 14) or scheduled is None:
        return True
    return bool(scheduled.data or getattr(tasks, "_eager_tasks", None))


def of_tasks(tasks: Iterable["asyncio.Task[Any]"], network: Network) -> list[str]:
    """Those tasks that the program has neither ended nor cancelled, and those that a cancellation did not end."""
    return [_described(task) for task in tasks if not _is_elsewhere(task, network) and not _is_cancelling(task)]


def _described(task: "asyncio.Task[Any]") -> str:
    made = _why.place_of_creation(task)
    cancelled = "was cancelled, but " if task.cancelling() else ""
    return f"{name_of_task(task)}{f', made at {made},' if made else ''} {cancelled}waits at {place_of_task(task)}"


def _is_elsewhere(task: "asyncio.Task[Any]", network: Network) -> bool:
    """Whether a task belongs to a program of another host, or of a child."""
    if not network.has_others:
        return False
    context = getattr(task, "get_context", None)
    if context is None:
        return True  # Before 3.12 there is no telling.
    return bool(context().get(hosts.of_others))


def _is_cancelling(task: "asyncio.Task[Any]") -> bool:
    """Whether a cancellation is on its way, which the task or what it waits for has yet to see."""
    if task.cancelling() == 0:
        return False
    waiter: Any = getattr(task, "_fut_waiter", None)
    return waiter is None or type(waiter).__name__ != "Future" or waiter.done() or bool(task._must_cancel)  # type: ignore[attr-defined]


def of_locks() -> Iterator[str]:
    """Locks that the run has left locked. Between two runs the collector's youngest generation has what one made."""
    for thing in gc.get_objects(generation=0):
        kind = type(thing)
        if kind in _LOCKS and thing.locked():
            yield f"a lock is held{_made_at(thing)}: {thing!r}"
        elif kind in _SEMAPHORES and thing._value < thing._bound_value:
            taken = thing._bound_value - thing._value
            yield f"{taken} of a semaphore's {thing._bound_value} are taken{_made_at(thing)}: {thing!r}"


def _made_at(lock: Any) -> str:
    made = _why.place_of_lock(lock)
    return f", made at {made}" if made else ""


def of_network(network: Network) -> Iterator[str]:
    """Sockets of the program's own host that are open."""
    for sock in network.open_sockets():
        # The pipes of a child that has ended close by themselves; one that has not is a leftover itself.
        if not sock.is_of_others and not sock.purpose and sock._host.name == "local":
            yield f"{sock.description()} is open, made at {sock.made_at}"


class Descriptors:
    """The descriptors that are open when a run begins."""

    def __init__(self) -> None:
        self._before = _open_descriptors()

    def left(self) -> list[str]:
        """Those that the run has opened."""
        if not _open_descriptors() - self._before:
            return []
        gc.collect()
        left = _open_descriptors() - self._before
        return [f"descriptor {number} is open: {target}" for number, target in sorted(left)]


def _open_descriptors() -> set[tuple[int, str]]:
    found = set()
    try:
        names = os.listdir("/proc/self/fd")
    except OSError:
        return set()
    for name in names:
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # That of the folder itself.
        if not target.startswith(_PASSING):
            found.add((int(name), target))
    return found
