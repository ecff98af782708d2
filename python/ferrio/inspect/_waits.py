"""What a task waits for: the primitive, the tasks, the timer.

The future that will wake it is looked for in what asyncio's functions around it refer to: a primitive has it in its
queue of waiters, a task group and `gather` know their children. What is not found there is a plain future: any code may
complete it.
"""

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import CellType, FunctionType, GeneratorType
from typing import Any, Literal

from ferrio.inspect._descriptors import kind_of_transport
from ferrio.inspect._looks import Look, due_in, innermost_name
from ferrio.inspect._objects import (
    attribute,
    copied,
    is_future,
    is_task,
    referents,
    role_of,
    type_name,
)
from ferrio.inspect._primitives import Primitives, waiters_now
from ferrio.inspect._registry import loop_of, now_of
from ferrio.inspect._stacks import described, is_shown, name_of


def _is_callback(thing: object) -> bool:
    """A function, or what ferrio shows in the place of one."""
    return type(thing) is FunctionType or role_of(thing) == "callback"


@dataclass(slots=True)
class Waiting:
    """What a task waits for, as objects."""

    kind: str
    primitive: Any = None
    tasks: Sequence[Any] = ()
    needs: Literal["all", "any"] | None = None
    until: float | None = None
    # The job of an executor, or the future of a thread; and the transport of a stream.
    job: Any = None
    transport: Any = None
    # The transport of a child process.
    child: Any = None


def waiting_for(look: Look, primitives: Primitives) -> Waiting | None:
    """What the task of a look waits for; None if it does not wait."""
    if look.waiter is None:
        return None
    waiting = _waiting_for(look, look.waiter, primitives)
    # From 3.14 on what stands for several tasks may know the task that waits for them: it never waits for itself.
    waiting.tasks = tuple(each for each in waiting.tasks if each is not look.task)
    return waiting


def _waiting_for(look: Look, waiter: Any, primitives: Primitives) -> Waiting:
    if is_task(waiter):
        return Waiting("task", tasks=[waiter], needs="all")
    name = innermost_name(look)
    if (completed := _of_as_completed(look)) is not None:
        # asyncio's own waits for a queue of its own inside.
        return completed
    places = [place for thing in look.subjects if (place := primitives.wait_in(thing, waiter)) is not None]
    if places:
        # A barrier has a condition inside, and a queue an event: the wait is for the outer one.
        doing, primitive = next((place for place in places if place[0] in ("barrier", "queue join")), places[0])
        return Waiting(doing, primitive=primitive)
    return (
        _of_gather(waiter)
        or _of_group(look, waiter)
        or _of_wait(look, name)
        or _of_stream(look, waiter)
        or _of_sleep(look, name)
        or _of_child(look, name)
        or _of_shield(waiter)
        or _of_executor(waiter)
        or Waiting("future")
    )


def _of_gather(waiter: Any) -> Waiting | None:
    if role_of(waiter) != "gather":
        return None
    children = attribute(waiter, "_children")
    if children is None:
        children = [each for each in referents(waiter) if type(each) is list]
        children = children[0] if children else []
    return Waiting("gather", tasks=[each for each in list(children) if is_future(each)], needs="all")


def _of_group(look: Look, waiter: Any) -> Waiting | None:
    for thing in look.subjects:
        if role_of(thing) == "task group" and attribute(thing, "_on_completed_fut") is waiter:
            return Waiting("task group", tasks=copied(attribute(thing, "_tasks")), needs="all")
    return None


def _of_wait(look: Look, name: str) -> Waiting | None:
    if name == "wait_for":
        # Before 3.12 it waits for a task of its own.
        inner = [each for coroutine in look.coroutines[-2:] for each in referents(coroutine) if is_future(each)]
        tasks = [each for each in inner if each is not look.waiter and is_task(each)]
        return Waiting("wait_for", tasks=tasks[:1], needs="all") if tasks else None
    if name not in ("wait", "_wait"):
        return None
    for coroutine in reversed(look.coroutines):
        for each in referents(coroutine):
            if type(each) is set and all(is_future(one) for one in each):
                return Waiting("wait", tasks=copied(each), needs="any")
            if role_of(each) == "waiting":
                return Waiting("wait", tasks=[one for one in referents(each) if is_task(one)], needs="any")
    return None


