"""A look at one task: where it stands and which future it waits for.

A look keeps the objects that it saw. A task that waits for the very same pending future at a later look has not run in
between; conclusions about several tasks rest on that, because other threads run while tasks are looked at.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ferrio.inspect._objects import (
    LOCKS_FILE,
    SUBJECTS,
    attribute,
    exit_owner,
    is_future,
    kind_of,
    referents,
    role_of,
)
from ferrio.inspect._primitives import lock_of
from ferrio.inspect._stacks import NATIVE_COROUTINE, chain, frame_of, is_running, is_shown, name_of


@dataclass(slots=True)
class Look:
    """What was seen of a task."""

    task: Any
    # The coroutines from the one that it drives to the innermost.
    coroutines: tuple[Any, ...]
    # The future that will wake it, None if its step is due or runs.
    waiter: Any
    state: Literal["running", "ready", "waiting"]
    # Objects of asyncio's that the innermost coroutines refer to, innermost first.
    subjects: Sequence[Any] = ()
    # Primitives whose `async with` encloses where the task stands, and the coroutine with that statement.
    entered: Sequence[tuple[Any, Any]] = ()
    timeouts: Sequence[Any] = ()


def look_at(task: Any) -> Look | None:
    """Looks at a task; None if it is done or was never initialised."""
    if is_done(task):
        return None
    coroutine = attribute(task, "_coro")
    coroutines = tuple(chain(coroutine))
    running = any(is_running(each) for each in coroutines[:1])
    waiter = attribute(task, "_fut_waiter")
    if running:
        return Look(task, coroutines, None, "running", *_enclosing(coroutines))
    if waiter is None or is_done(waiter):
        return Look(task, coroutines, None, "ready", *_enclosing(coroutines))
    return Look(task, coroutines, waiter, "waiting", *_enclosing(coroutines))


def held_by(look: Look) -> list[tuple[Any, Any]]:
    """The locks and semaphores that the task holds by `async with`, with the coroutine in which that statement is.

    Not the one that it is still entering, and not that of a condition for which it waits.
    """
    doing, parent = _lock_method(look)
    subjects = () if doing is None else tuple(referents(doing))
    name = "" if doing is None else name_of(doing)
    held: list[tuple[Any, Any]] = []
    for thing, coroutine in look.entered:
        lock = lock_of(thing)
        if lock is None or (name.startswith("Condition.wait") and any(each is thing for each in subjects)):
            continue
        held.append((lock, coroutine))
    if name.endswith(".__aenter__"):
        # Its `__aexit__` is in place already: the last one of that coroutine's.
        for place in range(len(held) - 1, -1, -1):
            lock, coroutine = held[place]
            if coroutine is parent and any(lock_of(each) is lock for each in subjects):
                del held[place]
                break
    return held


def _lock_method(look: Look) -> tuple[Any, Any]:
    """The method of asyncio's locks in which the task waits, and the coroutine that has called it."""
    for place, coroutine in enumerate(look.coroutines):
        if place and is_of_locks(coroutine) and name_of(coroutine).startswith(_LOCK_METHODS):
            return coroutine, look.coroutines[place - 1]
    return None, None


_LOCK_METHODS = ("_ContextManagerMixin.__aenter__", "Lock.acquire", "Semaphore.acquire", "Condition.wait")


def is_of_locks(coroutine: Any) -> bool:
    """Whether a coroutine is of a method of asyncio's locks."""
    if type(coroutine) is NATIVE_COROUTINE:
        return True
    frame = frame_of(coroutine)
    return frame is not None and frame.f_code.co_filename == LOCKS_FILE


def is_done(future: Any) -> bool:
    """Whether a future or task is done. Those of foreign classes count as pending: asking them would run their code."""
    return is_future(future) and attribute(future, "_state") != "PENDING"


def still_waits(look: Look) -> bool:
    """Whether the task waits for the same future as at the look: then it has not run since."""
    return look.waiter is not None and attribute(look.task, "_fut_waiter") is look.waiter and not is_done(look.waiter)


def innermost_name(look: Look) -> str:
    """The name of asyncio's function in which the task waits, or of its own."""
    shown = [each for each in look.coroutines if is_shown(each)]
    return name_of(shown[-1]) if shown else ""


def _enclosing(coroutines: Sequence[Any]) -> tuple[Sequence[Any], Sequence[tuple[Any, Any]], Sequence[Any]]:
    """The subjects, the entered primitives and the timeouts."""
    subjects: list[Any] = []
    entered: list[tuple[Any, Any]] = []
    timeouts: list[Any] = []
    for place, coroutine in enumerate(reversed(coroutines)):
        before: Any = None
        for each in referents(coroutine):
            role = role_of(each)
            if role:
                owner = exit_owner(each) if role in ("method", "native method") else _exit_pair(before, each)
                if owner is not None:
                    if role_of(owner) == "timeout":
                        timeouts.append(owner)
                    elif kind_of(owner) is not None:
                        entered.append((owner, coroutine))
                elif role == "timeout" and type(coroutine) is NATIVE_COROUTINE:
                    timeouts.append(each)
                elif role == "timer" and name_of(coroutine) == "wait_for":
                    # Before 3.12; later `wait_for` uses `timeout`.
                    timeouts.append(each)
                if place < 6 and role in SUBJECTS:
                    subjects.append(each)
            before = each
    # An empty tuple takes no memory.
    return tuple(subjects), tuple(entered), tuple(timeouts)


def _exit_pair(before: Any, each: Any) -> Any:
    """From 3.14 on `async with` keeps the function `__aexit__` and its object side by side."""
    if before is not None and sys.version_info >= (3, 14):
        kind = type(each)
        if any(base.__dict__.get("__aexit__") is before for base in kind.__mro__):
            return each
    return None


def due_in(look: Look, now: float) -> float | None:
    """When the timer of a sleep is due, in seconds from `now`, the loop's time."""
    for each in look.subjects:
        if role_of(each) == "timer":
            when = attribute(each, "_when")
            return float(when) - now if isinstance(when, (int, float)) else None
    return None
