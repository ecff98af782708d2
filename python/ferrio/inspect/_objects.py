"""Which object is what, without running any code of the program.

Only the classes of objects are asked, never the objects: an attribute such as `__class__` may be the program's. The
same rules hold for ferrio's classes and for asyncio's, whichever of them `asyncio` names now.
"""

import asyncio
import gc
from types import MethodType
from typing import Any

from ferrio import _ferrio
from ferrio._install import _STOCK


def _classes(*names: str) -> tuple[type, ...]:
    """ferrio's and asyncio's classes of these names."""
    found = [vars(_ferrio).get(name) for name in names] + [_STOCK.get(name) for name in names]
    return tuple({each for each in found if isinstance(each, type)})


def _class_of(module: str, name: str) -> tuple[type, ...]:
    import importlib

    found = getattr(importlib.import_module(module), name, None)
    return (found,) if isinstance(found, type) else ()


LOCKS = _classes("Lock")
SEMAPHORES = _classes("Semaphore")
CONDITIONS = _classes("Condition")
EVENTS = _classes("Event")
BARRIERS = _classes("Barrier")
QUEUES = _classes("Queue")
TASK_GROUPS = _classes("TaskGroup")
TIMEOUTS = _classes("Timeout") + _class_of("asyncio.timeouts", "Timeout")
READERS = _classes("StreamReader")
PROTOCOLS = _classes("StreamReaderProtocol")
WRITERS = _classes("StreamWriter")
TIMER_HANDLES = (_ferrio.TimerHandle, asyncio.TimerHandle)
FUTURES = (*_classes("Future"), *_class_of("asyncio.futures", "_PyFuture"), *_class_of("_asyncio", "Future"))
TASKS = (*_classes("Task"), *_class_of("asyncio.tasks", "_PyTask"), *_class_of("_asyncio", "Task"))

KINDS: tuple[tuple[str, tuple[type, ...]], ...] = (
    ("lock", LOCKS),
    ("semaphore", SEMAPHORES),
    ("condition", CONDITIONS),
    ("event", EVENTS),
    ("barrier", BARRIERS),
    ("queue", QUEUES),
)


_OTHERS = (*TASK_GROUPS, *TIMEOUTS, *READERS, *PROTOCOLS, *WRITERS, *TIMER_HANDLES, *FUTURES, *TASKS)
_ALL_CLASSES = (*_OTHERS, *(each for _, classes in KINDS for each in classes))
_ALL = frozenset(_ALL_CLASSES)

# The file of asyncio's own locks.
LOCKS_FILE: str = _STOCK["Lock"].acquire.__code__.co_filename

# The classes asked about so far, with their bases; `forget_classes` empties it, so that it keeps no class alive.
_bases: dict[type, frozenset[type]] = {}
_mro_of: Any = type.__dict__["__mro__"].__get__


def is_a(thing: object, classes: tuple[type, ...]) -> bool:
    """Whether the class of `thing` is one of these or derives from one. Does not ask `thing`."""
    kind = type(thing)
    bases = _bases.get(kind)
    if bases is None:
        bases = _bases[kind] = frozenset(each for each in _mro_of(kind) if each in _ALL)
    return bool(bases) and any(each in bases for each in classes)


def is_known(thing: object) -> bool:
    """Whether it is of any of the classes above."""
    return is_a(thing, _ALL_CLASSES)


def forget_classes() -> None:
    """Releases the classes that `is_a` remembers."""
    _bases.clear()


def kind_of(thing: object) -> str | None:
    """The kind of a primitive; None for everything else."""
    if not is_known(thing):
        return None
    for kind, classes in KINDS:
        if is_a(thing, classes):
            return kind
    return None


def is_task(thing: object) -> bool:
    return is_a(thing, TASKS)


def is_future(thing: object) -> bool:
    return is_a(thing, FUTURES)


def identifier(thing: object) -> str:
    return hex(id(thing))


def type_name(thing: object) -> str:
    """The full name of the class of `thing`."""
    kind = type(thing)
    module = type.__dict__["__module__"].__get__(kind)
    return f"{module}.{type.__dict__['__qualname__'].__get__(kind)}"


def referents(thing: object) -> list[Any]:
    """What an object refers to, as its class shows it to the garbage collector."""
    return gc.get_referents(thing)


def attribute(thing: Any, name: str, default: Any = None) -> Any:
    """An attribute as `object` finds it: without the program's `__getattr__` and `__getattribute__`."""
    try:
        return object.__getattribute__(thing, name)
    except Exception:
        return default


def exit_owner(thing: object) -> Any:
    """The object whose `__aexit__` this bound method is; None for other objects."""
    if type(thing) is MethodType:
        owner = thing.__self__
        for each in _mro_of(type(owner)):
            if each.__dict__.get("__aexit__") is thing.__func__:
                return owner
    elif type_name(thing) == "ferrio.method":
        # The bound method of ferrio's locks shows its class, its descriptor and its object.
        _, descriptor, owner = referents(thing)
        return owner if descriptor.__name__ == "__aexit__" else None
    return None
