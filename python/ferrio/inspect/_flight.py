"""Reads the flight recorders: what each loop did last, as records, with the names of tasks and functions.

The layout of a record is that of `ferrio_engine::FlightRecord`. Instants are nanoseconds of the monotonic clock.
"""

import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ferrio._ferrio import _flight, _flight_names
from ferrio.inspect import _threads
from ferrio.inspect._looks import look_at
from ferrio.inspect._objects import task_name
from ferrio.inspect._registry import registered_tasks
from ferrio.inspect._stacks import name_of

STEP, CALLBACK, POLL, WAKE, CREATED, DONE, JOB_BEGAN, JOB_ENDED = range(1, 9)

_RECORD = struct.Struct("<6Q")

# Who made something ready to run, if no task did.
BY_CALLBACK, BY_OUTSIDE, BY_UNKNOWN = 0, (1 << 64) - 1, (1 << 64) - 2
_SUBJECT = (1 << 48) - 1


class Record(NamedTuple):
    """One event. What `subject`, `detail` and `other` are depends on the kind."""

    kind: int
    at: int
    took: int
    # How many callbacks were ready when it had ended.
    ready: int
    detail: int
    subject: int
    other: int
    # Who made it ready to run, the number of a task or one of the constants above, and when; 0 if that is not known.
    by: int
    ready_at: int


class Flight(NamedTuple):
    """What one loop did last, oldest first."""

    owner: int
    # The system's number of its thread; 0 if it does not run.
    thread: int
    thread_name: str | None
    records: bytes
    # How many older records are lost.
    lost: int
    # The number of the task that runs, or 0 for a callback, and since when; None if nothing does.
    running: tuple[int, int] | None
    # Since when it waits for the system; 0 if it does not.
    polling_since: int


@dataclass
class Flights:
    """What all loops did, up to `until`."""

    until: int
    loops: list[Flight]
    jobs: bytes
    # The names of functions, by their labels.
    labels: dict[int, str] = field(default_factory=dict)
    # The names of tasks, and of their coroutines, by the tasks' numbers.
    tasks: dict[int, str] = field(default_factory=dict)
    coroutines: dict[int, str] = field(default_factory=dict)


def read(since: int = 0) -> Flights:
    """What is recorded of what ended at `since` or later."""
    alive = {id(task): task for task in registered_tasks()}
    jobs, labels, finished, numbers = _flight_names(since)
    names = _threads.native_names()
    found = Flights(until=time.monotonic_ns(), loops=[], jobs=jobs)
    found.labels = {label: str(text) for label, text in labels}
    found.tasks = {number: str(name) for number, name in finished}
    for address, number, label in numbers:
        task = alive.get(address)
        if label in found.labels:
            found.coroutines[number] = found.labels[label]
        if task is not None:
            found.tasks[number] = task_name(task)
            if number not in found.coroutines and (coroutine := _coroutine(task)):
                found.coroutines[number] = coroutine
    for owner, thread, records, lost, running, polling_since in _flight(since):
        found.loops.append(Flight(owner, thread, names.get(thread), records, lost, running, polling_since))
    return found


def _coroutine(task: Any) -> str | None:
    look = look_at(task)
    return name_of(look.coroutines[0]) if look is not None and look.coroutines else None


def decoded(records: bytes) -> Iterator[Record]:
    """The records."""
    for at, took, what, other, by, ready_at in _RECORD.iter_unpack(records):
        yield Record(
            what >> 56, at, took & _SUBJECT, took >> 48, (what >> 48) & 0xFF, what & _SUBJECT, other, by, ready_at
        )  # fmt: skip
