"""The names of asyncio that ferrio implements.

install() does not add names to asyncio that the running Python's asyncio lacks.
"""

import asyncio
from typing import Any

from ferrio import _ferrio, _tasks

# install() replaces loops in another way, and handles pass for asyncio's in isinstance().
_NOT_REPLACED = {"EventLoop", "Handle", "TimerHandle", "new_event_loop"}

# Names that asyncio has or exports only from a later version on, and the hooks that only asyncio.tasks exports.
_EXTRA_NAMES = {
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
    for name in sorted({*asyncio.__all__, *_EXTRA_NAMES} - _NOT_REPLACED)
    if name in vars(module)
}
