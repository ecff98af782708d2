"""All tasks that are not done, of every kind and every loop, and the loops.

asyncio keeps no list of loops: the loops are those of the tasks and those that run in a thread. Up to 3.13 asyncio's
registry, which continues with ferrio's, gives all tasks. From 3.14 on the C module's tasks are in lists of the threads
that made them, and ferrio's with them. If ferrio had to keep out of those, the C module gives its own tasks for one
loop at a time only.
"""

import asyncio
import sys
import weakref
from types import MethodDescriptorType
from typing import Any

from ferrio._ferrio import EventLoop, _count_scheduled, _listed_tasks, _running_loops
from ferrio.inspect._objects import attribute, class_name, copied, length, mro_of, referents
from ferrio.inspect._stacks import thread_frames

_RUN_FOREVER = asyncio.base_events.BaseEventLoop.run_forever.__code__


def registered_tasks() -> list[Any]:
    """The tasks in asyncio's registry and in ferrio's."""
    registries = [*_registries(), _listed_tasks()]
    tasks: dict[int, Any] = {id(task): task for registry in registries for task in copied(registry)}
    return list(tasks.values())


def tasks_of(owner: Any) -> list[Any]:
    """The tasks of a loop that are not in the registry."""
    if sys.version_info >= (3, 14):
        from _asyncio import all_tasks

        return list(all_tasks(owner))
    return []


def loop_of(task: Any) -> Any:
    """The loop of a task or future; None if it has none."""
    return attribute(task, "_loop")


def scheduled_in(owner: Any) -> tuple[int | None, int | None]:
    """How many callbacks of a loop are ready, and how many timers are not due yet; None if it does not tell."""
    if EventLoop in mro_of(type(owner)):
        return _count_scheduled(owner)
    ready, timers = length(attribute(owner, "_ready")), length(attribute(owner, "_scheduled"))
    cancelled = attribute(owner, "_timer_cancelled_count")
    if timers is not None and type(cancelled) is int:
        timers = max(timers - cancelled, 0)
    return ready, timers


# What reads the clock of loops whose code is known: asyncio's own, and ferrio's.
_CLOCKS = (asyncio.BaseEventLoop.__dict__["time"], EventLoop.time)


def _is_of_c(function: Any) -> bool:
    kind = type(function)
    return kind is MethodDescriptorType or class_name(kind).endswith(".cython_function_or_method")


def now_of(owner: Any) -> float | None:
    """The time of a loop; None if its clock is code of the program's."""
    for kind in mro_of(type(owner)):
        clock = kind.__dict__.get("time")
        if clock is not None:
            # Another loop written in C is no program's.
            is_known = any(clock is each for each in _CLOCKS) or _is_of_c(clock)
            now: Any = clock(owner) if is_known else None
            return float(now) if type(now) in (float, int) else None
    return None


def _registries() -> list[Any]:
    module: Any = asyncio.tasks
    if sys.version_info >= (3, 14):
        import _asyncio

        weak_sets = [each for each in referents(_asyncio) if weakref.WeakSet in type(each).__mro__]
        # Tasks in Python are in the module's own set, or in that of the C module.
        return [*weak_sets, getattr(module, "_scheduled_tasks", ()), getattr(module, "_eager_tasks", ())]
    if sys.version_info >= (3, 12):
        return [module._scheduled_tasks, module._eager_tasks]
    return [module._all_tasks]


def running_loops() -> list[Any]:
    """The loops that run in the threads: ferrio's, and asyncio's own, where a Python frame shows it."""
    found: list[Any] = [owner for owner, _ in _running_loops()]
    for innermost in thread_frames().values():
        frame: Any = innermost
        while frame is not None:
            if frame.f_code is _RUN_FOREVER:
                found.append(frame.f_locals.get("self"))
            frame = frame.f_back
    return [owner for owner in found if owner is not None]
