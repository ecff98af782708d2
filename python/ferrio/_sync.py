"""Which of asyncio's synchronization primitives and queues ferrio brings itself."""

import asyncio
import sys
from typing import Any

from ferrio._ferrio import (
    Barrier,
    BoundedSemaphore,
    Condition,
    Event,
    LifoQueue,
    Lock,
    PriorityQueue,
    Queue,
    Semaphore,
)

__all__ = [
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "LifoQueue",
    "Lock",
    "PriorityQueue",
    "Queue",
    "Semaphore",
]

if sys.version_info < (3, 13):
    from ferrio._ferrio import QueueShutDown as QueueShutDown

    __all__ += ["QueueShutDown"]


def replacements() -> list[tuple[Any, Any]]:
    """Pairs of what asyncio has now and what ferrio puts in its place. Before 3.13 it has no QueueShutDown."""
    return [(getattr(asyncio, name), globals()[name]) for name in __all__ if hasattr(asyncio, name)]
