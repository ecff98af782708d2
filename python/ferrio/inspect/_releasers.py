"""Whether somebody else may release a lock of a circle.

A lock that a task has inside `async with` is released by that task. One that it took by `acquire()` may be released by
any code: some programs use a lock as a signal. So a circle of such locks is a deadlock only if no task that can go on,
and no timer, has one of them within reach: in a variable, in an attribute of an object there, or as a global of its
functions.
"""

from collections.abc import Iterable
from types import AsyncGeneratorType, CodeType, CoroutineType, FrameType, FunctionType, GeneratorType, ModuleType
from typing import TYPE_CHECKING, Any

from ferrio.inspect._looks import held_by
from ferrio.inspect._model import Link
from ferrio.inspect._objects import copied, identifier, is_future, mro_of, referents
from ferrio.inspect._stacks import NATIVE_COROUTINE
from ferrio.inspect._waits import Waiting

if TYPE_CHECKING:
    from ferrio.inspect._collect import Collection

# How many objects are looked at before it counts as reached, and how far from a function's variables: an attribute may
# be in a dictionary, and a callback may be bound to its lock.
_MOST_OBJECTS = 20_000
_DEPTH = 5

_CLOSED = frozenset(
    (ModuleType, CodeType, FrameType, CoroutineType, GeneratorType, AsyncGeneratorType, NATIVE_COROUTINE)
)

# How long chains of tasks that await one another are followed.
_MOST_ROUNDS = 50


def may_be_released(collection: "Collection", circle: list[Link]) -> bool:
    """Whether code outside of the circle may end it."""
    locks = {id(lock) for link in circle if (lock := _taken_by_acquire(collection, link)) is not None}
    if not locks:
        return False
    stuck = _stuck(collection, {link["task"] for link in circle})
    others = [look for name, look in collection.looks.items() if name not in stuck]
    known = (each for look in others for coroutine in look.coroutines for each in referents(coroutine))
    return _reaches(collection.timers.callbacks(), locks) or _reaches(known, locks)


def _taken_by_acquire(collection: "Collection", link: Link) -> Any:
    if link["primitive"] is None:
        return None
    lock = collection.primitives.met[link["primitive"]]
    holder = collection.looks[link["waits_for"]]
    return None if any(held is lock for held, _ in held_by(holder)) else lock


def _stuck(collection: "Collection", circle: set[str]) -> set[str]:
    """The tasks of the circle, and those that cannot go on before one of them does."""
    stuck = set(circle)
    locks = {id(collection.waits[name].primitive) for name in circle} - {id(None)}
    for _ in range(_MOST_ROUNDS):
        more = {
            name
            for name, waiting in collection.waits.items()
            if name not in stuck
            and not collection.looks[name].timeouts
            and (id(waiting.primitive) in locks or _awaits(collection, waiting, stuck))
        }
        if not more:
            break
        stuck |= more
    return stuck


def _awaits(collection: "Collection", waiting: Waiting, stuck: set[str]) -> bool:
    """Whether a wait cannot end before that of a stuck task."""
    pending = [each in stuck for each in map(identifier, waiting.tasks) if each in collection.looks]
    return any(pending) if waiting.needs == "all" else bool(pending) and all(pending)


def _reaches(things: Iterable[Any], locks: set[int]) -> bool:
    left, seen = _MOST_OBJECTS, set[int]()
    for thing in things:
        pending = [thing]
        for _ in range(_DEPTH):
            if any(id(each) in locks for each in pending):
                return True
            left -= len(pending)
            if left <= 0:
                return True
            fresh = [each for each in pending if id(each) not in seen]
            seen.update(map(id, fresh))
            pending = [inner for each in fresh for inner in _parts_of(each)]
    return False


def _parts_of(thing: Any) -> list[Any]:
    """What an object has; of a function what it uses of the names around it, not all that its module has."""
    kind = type(thing)
    if kind is FunctionType:
        names, known = thing.__code__.co_names, thing.__globals__
        return [*(thing.__closure__ or ()), *(known[name] for name in names if name in known)]
    # Nobody reaches into another task, or into a coroutine.
    if kind in _CLOSED or type in mro_of(kind) or is_future(thing):
        return []
    return copied(referents(thing))
