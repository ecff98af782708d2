"""Every name of asyncio's that ferrio brings itself.

A name that the running Python's asyncio lacks is ferrio's alone, and install() does not add it to asyncio.
"""

import asyncio
from typing import Any

from ferrio import _ferrio, _tasks

# Loops are installed by another way, and handles claim asyncio's classes.
_NOT_REPLACED = {"EventLoop", "Handle", "TimerHandle", "new_event_loop"}

# What asyncio has, or lists, only from a later version on, and the hooks that its __all__ leaves to asyncio.tasks.
_BESIDES = {
    "QueueShutDown",
    "TaskGroup",
    "eager_task_factory",
    "_enter_task",
    "_leave_task",
    "_register_eager_task",
    "_register_task",
    "_swap_current_task",
    "_unregister_eager_task",
    "_unregister_task",
}

NATIVES: dict[str, Any] = {
    name: getattr(module, name)
    for module in (_ferrio, _tasks)
    for name in sorted({*asyncio.__all__, *_BESIDES} - _NOT_REPLACED)
    if name in vars(module)
}
