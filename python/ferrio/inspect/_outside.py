"""A snapshot of a process that was never asked to be inspected: its memory is read from outside, nothing runs in it.

The interpreter's own reader is used, which came with Python 3.14 and knows the memory of its own version only. It gives
the tasks of each thread with their names, stacks and awaiters, and which one runs. All else is unknown.
"""

import contextlib
import importlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from ferrio.inspect._model import SCHEMA_VERSION, Frame, Loop, Snapshot, Task, Wait
from ferrio.inspect._model_io import LeftOff
from ferrio.inspect._target import Failed, Target, examine, is_alive, not_permitted

WHAT_IS_MISSING = (
    "read from the process's memory, nothing ran in it; states, times and what tasks wait for are not known (--attach "
    "shows them)"
)

# The process is not stopped, so what is read may be gone already. Then it is read again, this often and this late.
_ATTEMPTS = 25
_PAUSE = 0.02

_ONLY_THE_NEWEST = "it has sub-interpreters, and only the tasks of the newest one are seen"

_TRANSIENT = (RuntimeError, OSError, UnicodeDecodeError, MemoryError)


def outside_snapshot(pid: int) -> Snapshot:
    """What can be seen of a process from outside; `Failed` if nothing can."""
    target = examine(pid)
    began, at = time.monotonic(), time.time()
    with _clear_errors(target):
        # A process without asyncio is found to be one by its files: the reader says only that it has found nothing.
        listed = _read(target, "get_all_awaited_by")
        running = _read(target, "get_async_stack_trace", needed=False)
        threads = _read(target, "get_stack_trace", needed=False)
    missing = WHAT_IS_MISSING
    if not _is_main_seen(target, threads or []):
        missing = f"{_ONLY_THE_NEWEST}; {missing}"
    tasks = _Tasks(target, listed, running or [])
    stacks = {each.thread_id: _frames(target, each.frame_info) for each in _flat(threads or [])}
    return Snapshot(
        schema=SCHEMA_VERSION,
        outside=True,
        partial=True,
        reason=missing,
        pid=pid,
        program=target.program,
        python=target.python,
        ferrio=None,
        installed=None,
        time=at,
        took=time.monotonic() - began,
        inspecting=None,
        loops=[_loop(thread, tasks, stacks.get(thread, [])) for thread in tasks.counts],
        tasks=list(tasks.found.values()),
        primitives=[],
        deadlocks=[],
        blocks=[],
        connections=[],
        servers=[],
        children=[],
        jobs=[],
        timers=[],
        left_off=LeftOff(connections=0, servers=0, children=0, jobs=0, timers=0),
        lints=[],
    )


def has_other_interpreters(target: Target) -> bool:
    """Whether the process has sub-interpreters: then only the newest one is seen, and can be entered."""
    try:
        threads = _read(target, "get_stack_trace", needed=False)
    except OSError:
        return False
    return not _is_main_seen(target, threads or [])


def _is_main_seen(target: Target, threads: list[Any]) -> bool:
    """Whether what is seen is the main interpreter. Readers begin with the newest."""
    numbered = [each.interpreter_id for each in threads if hasattr(each, "interpreter_id")]
    if numbered:
        return numbered == [0]
    # Before 3.15 the reader tells the threads of the newest interpreter only.
    return any(each.thread_id == target.pid for each in threads) or not threads


def circles(snapshot: Snapshot) -> Iterator[list[str]]:
    """The names of tasks that await one another in a circle, each circle once."""
    tasks = {task["id"]: task for task in snapshot["tasks"]}
    done: set[str] = set()
    for first in tasks:
        path: dict[str, None] = {}
        pending = [(first, iter(_awaited(tasks, first)))]
        path[first] = None
        while pending and first not in done:
            name, following = pending[-1]
            for each in following:
                if each in path:
                    circle = [*path][[*path].index(each) :]
                    yield [tasks[one]["name"] for one in circle]
                elif each not in done:
                    path[each] = None
                    pending.append((each, iter(_awaited(tasks, each))))
                    break
            else:
                pending.pop()
                del path[name]
                done.add(name)


def _awaited(tasks: dict[str, Task], name: str) -> list[str]:
    wait = tasks[name]["waits_for"]
    return [] if wait is None else [each for each in wait["tasks"] if each in tasks]


@contextlib.contextmanager
def _clear_errors(target: Target) -> Iterator[None]:
    try:
        yield
    except PermissionError:
        raise Failed(not_permitted(target.pid)) from None
    except ProcessLookupError:
        raise Failed(f"process {target.pid} has ended") from None
    except _TRANSIENT as error:
        if not is_alive(target.pid):
            raise Failed(f"process {target.pid} has ended") from None
        raise Failed(
            f"process {target.pid} cannot be read from outside: it changes too fast, or has too many tasks ({error}); "
            "--attach asks it instead"
        ) from None


