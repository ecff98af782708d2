"""Jobs of thread pools, as records: calls that wait for a thread, and calls that threads make now.

`concurrent.futures` lists the threads of all its pools, each with its pool's queue; ferrio's workers are in that list.
What waits is in the queues. What runs is noted by ferrio's workers while inspection records; else the thread's frames
tell it: asyncio's workers keep their item there, and of ferrio's the function is seen if it is Python's own.
"""

import concurrent.futures.thread
import functools
import threading
import time
from collections.abc import Iterator
from contextvars import Context
from dataclasses import dataclass
from types import BuiltinFunctionType, FrameType, FunctionType, MethodType
from typing import Any

from ferrio._ferrio import _running_jobs, _waiting_job
from ferrio.inspect import _threads
from ferrio.inspect._model_io import Job
from ferrio.inspect._objects import attribute, class_name, copied, identifier, mro_of, referents, shown, type_name
from ferrio.inspect._stacks import thread_frames

_WORKER: Any = getattr(concurrent.futures.thread, "_worker", None)
_THREAD_RUN = threading.Thread.run.__code__

# Pools of the standard library and of ferrio; neither method of theirs runs code of the program.
_QUEUES = ("_queue.SimpleQueue", "ferrio.JobQueue")


@dataclass(slots=True)
class Found:
    """A job, as objects."""

    job: Any
    function: Any
    state: str
    # The loop, and the future that gets the outcome: the loop's or the executor's.
    owner: Any = None
    future: Any = None
    thread: int | None = None
    # Instants in nanoseconds; 0 if unknown.
    queued: int = 0
    began: int = 0
    executor: str | None = None


def jobs() -> Iterator[Found]:
    """The jobs of all thread pools: those that run, then those that wait, in their order."""
    threads = _pool_threads()
    recorded = {known[6]: known for known in _running_jobs()}
    frames = thread_frames()
    for thread, queue in threads:
        number = thread.ident
        if number is None:
            continue
        found = None
        if number in recorded:
            job, owner, future, function, queued, began, _ = recorded.pop(number)
            found = Found(job, function, "running", owner, future, number, queued, began)
        elif type_name(queue) == "ferrio.JobQueue":
            found = _seen_in_frames(thread, frames.get(number))
        else:
            found = _item_in_frames(number, frames.get(number))
        if found is not None:
            found.executor = _prefix(shown(attribute(thread, "_name")))
            yield found
    for job, owner, future, function, queued, began, number in recorded.values():
        # In a thread of another pool of ferrio's.
        yield Found(job, function, "running", owner, future, number, queued, began, _prefix(_name_of(number)))
    seen: set[int] = set()
    for thread, queue in threads:
        if id(queue) not in seen and type_name(queue) in _QUEUES:
            seen.add(id(queue))
            for item in _items(queue):
                if (found := _waiting(item)) is not None:
                    found.executor = _prefix(shown(attribute(thread, "_name")))
                    yield found


def described(found: Found, task: str | None) -> Job:
    """A job's record; `task` waits for it."""
    name, file, line = place_of(found.function)
    now = time.monotonic_ns()
    until = found.began or (now if found.state == "queued" else 0)
    return Job(
        id=identifier(found.job),
        state=found.state,  # type: ignore[typeddict-item]
        function=name,
        file=file,
        line=line,
        executor=found.executor,
        thread=found.thread,
        thread_name=None if found.thread is None else _name_of(found.thread),
        loop=None if found.owner is None else identifier(found.owner),
        task=task,
        waited=max(until - found.queued, 0) / 1e9 if found.queued and until else None,
        running=max(now - found.began, 0) / 1e9 if found.began else None,
    )


def place_of(function: Any) -> tuple[str | None, str | None, int | None]:
    """The name of what is called, its file and its first line, without asking an object of the program's."""
    if type(function) is _Seen:
        return shown(function.code.co_qualname), shown(function.code.co_filename), function.code.co_firstlineno
    for _ in range(20):
        if type(function) is functools.partial:
            inner, arguments = function.func, function.args
            # `to_thread` calls `context.run(function, …)`.
            is_run = type(inner) is BuiltinFunctionType and type(inner.__self__) is Context
            function = arguments[0] if is_run and arguments else inner
        elif type(function) is MethodType:
            function = function.__func__
        else:
            break
    if type(function) is FunctionType:
        code = function.__code__
        return shown(function.__qualname__), shown(code.co_filename), code.co_firstlineno
    if type(function) is BuiltinFunctionType:
        module = function.__module__
        return f"{module}.{function.__qualname__}" if type(module) is str else function.__qualname__, None, None
    return class_name(function) if type in mro_of(type(function)) else type_name(function), None, None


def _pool_threads() -> list[tuple[threading.Thread, Any]]:
    known = attribute(getattr(concurrent.futures.thread, "_threads_queues", None), "data")
    pairs = [(reference(), queue) for reference, queue in copied(known.items() if type(known) is dict else ())]
    return [(thread, queue) for thread, queue in pairs if thread is not None and _is_alive(thread)]


def _is_alive(thread: Any) -> bool:
    """Whether a thread runs: the number of one that has ended may be another one's."""
    if threading.Thread not in mro_of(type(thread)):
        return False
    return threading._active.get(attribute(thread, "_ident")) is thread  # type: ignore[attr-defined]


def _items(queue: Any) -> Iterator[Any]:
    for each in referents(queue):
        # Before 3.13 the standard library's queue has a list.
        yield from copied(each) if type(each) is list else (each,)


def _waiting(item: Any) -> Found | None:
    known = _waiting_job(item)
    if known is not None:
        job, owner, future, function, queued, _, _ = known
        return Found(job, function, "queued", owner, future, queued=queued)
    if type_name(item) == "concurrent.futures.thread._WorkItem":
        return Found(item, _function_of(item), "queued", future=attribute(item, "future"))
    return None


def _function_of(item: Any) -> Any:
    """The function of a work item of the standard library."""
    task = attribute(item, "task")
    return task[0] if type(task) is tuple and task else attribute(item, "fn")


def _item_in_frames(number: int, frame: FrameType | None) -> Found | None:
    """The item that a worker of the standard library's has in hand."""
    code = getattr(_WORKER, "__code__", None)
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    item = None if frame is None else frame.f_locals.get("work_item")
    if item is None or type_name(item) != "concurrent.futures.thread._WorkItem":
        return None
    return Found(item, _function_of(item), "running", future=attribute(item, "future"), thread=number)


def _seen_in_frames(thread: Any, frame: FrameType | None) -> Found | None:
    """The outermost function that a worker of ferrio's calls; None if the thread has none, as while it waits."""
    above = None
    while frame is not None and frame.f_code is not _THREAD_RUN:
        above, frame = frame, frame.f_back
    if frame is None or above is None:
        return None
    return Found(thread, _Seen(above), "running", thread=thread.ident)


class _Seen:
    """A function of which only a frame is known."""

    def __init__(self, frame: FrameType) -> None:
        self.code = frame.f_code


def _name_of(number: int | None) -> str | None:
    return None if number is None else _threads.names().get(number)


def _prefix(name: str | None) -> str | None:
    """What the names of a pool's threads begin with: `asyncio_0` is one of `asyncio`."""
    head, _, number = (name or "").rpartition("_")
    return head if head and number.isdecimal() else name
