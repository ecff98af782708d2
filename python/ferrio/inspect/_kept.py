"""Whether anything keeps a task but what it waits for.

asyncio keeps weak references to tasks. A task that its program does not keep lives only as long as the future that will
wake it, and if nothing else keeps that, the garbage collector may take both. References are counted: those of a task
that are not its future's are somebody's.
"""

import sys
from types import BuiltinFunctionType, MethodType
from typing import Any

from ferrio.inspect._objects import referents

# What a future has between itself and the task that waits for it.
_BETWEEN: frozenset[type] = frozenset((list, tuple, set, BuiltinFunctionType, MethodType))


def taken(tasks: list[Any]) -> tuple[Any, int]:
    """Takes the last task off a list; also tells how many references there are to it elsewhere."""
    task = tasks.pop()
    references = sys.getrefcount(task)
    return task, references - _OWN


def _own() -> int:
    """How many references `taken` itself counts: it depends on the interpreter's version."""
    things = [object()]
    thing = things.pop()
    references = sys.getrefcount(thing)
    return references  # as there


_OWN = _own()


def references_from(waiter: Any, task: Any) -> int:
    """How many references to the task there are in the future that will wake it."""
    found, pending, depth = 0, [waiter], 0
    while pending and depth < 4:
        inner: list[Any] = []
        for each in pending:
            for referent in referents(each):
                if referent is task:
                    found += 1
                elif type(referent) in _BETWEEN:
                    inner.append(referent)
        pending, depth = inner, depth + 1
    return found
