"""The trace of a program: the flight recorders' records as Chrome's trace events, which Perfetto's UI opens too.

Each loop has a track with all that it ran and its waits for the system, each task a track of its own with its steps,
what it waited for in between, and how long it was ready; an arrow leads from who woke a task to the step that followed.
Executors' jobs have a track for each thread; a counter shows how many callbacks were ready.

Invariant: slices of one track lie side by side or one in another, and an arrow has both its ends.
"""

import json
import os
from collections.abc import Iterator
from typing import Any

from ferrio.inspect import _threads
from ferrio.inspect._flight import (
    BY_CALLBACK,
    BY_OUTSIDE,
    BY_UNKNOWN,
    CALLBACK,
    CREATED,
    DONE,
    JOB_BEGAN,
    POLL,
    STEP,
    WAKE,
    Flight,
    Flights,
    Record,
    decoded,
    read,
)

# Tracks are numbered: loops from 1, executors' threads and tasks from these numbers on.
_JOBS, _TASKS = 1 << 20, 1 << 24

_WAITS, _YIELDS, _ENDS = range(3)
_KINDS = ("callback", "done callback", "callback of ferrio's own")
_WAKERS = {BY_CALLBACK: "callback", BY_OUTSIDE: "outside", BY_UNKNOWN: "unknown"}

Event = dict[str, Any]


