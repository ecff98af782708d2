"""Which object is what, without running any code of the program.

Only the classes of objects are asked, never the objects: an attribute such as `__class__` may be the program's. The
same rules hold for ferrio's classes and for asyncio's, whichever of them `asyncio` names now.
"""

import asyncio
import gc
from collections import deque
from collections.abc import Iterable
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


# The role of each class. A subclass has the role of the first of its bases that has one.
_ROLES: dict[type, str] = {
    kind: role
    for role, classes in {
        "lock": _classes("Lock"),
        "semaphore": _classes("Semaphore"),
        "condition": _classes("Condition"),
        "event": _classes("Event"),
        "barrier": _classes("Barrier"),
        "queue": _classes("Queue"),
        "task group": _classes("TaskGroup"),
        "timeout": (*_classes("Timeout"), *_class_of("asyncio.timeouts", "Timeout")),
        "reader": _classes("StreamReader"),
        "protocol": _classes("StreamReaderProtocol"),
        "timer": (_ferrio.TimerHandle, asyncio.TimerHandle),
        "future": (*_classes("Future"), *_class_of("asyncio.futures", "_PyFuture"), *_class_of("_asyncio", "Future")),
        "task": (*_classes("Task"), *_class_of("asyncio.tasks", "_PyTask"), *_class_of("_asyncio", "Task")),
        "method": (MethodType,),
    }.items()
    for kind in classes
}

# Classes of ferrio's that have no name in a module.
_INTERNAL = {"ferrio.method": "native method", "ferrio.DoneCallback": "callback", "ferrio.Waiting": "waiting"}
_INTERNAL |= {
    "ferrio.Job": "job",
    "ferrio.Link": "link",
    "ferrio.Chain": "chain",
    "concurrent.futures._base.Future": "executor future",
}

PRIMITIVES = frozenset({"lock", "semaphore", "condition", "event", "barrier", "queue"})

# What a wait can be recognised by.
SUBJECTS = PRIMITIVES | {"task group", "reader", "protocol", "timer"}

# The file of asyncio's own locks.
LOCKS_FILE: str = _STOCK["Lock"].acquire.__code__.co_filename

# By address: to hash a class of the program's would run its metaclass's code.
_ROLES_BY_ADDRESS = {id(kind): role for kind, role in _ROLES.items()}

# The classes asked about so far, by address, and their roles; `forget_classes` empties it, so that it keeps none alive.
_known: dict[int, tuple[type, str]] = {}
_mro_of: Any = type.__dict__["__mro__"].__get__


def role_of(thing: object) -> str:
    """What an object is, by its class alone; an empty text for everything that is of no interest."""
    kind = type(thing)
    known = _known.get(id(kind))
    if known is not None:
        return known[1]
    addresses = map(id, _mro_of(kind))
    role = next((_ROLES_BY_ADDRESS[each] for each in addresses if each in _ROLES_BY_ADDRESS), None)
    if role is None:
        role = _INTERNAL.get(type_name(thing), "")
    elif role == "future" and type_name(thing).endswith("._GatheringFuture"):
        role = "gather"
    _known[id(kind)] = (kind, role)
    return role


def forget_classes() -> None:
    """Releases the classes that `role_of` remembers."""
    _known.clear()


def kind_of(thing: object) -> str | None:
    """The kind of a primitive; None for everything else."""
    role = role_of(thing)
    return role if role in PRIMITIVES else None


def is_task(thing: object) -> bool:
    return role_of(thing) == "task"


def is_future(thing: object) -> bool:
    return role_of(thing) in ("future", "task", "gather")


def identifier(thing: object) -> str:
    return hex(id(thing))


def type_name(thing: object) -> str:
    """The full name of the class of `thing`."""
    return class_name(type(thing))


def class_name(kind: type) -> str:
    """The full name of a class."""
    # A program may have put anything there.
    module = type.__dict__["__module__"].__get__(kind)
    return f"{shown(module)}.{shown(type.__dict__['__qualname__'].__get__(kind))}"


def mro_of(kind: type) -> tuple[type, ...]:
    """The bases of a class, as `type` knows them."""
    return _mro_of(kind)  # type: ignore[no-any-return]


def length(thing: Any) -> int | None:
    """How many entries a container has; None if it is of a class of the program's, whose code would run."""
    return len(thing) if type(thing) in _CONTAINERS or type_name(thing).startswith("ferrio.") else None


_CONTAINERS = (deque, list, dict, set, tuple)


def copied(things: Iterable[Any] | None) -> list[Any]:
    """A copy of what other threads may change meanwhile."""
    for _ in range(1000):
        try:
            return [] if things is None else list(things)
        except RuntimeError:
            continue
    return []


def referents(thing: object) -> list[Any]:
    """What an object refers to, as its class shows it to the garbage collector."""
    return gc.get_referents(thing)


def attribute(thing: Any, name: str, default: Any = None) -> Any:
    """An attribute as `object` finds it: without the program's `__getattr__` and `__getattribute__`."""
    try:
        return object.__getattribute__(thing, name)
    except Exception:
        return default


def task_name(task: Any) -> str:
    """Its name, by the method of asyncio's class: not that of a subclass."""
    for kind in _NAMED_TASKS:
        if any(each is kind for each in _mro_of(type(task))):
            return shown(kind.__dict__["get_name"](task))
    return "?"


# The classes of tasks that have a name.
_NAMED_TASKS = [kind for kind, role in _ROLES.items() if role == "task" and "get_name" in kind.__dict__]


def shown(text: Any) -> str:
    """A text of the program's, cut if it is long; "?" for what is none. That of a subclass may have methods of its own,
    none of which runs."""
    if type(text) is not str:
        if str not in _mro_of(type(text)):
            return "?"
        text = str.__str__(text)
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"


# How many characters of a name are shown.
_LONGEST_TEXT = 1000


def exit_owner(thing: object) -> Any:
    """The object whose `__aexit__` this bound method is; None for other objects."""
    role = role_of(thing)
    if role == "method":
        owner = thing.__self__  # type: ignore[attr-defined]
        for each in _mro_of(type(owner)):
            if each.__dict__.get("__aexit__") is thing.__func__:  # type: ignore[attr-defined]
                return owner
    elif role == "native method":
        # The bound method of ferrio's locks shows its class, its descriptor and its object.
        _, descriptor, owner = referents(thing)
        return owner if descriptor.__name__ == "__aexit__" else None
    return None
