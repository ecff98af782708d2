"""Which of asyncio's futures, tasks and functions about them ferrio brings itself."""

import asyncio
import sys
from typing import Any

from ferrio._ferrio import Future, Task

__all__ = ["Future", "Task"]

if sys.version_info >= (3, 12):
    eager_task_factory = asyncio.create_eager_task_factory(Task)
    eager_task_factory.__doc__ = (
        "Make tasks of ferrio's that run up to their first wait at once: for loop.set_task_factory()."
    )
    __all__ += ["eager_task_factory"]


def replacements() -> list[tuple[Any, Any]]:
    """Pairs of what asyncio has now and what ferrio puts in its place."""
    return [(getattr(asyncio, name), globals()[name]) for name in __all__]
