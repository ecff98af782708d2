"""What of ferrio's tasks is put together in Python."""

import asyncio
import sys
from typing import Any

from ferrio._ferrio import Task, forget_waiter, note_waiter

if sys.version_info >= (3, 12):
    eager_task_factory = asyncio.create_eager_task_factory(Task)
    eager_task_factory.__doc__ = (
        "Make tasks of ferrio's that run up to their first wait at once: for loop.set_task_factory()."
    )

if sys.version_info >= (3, 14):
    # gather(), wait() and their like tell asyncio who waits for what, for call graphs. Its functions take only its own
    # futures; those of a ferrio loop are ours with and without install(), so this holds from the import on.
    _stock_add = asyncio.futures.future_add_to_awaited_by
    _stock_discard = asyncio.futures.future_discard_from_awaited_by

    def future_add_to_awaited_by(fut: Any, waiter: Any, /) -> None:
        """Record that `fut` is awaited on by `waiter`."""
        if not note_waiter(fut, waiter):
            _stock_add(fut, waiter)

    def future_discard_from_awaited_by(fut: Any, waiter: Any, /) -> None:
        """Record that `fut` is no longer awaited on by `waiter`."""
        if not forget_waiter(fut, waiter):
            _stock_discard(fut, waiter)

    for _module in (asyncio, asyncio.futures):
        for _prefix in ("", "_c_"):
            if hasattr(_module, _prefix + "future_add_to_awaited_by"):
                setattr(_module, _prefix + "future_add_to_awaited_by", future_add_to_awaited_by)
                setattr(_module, _prefix + "future_discard_from_awaited_by", future_discard_from_awaited_by)
