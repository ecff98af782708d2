"""Takes a snapshot: looks at all tasks, slice by slice, and puts what was seen into plain data.

No code of the program runs, but other threads do meanwhile, so each task is seen at a moment of its own.
What follows from several of them, a circle of tasks that wait for each other, is looked at once more at the end: it is
reported only if all of them still wait for the same futures, which proves that they did so at one time.
"""

import math
import sys
import time
from collections.abc import Iterator
from typing import Any, Literal

from ferrio._ferrio import EventLoop, __version__, _activity_of, _loop_delay, _system_polls
from ferrio._install import is_installed
from ferrio.inspect import _context, _deadlocks, _jobs, _lints, _recording, _threads
from ferrio.inspect._kept import taken
from ferrio.inspect._looks import Look, held_by, look_at
from ferrio.inspect._model import (
    SCHEMA_VERSION,
    Block,
    Deadlock,
    Delay,
    Frame,
    Holder,
    Link,
    Loop,
    Primitive,
    Snapshot,
    Task,
    Wait,
)
from ferrio.inspect._objects import attribute, forget_classes, identifier, kind_of, length, task_name, type_name
from ferrio.inspect._primitives import Primitives, is_locked, lock_of, longest_wait, value_of, waiters_now
from ferrio.inspect._registry import loop_of, now_of, registered_tasks, running_loops, scheduled_in, tasks_of
from ferrio.inspect._stacks import described, frame_of, is_shown, name_of, thread_frames, thread_stack, without_own
from ferrio.inspect._timers import Timers
from ferrio.inspect._times import times_of
from ferrio.inspect._waits import Waiting, futures_of_threads, waiting_for
from ferrio.inspect._watched import MOST_LISTED, Watched

# After so many tasks the collector lets other threads run, if it is asked to: less than a millisecond.
SLICE = 50

# The activity of a loop that is not ferrio's.
_NOT_KNOWN = (None, None, None, None)

# The attributes that tell the limit of a primitive.
_LIMITS = {"queue": "_maxsize", "semaphore": "_bound_value", "barrier": "_parties"}

# How many of the tasks that one task waits for are named.
_MOST_NAMED = 1000


def snapshot() -> Snapshot:
    """All that is known now, in one go."""
    collection = Collection()
    for _ in collection.slices():
        pass
    found = collection.result()
    for name, entries in collection.long_lists():
        found[name] = list(entries)
    return found


def empty_snapshot(reason: str) -> Snapshot:
    """What is known without looking at anything: `reason` says why."""
    snapshot = Collection().result()
    snapshot["partial"] = True
    snapshot["reason"] = reason
    return snapshot


