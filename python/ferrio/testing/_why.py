"""Why nothing goes on, as `ferrio why` tells it: circles of tasks, and who holds what they wait for."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ferrio._ferrio import _creation_of
from ferrio.inspect import _collect, _recording, _text
from ferrio.inspect._objects import identifier


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
