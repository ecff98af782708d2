"""Which of asyncio's synchronization primitives and queues ferrio brings itself."""

import sys

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
