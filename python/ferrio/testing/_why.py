"""Why nothing goes on, as `ferrio why` tells it: circles of tasks, and who holds what they wait for."""

import asyncio
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ferrio._ferrio import _creation_of, _place_of_lock
from ferrio.inspect import _collect, _recording, _text
from ferrio.inspect._objects import identifier
from ferrio.testing._places import place_of_caller
from ferrio.testing._surroundings import replaced

# asyncio's own locks, which programs have that do not install ferrio's.
_STOCK: tuple[Any, ...] = (asyncio.locks.Lock, asyncio.locks.BoundedSemaphore)

# By identity: where those of the run were made.
_made: dict[int, str] = {}


@contextmanager
def recording() -> Iterator[None]:
    """Records who takes locks and makes tasks and locks, unless the program has that on anyway."""
    if _recording.seconds_since_start() is not None:
        yield
        return
    _recording.begin(0)
    try:
        with replaced([(kind, "__init__", _noting(kind.__init__)) for kind in _STOCK]):
            yield
    finally:
        _made.clear()
        _recording.end()


def _noting(initialize: Callable[..., None]) -> Callable[..., None]:
    """The initializer of one of asyncio's own classes, which notes where it is called."""

    @functools.wraps(initialize)
    def __init__(lock: Any, *arguments: Any, **keywords: Any) -> None:
        _made[id(lock)] = place_of_caller()
        initialize(lock, *arguments, **keywords)

    return __init__


def is_recording() -> bool:
    """Whether that is recorded."""
    return _recording.seconds_since_start() is not None


def why(loop: Any) -> Iterator[str]:
    """Why the tasks of a loop do not go on."""
    snapshot = _collect.snapshot()
    where = identifier(loop)
    snapshot["tasks"] = [task for task in snapshot["tasks"] if task["loop"] == where]
    # What is recorded has the system's time, which says nothing here; nor does it that the run's own task was made.
    for task in snapshot["tasks"]:
        task["age"] = None
    for primitive in snapshot["primitives"]:
        for holder in primitive["holders"]:
            holder["held"] = None
    return _text.why(snapshot)


def place_of_creation(task: Any) -> str | None:
    """`file:line` where a task was made, if that was recorded."""
    recorded = _creation_of(task) if is_recording() else None
    if recorded is None or recorded[1] is None:
        return None
    code, line = recorded[1]
    return f"{code.co_filename.rsplit('/', 1)[-1]}:{line}"


def place_of_lock(lock: Any) -> str | None:
    """`file:line` where a lock was made, if that was recorded."""
    if type(lock) in _STOCK:
        return _made.get(id(lock))
    recorded = _place_of_lock(lock) if is_recording() else None
    return f"{recorded[0].co_filename.rsplit('/', 1)[-1]}:{recorded[1]}" if recorded is not None else None