class Collection:
    """A snapshot in the making: run `slices` to its end, then ask for the `result` and the `long_lists`."""

    def __init__(self, *, lints: bool = True) -> None:
        self.primitives = Primitives()
        self.looks: dict[str, Look] = {}
        self.waits: dict[str, Waiting] = {}
        # The tasks that hold a primitive, with the coroutine in which its `async with` is; by the primitive.
        self.held: dict[str, list[tuple[Look, Any]]] = {}
        self._awaiters: dict[str, list[str]] = {}
        # The tasks that wait in a primitive, by its identity: `waits` keeps it alive.
        self._by_primitive: dict[int, list[str]] = {}
        self._counts: dict[str, int] = {}
        self._began = time.monotonic()
        self._at = time.time()
        self._loops: dict[str, Any] = {}
        self.deadlocks: list[Deadlock] = []
        # By task: how many references there are to it.
        self.references: dict[str, int] = {}
        # Tasks that are done, and whose exception nobody has asked for.
        self.failed: dict[str, Any] = {}
        self.lints = _lints.Lints(self) if lints else None
        self.watched = Watched()
        self.timers = Timers()
        # The jobs of thread pools, with the tasks that wait for them; and the jobs by task.
        self._jobs: list[tuple[_jobs.Found, str | None]] = []
        self._jobs_of_tasks: dict[str, str] = {}

    def slices(self) -> Iterator[None]:
        """Collects; each step takes a bounded time."""
        try:
            self._loops = {identifier(owner): owner for owner in running_loops()}
            yield
            yield from self._see_all(registered_tasks())
            for owner in list(self._loops.values()):
                yield from self._see_all(tasks_of(owner))
            yield from self._see_jobs()
            yield from self.timers.slices(list(self._loops.values()))
            links: dict[str, list[Link]] = {}
            for place, (name, waiting) in enumerate(self.waits.items()):
                for awaited in waiting.tasks:
                    self._awaiters.setdefault(identifier(awaited), []).append(name)
                if waiting.primitive is not None:
                    self._by_primitive.setdefault(id(waiting.primitive), []).append(name)
                if found := _deadlocks.links_of(self, name):
                    links[name] = found
                if place % SLICE == SLICE - 1:
                    yield
            self.deadlocks = _deadlocks.find(self, links)
            yield
            yield from self.watched.slices(list(self._loops.values()))
            if self.lints is not None:
                yield from self.lints.slices()
        finally:
            forget_classes()

    def _tasks(self) -> Iterator[Task]:
        for name, look in self.looks.items():
            yield self._described(name, look)

    def result(self) -> Snapshot:
        """The snapshot without its long lists."""
        return Snapshot(
            schema=SCHEMA_VERSION,
            partial=False,
            reason=None,
            pid=_process()[0],
            program=_process()[1],
            python=sys.version.split()[0],
            ferrio=__version__,
            installed=is_installed(),
            time=self._at,
            took=time.monotonic() - self._began,
            inspecting=_recording.seconds_since_start(),
            loops=[self._loop(name, owner) for name, owner in self._loops.items()],
            tasks=[],
            primitives=[],
            deadlocks=self.deadlocks,
            blocks=list(_blocks()),
            connections=[],
            servers=self.watched.described_servers(),
            children=self.watched.described_children(),
            jobs=[],
            timers=[],
            lints=[] if self.lints is None else self.lints.found,
            left_off=self.watched.left_off(max(len(self._jobs) - MOST_LISTED, 0), self.timers.left_off),
        )

    def long_lists(
        self,
    ) -> Iterator[tuple[Literal["tasks", "primitives", "connections", "jobs", "timers"], Iterator[Any]]]:
        """The lists that `result` leaves empty, in their order, and their entries one by one: many records at one time
        would have the garbage collector look at everything."""
        yield "tasks", self._tasks()
        yield "primitives", (self._primitive(name, thing) for name, thing in list(self.primitives.met.items()))
        yield "connections", self.watched.described_connections()
        yield "jobs", (_jobs.described(*each) for each in self._jobs[:MOST_LISTED])
        yield "timers", self.timers.described()

    def _see_jobs(self) -> Iterator[None]:
        waiting = {id(each.job): name for name, each in self.waits.items() if each.job is not None}
        waiting |= {id(look.waiter): name for name, look in self.looks.items() if look.waiter is not None}
        for found in _jobs.jobs():
            task = waiting.get(id(found.job)) or waiting.get(id(found.future))
            self._jobs.append((found, task))
            if task is not None:
                found.owner = found.owner or loop_of(self.looks[task].task)
                self._jobs_of_tasks[task] = identifier(found.job)
        # What is left are futures of other threads: of those that a loop there completes, the task is known.
        threads = {
            id(each.job): each
            for name, each in self.waits.items()
            if each.job is not None and name not in self._jobs_of_tasks
        }
        for place, look in enumerate(self.looks.values() if threads else ()):
            for future in futures_of_threads(look.task):
                if (found_wait := threads.get(id(future))) is not None:
                    found_wait.kind, found_wait.tasks, found_wait.needs = "task", [look.task], "any"
            if place % SLICE == SLICE - 1:
                yield

    def awaiters(self, name: str) -> list[str]:
        """The tasks that wait for this one."""
        return self._awaiters.get(name, [])

    def _see_all(self, tasks: list[Any]) -> Iterator[None]:
        yield
        while tasks:
            for _ in range(min(SLICE, len(tasks))):
                self._see(*taken(tasks))
            yield

    def _see(self, task: Any, references: int) -> None:
        name = identifier(task)
        look = look_at(task) if name not in self.looks else None
        if look is None:
            if name not in self.looks and attribute(task, "_log_traceback") is True:
                self.failed[name] = task
            return
        self.looks[name] = look
        self.references[name] = references
        owner = loop_of(task)
        if owner is not None:
            where = identifier(owner)
            self._loops[where] = owner
            self._counts[where] = self._counts.get(where, 0) + 1
        waiting = waiting_for(look, self.primitives)
        if waiting is not None:
            self.waits[name] = waiting
        self.timers.see(name, look, None if waiting is None else waiting.kind)
        for lock, coroutine in held_by(look):
            self.primitives.meet(lock)
            self.held.setdefault(identifier(lock), []).append((look, coroutine))

    def _described(self, name: str, look: Look) -> Task:
        task = look.task
        coroutine = look.coroutines[0] if look.coroutines else None
        limits = [when for each in look.timeouts if (when := attribute(each, "_when")) is not None]
        owner = loop_of(task)
        now = now_of(owner) if limits and owner is not None else None
        known = None if self.lints is None else self.lints.created(name)
        created, age = _recording.creation_of(task, self.looks) if known is None else known
        return Task(
            id=name,
            name=task_name(task),
            type=type_name(task),
            loop=identifier(owner),
            coroutine="" if coroutine is None else name_of(coroutine),
            state=look.state,
            stack=self.stack(look),
            waits_for=self._wait(name),
            awaited_by=self._awaiters.get(name, [])[:_MOST_NAMED],
            timeout=None if now is None else finite(min((float(when) - now for when in limits), default=None)),
            has_timeout=bool(limits),
            created=created,
            age=age,
            times=times_of(task, self.looks) if self.lints is None else self.lints.times(task, name),
            context=_context.values_of(task),
        )

    def stack(self, look: Look) -> list[Frame]:
        """From the coroutine that a task drives to the innermost function."""
        shown = [described(each) for each in look.coroutines if is_shown(each)]
        if look.state != "running":
            return shown
        outermost = frame_of(look.coroutines[0])
        thread = attribute(loop_of(look.task), "_thread_id")
        frame = thread_frames().get(thread) if thread is not None else None
        if outermost is None or frame is None:
            return shown
        found = thread_stack(without_own(frame), outermost.f_code)
        return found if found and found[0]["function"] == outermost.f_code.co_qualname else shown

    def _wait(self, name: str) -> Wait | None:
        waiting = self.waits.get(name)
        if waiting is None:
            return None
        pending = [each for each in map(identifier, waiting.tasks) if each in self.looks]
        return Wait(
            kind=waiting.kind,
            primitive=None if waiting.primitive is None else identifier(waiting.primitive),
            tasks=pending[:_MOST_NAMED],
            tasks_total=len(pending),
            needs=waiting.needs,
            until=finite(waiting.until),
            job=self._jobs_of_tasks.get(name),
            connection=None if waiting.transport is None else identifier(waiting.transport),
            child=None if waiting.child is None else identifier(waiting.child),
        )

    def _loop(self, name: str, owner: Any) -> Loop:
        thread = attribute(owner, "_thread_id")
        closed = bool(attribute(owner, "_closed"))
        frame = thread_frames().get(thread) if thread is not None else None
        ran, asleep, sleeps, descriptors = _activity_of(owner) if EventLoop in type(owner).__mro__ else _NOT_KNOWN
        ready, timers = scheduled_in(owner)
        return Loop(
            id=name,
            type=type_name(owner),
            state="closed" if closed else "running" if thread is not None else "stopped",
            thread=thread,
            thread_name=_threads.names().get(thread),
            debug=bool(attribute(owner, "_debug")),
            ready=ready,
            timers=timers,
            tasks=self._counts.get(name, 0),
            utilisation=min(max(1 - asleep / ran, 0.0), 1.0) if ran and asleep is not None else None,
            sleeps=sleeps,
            polls=_system_polls(owner),
            descriptors=descriptors,
            stack=thread_stack(without_own(frame)),
            delay=delay_of(owner),
        )

    def holders(self, lock: Any) -> list[Holder]:
        """The tasks that hold a lock or semaphore, as far as it is known."""
        found = {each["task"]: each for each in _recording.holders_of(lock, self.looks)}
        for look, coroutine in self.held.get(identifier(lock), ()):
            place, name = described(coroutine), identifier(look.task)
            holder = found.setdefault(
                name, Holder(task=name, how="inferred", function=None, file=None, line=None, held=None)
            )
            holder["function"], holder["file"], holder["line"] = place["function"], place["file"], place["line"]
        return list(found.values())

    def _primitive(self, name: str, thing: Any) -> Primitive:
        kind = kind_of(thing) or ""
        lock = lock_of(thing)
        waiting = self._waiting_tasks(thing, "_getters" if kind == "queue" else "_waiters")
        limit = attribute(thing, _LIMITS.get(kind, ""))
        return Primitive(
            id=name,
            kind=kind,
            type=type_name(thing),
            locked=is_locked(thing),
            value=value_of(thing),
            holders=[] if lock is None or (kind == "lock" and not is_locked(thing)) else self.holders(lock),
            waiters=waiting,
            putters=self._waiting_tasks(thing, "_putters") if kind == "queue" else [],
            length=length(attribute(thing, "_queue")) if kind == "queue" else None,
            limit=limit if type(limit) is int and limit > 0 else None,
            longest_wait=longest_wait(thing),
        )

    def _waiting_tasks(self, thing: Any, queue: str) -> list[str]:
        queued = attribute(thing, "_cond") if kind_of(thing) == "barrier" else thing
        futures = {id(future): place for place, future in enumerate(waiters_now(queued, queue))}
        waiting = ((name, self.looks[name].waiter) for name in self._by_primitive.get(id(thing), ()))
        found = [(futures[id(waiter)], name) for name, waiter in waiting if id(waiter) in futures]
        return [name for _, name in sorted(found)][:_MOST_NAMED]


def finite(seconds: float | None) -> float | None:
    """None for what never comes: JSON has no infinity."""
    return seconds if seconds is not None and math.isfinite(seconds) else None


def delay_of(owner: Any) -> Delay | None:
    """The histogram of a loop's delay, if the watchdog has watched it."""
    found = _loop_delay(owner)
    if found is None:
        return None
    bounds, counts, total, longest = found
    return Delay(bounds=[each / 1e3 for each in bounds], counts=counts, sum=total / 1e9, longest=longest / 1e9)


def _blocks() -> "list[Block]":
    # The watchdog uses this file.
    from ferrio.inspect import _watching

    return _watching.blocks()


def _process() -> tuple[int, str]:
    import os

    return os.getpid(), _threads.program()
