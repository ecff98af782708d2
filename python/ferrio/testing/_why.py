"""Why nothing goes on, as `ferrio why` tells it: circles of tasks, and who holds what they wait for."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ferrio._ferrio import _creation_of
from ferrio.inspect import _collect, _recording, _text
from ferrio.inspect._objects import identifier
from ferrio.inspect._stacks import is_of_asyncio


@contextmanager
def recording() -> Iterator[None]:
    """Records who takes locks and makes tasks, unless the program has that on anyway."""
    if _recording.seconds_since_start() is not None:
        yield
        return
    _recording.begin(0)
    try:
        yield
    finally:
        _recording.end()


_OWN = os.path.dirname(__file__) + os.sep


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
        if task["created"] is not None and task["created"]["file"].startswith(_OWN):
            task["created"] = None
    for primitive in snapshot["primitives"]:
        for holder in primitive["holders"]:
            holder["held"] = None
    return _text.why(snapshot)


def place_of_creation(task: Any) -> str | None:
    """`file:line` where a task was made, if that was recorded."""
    recorded = _creation_of(task) if is_recording() else None
    for code, number in recorded[1] if recorded is not None else ():
        if not is_of_asyncio(code.co_filename) and not code.co_filename.startswith(_OWN):
            return f"{code.co_filename.rsplit('/', 1)[-1]}:{number}"
    return None
