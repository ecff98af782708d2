"""Primitives: who waits for them, in which order, and who holds them.

Queues of waiters are read by asyncio's own private attributes, which ferrio's classes have as well. An index of each is
made once for a snapshot, so that a queue with many waiters is not searched for each of them.
"""

from typing import Any

from ferrio._ferrio import _longest_wait
from ferrio.inspect._objects import attribute, identifier, kind_of, length

# The attributes with waiters of each kind, and what a task does that waits there.
_QUEUES: dict[str, tuple[tuple[str, str], ...]] = {
    "lock": (("_waiters", "lock"),),
    "semaphore": (("_waiters", "semaphore"),),
    "condition": (("_waiters", "condition"),),
    "event": (("_waiters", "event"),),
    "barrier": (),
    "queue": (("_getters", "queue get"), ("_putters", "queue put")),
}

# Primitives inside primitives: what a task that waits there waits for.
_PARTS: dict[str, tuple[tuple[str, str], ...]] = {
    "condition": (("_lock", "lock"),),
    "barrier": (("_cond", "barrier"),),
    "queue": (("_finished", "queue join"),),
}


class Primitives:
    """The primitives that a collection has met, by identifier, and the waiters of each."""

    def __init__(self) -> None:
        self.met: dict[str, Any] = {}
        # For each attribute of a primitive the places of its waiters by their identity, and the waiters themselves.
        self._places: dict[tuple[int, str], tuple[dict[int, int], list[Any]]] = {}

    def wait_in(self, thing: Any, waiter: Any) -> tuple[str, Any] | None:
        """What a task does that waits in this primitive for `waiter`, and the primitive; None if it is not there."""
        kind = kind_of(thing)
        if kind is None:
            return None
        for name, doing in _QUEUES[kind]:
            if self._has(thing, name, waiter):
                self.meet(thing)
                return doing, thing
        for name, doing in _PARTS.get(kind, ()):
            inner = attribute(thing, name)
            if inner is not None and self.wait_in(inner, waiter) is not None:
                shown = inner if doing == "lock" else thing
                self.meet(shown)
                return doing, shown
        return None

    def meet(self, thing: Any) -> None:
        self.met.setdefault(identifier(thing), thing)

    def waiters(self, thing: Any, name: str) -> list[Any]:
        """The futures in one of its queues, in their order."""
        return waiters_now(thing, name)

    def _has(self, thing: Any, name: str, waiter: Any) -> bool:
        key = (id(thing), name)
        known = self._places.get(key)
        if known is None or (id(waiter) not in known[0]):
            # Joined later, or not there at all: one more look, if the queue has changed.
            if known is not None and len(known[1]) == count(thing, name):
                return False
            futures = waiters_now(thing, name)
            known = self._places[key] = ({id(each): place for place, each in enumerate(futures)}, futures)
            self.meet(thing)
        return id(waiter) in known[0]


def count(thing: Any, name: str) -> int:
    """How many entries one of its queues has; none if the program has put a container of its own there."""
    return length(attribute(thing, name)) or 0


def waiters_now(thing: Any, name: str) -> list[Any]:
    """The futures that wait in a queue at this moment."""
    queue = attribute(thing, name)
    for _ in range(100):
        try:
            return [] if queue is None else list(queue)
        except RuntimeError:  # another thread changes it
            continue
    return []


def is_locked(thing: Any) -> bool | None:
    """Whether a lock or semaphore is taken; None for other things."""
    kind = kind_of(thing)
    if kind == "lock":
        return attribute(thing, "_locked") is True
    if kind == "semaphore":
        return value_of(thing) == 0
    if kind == "condition":
        return is_locked(attribute(thing, "_lock"))
    return None


def value_of(thing: Any) -> int | None:
    """A semaphore's value, 1 for an event that is set, or how many tasks are inside a barrier."""
    value = attribute(thing, "_count" if kind_of(thing) == "barrier" else "_value")
    return int(value) if type(value) in (int, bool) else None


def longest_wait(thing: Any) -> float | None:
    """How long a task has waited for a primitive at most, in seconds, as far as that is recorded."""
    kind = kind_of(thing)
    if kind == "barrier":
        return longest_wait(attribute(thing, "_cond"))
    waits = [_longest_wait(thing)]
    if kind == "queue":
        waits.append(_longest_wait(attribute(thing, "_finished")))
    known = [each for each in waits if each is not None]
    return max(known) / 1e9 if len(known) == len(waits) else None


def lock_of(thing: Any) -> Any:
    """What `async with thing` takes: a lock, a condition's lock or a semaphore; None for other things."""
    kind = kind_of(thing)
    if kind == "condition":
        return attribute(thing, "_lock")
    return thing if kind in ("lock", "semaphore") else None
