"""What is recorded while inspection is on: who created a task, where and when; and who holds a lock, since when.

The extension records it, for ferrio's tasks, locks and semaphores. What was there before recording began, and what is
asyncio's own, is unknown.
"""

import os
import time
from collections.abc import Container
from typing import Any

from ferrio._ferrio import _creation_of, _holders_of, _note_failures, _record, _stop_recording
from ferrio.inspect import _threads
from ferrio.inspect._model import Creation, Holder
from ferrio.inspect._objects import shown
from ferrio.inspect._stacks import ASYNCIO

# The directory of ferrio's own files.
_FERRIO = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")

_began: float | None = None


# How many records the flight recorder of each loop keeps, and how many it may.
RECORDER = 16_384
MOST_RECORDS = 1 << 22


def begin(recorder: int = RECORDER) -> None:
    """Records from now on. The flight recorder of each loop keeps the last `recorder` events, of 48 bytes each."""
    global _began
    check(recorder)
    if _began is None:
        now = time.monotonic()
        _record(recorder, (ASYNCIO, _FERRIO), _threads.native_numbers())
        _note_failures(True)
        _began = now


def is_on() -> bool:
    """Whether it is recorded."""
    return _began is not None


def check(recorder: int) -> None:
    """Raises ValueError if the flight recorder cannot keep so many events."""
    if not 0 <= recorder <= MOST_RECORDS:
        raise ValueError(f"the flight recorder keeps at most {MOST_RECORDS} events, not {recorder}")


def end() -> None:
    """Records no more, and forgets."""
    global _began
    _began = None
    _stop_recording()
    _note_failures(False)


def seconds_since_start() -> float | None:
    """How long recording has been on; None if it is off."""
    return None if _began is None else time.monotonic() - _began


def creation_of(task: Any, tasks: Container[str]) -> tuple[Creation | None, float | None]:
    """Who of `tasks` created the task, and how long ago in seconds; None if it was before recording began."""
    recorded = _creation_of(task) if _began is not None else None
    if recorded is None:
        return None, None
    by, place, instant = recorded
    creator = hex(by) if by is not None and hex(by) in tasks else None
    age = time.monotonic() - instant
    if place is None:
        return None, age
    code, line = place
    return Creation(by=creator, function=shown(code.co_qualname), file=shown(code.co_filename), line=line), age


def holders_of(lock: Any, tasks: Container[str]) -> list[Holder]:
    """Which of `tasks` hold the lock, as far as it was recorded."""
    if _began is None:
        return []
    now = time.monotonic()
    return [
        Holder(task=hex(task), how="recorded", function=None, file=None, line=None, held=now - since)
        for task, since in _holders_of(lock)
        if hex(task) in tasks
    ]
