"""What is recorded while inspection is on: who created a task, and when."""

import time
from typing import Any

from ferrio.inspect._model import Creation, Holder

_began: float | None = None


def begin() -> None:
    """Records from now on."""
    global _began
    if _began is None:
        _began = time.monotonic()


def end() -> None:
    """Records no more, and forgets."""
    global _began
    _began = None


def seconds_since_start() -> float | None:
    """How long recording has been on; None if it is off."""
    return None if _began is None else time.monotonic() - _began


def creation_of(task: Any) -> Creation | None:
    """Who created the task; None if it was before recording began."""
    return None


def age_of(task: Any) -> float | None:
    """How long ago the task was created; None if it was before recording began."""
    return None


def holders_of(lock: Any, tasks: Any) -> list[Holder] | None:
    """The recorded holders of a lock; None if none were recorded since it was taken."""
    return None