def trace(file: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """What the flight recorders have, as Chrome's trace events; written to `file` as well, if one is given.

    Without `start()` before it, it has no events. Perfetto (https://ui.perfetto.dev) and chrome://tracing open it.
    """
    made = made_from(list(events(read())))
    if file is not None:
        write(made, file)
    return made


def made_from(found: list[Event]) -> dict[str, Any]:
    """A whole trace."""
    return {"traceEvents": found, "displayTimeUnit": "ns"}


def write(made: dict[str, Any], file: str | os.PathLike[str]) -> None:
    """Writes a trace: there is never half of one at `file`."""
    unfinished = f"{os.fspath(file)}.{os.getpid()}.tmp"
    try:
        with open(unfinished, "w", encoding="utf-8") as stream:
            json.dump(made, stream)
        os.replace(unfinished, file)
    except BaseException:
        if os.path.exists(unfinished):
            os.unlink(unfinished)
        raise


def events(flights: Flights) -> Iterator[Event]:
    """The events of a trace."""
    process = os.getpid()
    program = _threads.program() or "python"
    yield _named("process_name", program, process, 0)
    for place, flight in enumerate(flights.loops, 1):
        yield from _OfLoop(flights, flight, process, place).events()
    yield from _jobs(flights, process)


class _OfLoop:
    """Makes the events of one loop."""

    def __init__(self, flights: Flights, flight: Flight, process: int, track: int) -> None:
        self._flights = flights
        self._flight = flight
        self._process = process
        self._track = track
        self._tasks = dict(flights.tasks)
        self._coroutines = dict(flights.coroutines)
        # By a task's number: since when it waits and for what; since when it is ready; who woke it, where and when.
        self._waits: dict[int, tuple[int, str]] = {}
        self._ready: dict[int, int] = {}
        self._woken: dict[int, tuple[int, int]] = {}
        self._seen: set[int] = set()
        # The slices of callbacks, from which arrows lead: when each began, by when it ended.
        self._ended: dict[int, int] = {}
        self._arrows = 0

    def events(self) -> Iterator[Event]:
        name = f"loop in {self._flight.thread_name or 'a thread that is gone'}"
        yield _named("thread_name", name, self._process, self._track)
        records = list(decoded(self._flight.records))
        for record in records:
            if record.kind == DONE and record.other in self._flights.labels:
                self._coroutines.setdefault(record.subject, self._flights.labels[record.other])
        for record in records:
            yield from self._event(record)
        yield from self._open()
        for number in sorted(self._seen):
            yield _named("thread_name", self._name(number), self._process, _TASKS + number)
        if self._flight.lost:
            yield self._instant("older records are lost", self._flights.until, {"records": self._flight.lost})

    def _event(self, record: Record) -> Iterator[Event]:
        if record.kind == STEP:
            yield from self._step(record)
        elif record.kind == CALLBACK:
            name = self._flights.labels.get(record.other) or _KINDS[record.detail]
            yield self._slice(self._track, name, "callback", record.at, record.took)
            self._ended[record.at + record.took] = record.at
            yield self._count(record)
        elif record.kind == POLL:
            yield self._slice(self._track, "poll", "poll", record.at, record.took, {"events": record.subject})
            yield self._count(record)
        elif record.kind == WAKE:
            yield from self._wake(record)
        elif record.kind == CREATED:
            by = {"by": self._name(record.other)} if record.other else {}
            yield self._instant(f"{self._name(record.subject)} is created", record.at, by)

    def _step(self, record: Record) -> Iterator[Event]:
        number, end = record.subject, record.at + record.took
        awaited = self._awaited(record) if record.detail == _WAITS else None
        then = {"awaits": awaited} if awaited else {"then": "yields" if record.detail == _YIELDS else "ends"}
        if record.ready_at:
            yield from self._wake(record)
        yield from self._until_step(number, record.at)
        yield self._slice(self._track, self._name(number), "task", record.at, record.took, then)
        yield self._slice(self._own(number), self._coroutines.get(number, "runs"), "task", record.at, record.took, then)
        if awaited is not None:
            self._waits[number] = (end, awaited)
        self._ended[end] = record.at
        yield self._count(record)

    def _awaited(self, record: Record) -> str:
        """The innermost function that waits; a future, if the task's own coroutine does."""
        awaited = self._flights.labels.get(record.other)
        return "a future" if awaited in (None, self._coroutines.get(record.subject)) else str(awaited)

    def _until_step(self, number: int, at: int) -> Iterator[Event]:
        """What the task did before: it waited, and was ready; the arrow from who woke it."""
        track = self._own(number)
        ready = min(self._ready.pop(number, at), at)
        if (waited := self._waits.pop(number, None)) is not None:
            yield self._slice(track, f"waits for {waited[1]}", "wait", waited[0], max(ready - waited[0], 0))
        if ready < at:
            yield self._slice(track, "ready", "ready", ready, at - ready)
        if (woken := self._woken.pop(number, None)) is not None:
            self._arrows += 1
            arrow = {"name": "wakes", "cat": "wake", "id": self._arrows, "pid": self._process}
            yield {**arrow, "ph": "s", "tid": woken[0], "ts": woken[1] / 1e3}
            yield {**arrow, "ph": "f", "bp": "e", "tid": self._track, "ts": at / 1e3}

    def _wake(self, record: Record) -> Iterator[Event]:
        self._ready[record.subject] = record.ready_at
        # What woke it ended then, if that was a callback; its record may be lost.
        if record.by not in (BY_OUTSIDE, BY_UNKNOWN) and (began := self._ended.get(record.ready_at)) is not None:
            self._woken[record.subject] = (self._track, began)
        yield self._instant(f"{self._name(record.subject)} is woken", record.ready_at, {"by": self._waker(record)})

    def _waker(self, record: Record) -> str:
        return _WAKERS.get(record.by) or self._name(record.by)

    def _open(self) -> Iterator[Event]:
        """What lasts."""
        until = self._flights.until
        if self._flight.running is not None:
            number, since = self._flight.running
            name = self._name(number) if number else "callback"
            took = max(until - since, 0)
            if number:
                yield from self._until_step(number, since)
                yield self._slice(self._own(number), self._coroutines.get(number, "runs"), "task", since, took)
            yield self._slice(self._track, name, "task" if number else "callback", since, took, {"lasts": True})
        elif self._flight.polling_since:
            since = self._flight.polling_since
            yield self._slice(self._track, "poll", "poll", since, max(until - since, 0), {"lasts": True})
        for number, (since, awaited) in self._waits.items():
            ready = min(self._ready.get(number, until), until)
            yield self._slice(self._own(number), f"waits for {awaited}", "wait", since, max(ready - since, 0))

    def _name(self, number: int) -> str:
        return self._tasks.get(number) or f"{self._coroutines.get(number, 'task')} #{number}"

    def _own(self, number: int) -> int:
        self._seen.add(number)
        return _TASKS + number

    def _slice(self, track: int, name: str, kind: str, at: int, took: int, more: Event | None = None) -> Event:
        event = {"ph": "X", "name": name, "cat": kind, "pid": self._process, "tid": track, "ts": at / 1e3}
        return {**event, "dur": took / 1e3, "args": more or {}}

    def _instant(self, name: str, at: int, more: Event) -> Event:
        return {
            "ph": "i", "s": "t", "name": name, "cat": "task",
            "pid": self._process, "tid": self._track, "ts": at / 1e3, "args": more,
        }  # fmt: skip

    def _count(self, record: Record) -> Event:
        at = (record.at + record.took) / 1e3
        name = f"ready in loop {self._track}"
        return {"ph": "C", "name": name, "pid": self._process, "ts": at, "args": {"callbacks": record.ready}}


def _jobs(flights: Flights, process: int) -> Iterator[Event]:
    open_jobs: dict[int, tuple[int, int]] = {}
    threads: set[int] = set()

    def job(thread: int, at: int, until: int, label: int) -> Event:
        threads.add(thread)
        name = flights.labels.get(label, "job")
        event = {"ph": "X", "name": name, "cat": "job", "pid": process, "tid": _JOBS + thread}
        return {**event, "ts": at / 1e3, "dur": max(until - at, 0) / 1e3, "args": {}}

    for record in decoded(flights.jobs):
        if record.kind == JOB_BEGAN:
            open_jobs[record.subject] = (record.at, record.other)
        elif record.subject in open_jobs:
            at, label = open_jobs.pop(record.subject)
            yield job(record.subject, at, record.at, label)
    for thread, (at, label) in open_jobs.items():
        yield job(thread, at, flights.until, label)
    for thread in sorted(threads):
        yield _named("thread_name", f"executor's thread {thread}", process, _JOBS + thread)


def _named(kind: str, name: str, process: int, track: int) -> Event:
    return {"ph": "M", "name": kind, "pid": process, "tid": track, "args": {"name": name}}
