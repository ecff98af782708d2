"""How long tasks ran at a time and were ready without running, and who woke them.

The extension notes it while recording is on, for ferrio's tasks. What is not known is None.
"""

from collections.abc import Container
from typing import Any

from ferrio._ferrio import _times_of
from ferrio.inspect._model import Times, Waker


def times_of(task: Any, tasks: Container[str]) -> Times | None:
    """The times of a task that was created while recording was on; `tasks` are those that are not done."""
    found = _times_of(task)
    if found is None:
        return None
    polls, total, longest, scheduled, wakeups, (kind, by) = found
    waker = hex(by) if by is not None and hex(by) in tasks else None
    return Times(
        polls=polls,
        total=total / 1e9,
        longest=longest / 1e9,
        scheduled=scheduled / 1e9 if wakeups else None,
        wakeups=wakeups,
        woken_by=None if kind == "unknown" else Waker(kind=kind, task=waker),
    )