def _of_as_completed(look: Look) -> Waiting | None:
    for outer, coroutine in itertools.pairwise((None, *look.coroutines[-5:])):
        if is_shown(coroutine) and name_of(coroutine).endswith(_COMPLETIONS) and described(coroutine)["asyncio"]:
            return Waiting("as_completed", tasks=_completions(outer, coroutine), needs="any")
    return None


_COMPLETIONS = ("._wait_for_one", "_AsCompletedIterator.__anext__")


def _completions(outer: Any, coroutine: Any) -> list[Any]:
    """The tasks that an iterator of `as_completed` waits for; before 3.13 it is a generator, in the function around."""
    for each in referents(coroutine):
        if type_name(each).endswith("._AsCompletedIterator"):
            left = attribute(each, "_todo") or next((one for one in referents(each) if type(one) is set), ())
            return [one for one in copied(left) if is_future(one)]
    for each in () if outer is None else referents(outer):
        if type(each) is GeneratorType and name_of(each) == "as_completed":
            sets = [known for cell in referents(each) if type(cell) is CellType for known in referents(cell)]
            return [one for left in sets if type(left) is set for one in copied(left) if is_future(one)]
    return []


def _of_child(look: Look, name: str) -> Waiting | None:
    if name.endswith("SubprocessTransport._wait"):
        for each in referents([one for one in look.coroutines if is_shown(one)][-1]):
            if kind_of_transport(each) == "child":
                return Waiting("child", child=each)
    return None


def _of_stream(look: Look, waiter: Any) -> Waiting | None:
    for thing in look.subjects:
        if role_of(thing) == "reader" and attribute(thing, "_waiter") is waiter:
            return Waiting("stream read", transport=attribute(thing, "_transport"))
        if role_of(thing) == "protocol" and any(each is waiter for each in waiters_now(thing, "_drain_waiters")):
            return Waiting("stream drain", transport=attribute(thing, "_transport"))
    if innermost_name(look) == "StreamWriter.drain":
        return Waiting("stream drain")
    return None


def _of_sleep(look: Look, name: str) -> Waiting | None:
    if name != "sleep":
        return None
    now = now_of(loop_of(look.task))
    return Waiting("sleep", until=None if now is None else due_in(look, now))


def _of_shield(waiter: Any) -> Waiting | None:
    """`shield` gives its outer future a callback that knows the inner one."""
    for callback, _ in attribute(waiter, "_callbacks") or ():
        if _is_callback(callback) and callback.__qualname__ == "shield.<locals>._outer_done_callback":
            inner = _inner_of(callback)
            return Waiting("shield", tasks=[inner] if is_future(inner) else [], needs="all")
    return None


def _inner_of(callback: Any) -> Any:
    """The inner future; from 3.14 on the callback knows the task that waits as well."""
    if type(callback) is FunctionType:
        return _cells(callback).get("inner")
    for known in referents(callback):
        if is_future(known):
            return known
        if type(known) is tuple and known:
            return known[0]
    return None


def _cells(function: FunctionType) -> dict[str, Any]:
    """What a function refers to of those around it."""
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # an empty cell
            found[name] = cell.cell_contents
    return found


def futures_of_threads(task: Any) -> Iterator[Any]:
    """The futures of other threads that a task completes, as `run_coroutine_threadsafe` has asked for it."""
    pending = referents(task)
    for each in pending:
        if role_of(each) == "chain":
            yield from (one for one in referents(each) if role_of(one) == "executor future")
        elif type(each) is FunctionType and each.__qualname__ == "_chain_future.<locals>._call_set_state":
            yield _cells(each).get("destination")
        elif type(each) in (list, tuple):
            # The list grows while it is gone through: callbacks are in pairs, in a list.
            pending += each


def _of_executor(waiter: Any) -> Waiting | None:
    for each in referents(waiter):
        if role_of(each) == "chain":
            known = [one for one in referents(each) if role_of(one) == "executor future"]
            return Waiting("executor", job=known[0]) if known else None
        if role_of(each) == "job":
            return Waiting("executor", job=each)
        if role_of(each) == "link":
            known = [one for one in referents(each) if role_of(one) == "executor future"]
            return Waiting("executor", job=known[0] if known else None)
        if type(each) is FunctionType and each.__qualname__ == "_chain_future.<locals>._call_check_cancel":
            return Waiting("executor", job=_cells(each).get("source"))
    return None