def _read(target: Target, what: str, *, needed: bool = True) -> Any:
    """What a method of the reader gives; None if it does not succeed and need not."""
    for attempt in range(_ATTEMPTS):
        try:
            return _call(_reader(target.pid), what)
        except (PermissionError, ProcessLookupError):
            raise
        except _TRANSIENT as error:
            if not is_alive(target.pid):
                raise ProcessLookupError from None
            if _has_no_asyncio(error):
                return []
            if attempt == _ATTEMPTS - 1:
                if needed:
                    raise
                return None
        time.sleep(_PAUSE)
    return None


def _reader(pid: int) -> Any:
    try:
        module = importlib.import_module("_remote_debugging")
    except ImportError:
        raise Failed("this Python is built without the means to read other processes") from None
    return module.RemoteUnwinder(pid, all_threads=True)


def _call(reader: Any, what: str) -> Any:
    method: Callable[[], Any] = getattr(reader, what)
    return method()


def _has_no_asyncio(error: BaseException) -> bool:
    return "AsyncioDebug section not available" in str(error)


def _flat(found: list[Any]) -> Iterator[Any]:
    """The threads, which later versions give by interpreter."""
    for each in found:
        yield from each.threads if hasattr(each, "threads") else (each,)


class _Tasks:
    """The tasks by identifier, from what was read."""

    def __init__(self, target: Target, listed: list[Any], running: list[Any]) -> None:
        self.found: dict[str, Task] = {}
        # How many tasks each thread has; 0 stands for the threads that have ended.
        self.counts: dict[int, int] = {}
        self.running = {each.task_id: each for thread in running for each in thread.awaited_by[:1]}
        self.busy = {thread.thread_id for thread in running if thread.awaited_by}
        awaits: dict[str, list[str]] = {}
        for thread in listed:
            for read in thread.awaited_by:
                task = self._task(target, thread.thread_id, read)
                if task["id"] in self.found:
                    continue
                self.found[task["id"]] = task
                self.counts[thread.thread_id] = self.counts.get(thread.thread_id, 0) + 1
                for awaiter in task["awaited_by"]:
                    awaits.setdefault(awaiter, []).append(task["id"])
        for name, task in self.found.items():
            task["awaited_by"] = [each for each in task["awaited_by"] if each in self.found]
            if awaited := awaits.get(name):
                task["waits_for"] = _wait(awaited)

    def _task(self, target: Target, thread: int, read: Any) -> Task:
        runs = read.task_id in self.running
        stacks = (self.running[read.task_id] if runs else read).coroutine_stack
        stack = [frame for part in reversed(stacks) for frame in _frames(target, part.call_stack)]
        return Task(
            id=hex(read.task_id),
            name=read.task_name,
            type=None,
            loop=_loop_of(thread),
            coroutine=stack[0]["function"] if stack else None,
            state="running" if runs else None,
            stack=stack,
            waits_for=None,
            awaited_by=list(dict.fromkeys(hex(each.task_name) for each in read.awaited_by if each.task_name)),
            timeout=None,
            has_timeout=None,
            created=None,
            age=None,
            times=None,
            context=[],
        )


def _wait(awaited: list[str]) -> Wait:
    return Wait(
        kind="unknown",
        primitive=None,
        tasks=awaited[:1000],
        tasks_total=len(awaited),
        needs=None,
        until=None,
        job=None,
        connection=None,
        child=None,
    )


def _loop_of(thread: int) -> str:
    return f"unknown, of thread {thread}" if thread else "unknown, of a thread that has ended"


def _loop(thread: int, tasks: _Tasks, stack: list[Frame]) -> Loop:
    return Loop(
        id=_loop_of(thread),
        type=None,
        state="running" if thread in tasks.busy else None,
        thread=thread or None,
        thread_name=None,
        debug=None,
        ready=None,
        timers=None,
        tasks=tasks.counts[thread],
        utilisation=None,
        sleeps=None,
        polls=None,
        descriptors=None,
        stack=stack,
        delay=None,
    )


def _frames(target: Target, read: list[Any]) -> list[Frame]:
    """A stack, outermost first."""
    folder = f"/python{'.'.join(target.python.split('.')[:2])}{os.sep}asyncio{os.sep}"
    frames = []
    for each in reversed(read):
        location = getattr(each, "location", None)
        line = location.lineno if location is not None else getattr(each, "lineno", None)
        # Names such as "~" stand for what is no Python function.
        known = each.filename not in ("", "~")
        frames.append(
            Frame(
                function=each.funcname,
                file=each.filename if known else None,
                line=line if known else None,
                asyncio=folder in each.filename,
            )
        )
    return frames
