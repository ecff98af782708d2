"""Seeing inside a running program: which tasks there are, what each waits for, who holds which lock, and why it hangs.

`snapshot()`, `tasks()` and `why()` work at any time and in any thread, with and without `install()`, and for asyncio's
own tasks too. So does `metrics()`, which counts; `prometheus()`, `Collector` and `instrument()` pass that on. `start()`
lets the command `ferrio` ask from outside, by a Unix socket that a thread of its own serves; `stop()` ends that.
Nothing is recorded and no thread exists before `start()`. It also starts the watchdog: a callback that blocks a loop is
reported to the logger `asyncio`, to `ferrio watch`, to `on_blocked()` and in `blocks()`. `trace()` shows what the
loops did last, and `dump_traces()` writes that when something happens.

No code of the program runs for a snapshot, and none of its values are shown: no locals, arguments or results.
"""

import asyncio
from typing import Any

import ferrio.inspect._io_metrics  # adds its metrics
import ferrio.inspect._task_metrics  # noqa: F401 # adds its metrics
from ferrio.inspect._chains import Index
from ferrio.inspect._collect import Collection as _Collection, snapshot
from ferrio.inspect._dumps import dump_traces
from ferrio.inspect._exports import Collector, instrument, prometheus
from ferrio.inspect._lint_limits import LintLimits
from ferrio.inspect._metrics import Distribution, Metric, Point, metrics
from ferrio.inspect._model import (
    SCHEMA_VERSION,
    Awaiter,
    Block,
    ContextValue,
    Creation,
    Deadlock,
    Delay,
    Frame,
    Holder,
    Link,
    Lint,
    Loop,
    Primitive,
    Snapshot,
    Task,
    Thread,
    Times,
    Wait,
    Waker,
    schema,
)
from ferrio.inspect._model_io import Child, Connection, Job, LeftOff, Server, Timer
from ferrio.inspect._objects import identifier
from ferrio.inspect._serve import start, stop
from ferrio.inspect._text import why as _why
from ferrio.inspect._trace import trace
from ferrio.inspect._watching import blocks, on_blocked

__all__ = [
    "SCHEMA_VERSION",
    "Awaiter",
    "Block",
    "Child",
    "Collector",
    "Connection",
    "ContextValue",
    "Creation",
    "Deadlock",
    "Delay",
    "Distribution",
    "Frame",
    "Holder",
    "Job",
    "LeftOff",
    "Link",
    "Lint",
    "LintLimits",
    "Loop",
    "Metric",
    "Point",
    "Primitive",
    "Server",
    "Snapshot",
    "Task",
    "Thread",
    "Timer",
    "Times",
    "Wait",
    "Waker",
    "blocks",
    "dump_traces",
    "instrument",
    "lints",
    "metrics",
    "on_blocked",
    "prometheus",
    "schema",
    "snapshot",
    "start",
    "stop",
    "tasks",
    "trace",
    "why",
]


def tasks() -> list[Task]:
    """The tasks that are not done, of all loops, as in `snapshot()`."""
    return snapshot()["tasks"]


def lints() -> list[Lint]:
    """What is wrong with the program though it runs, as in `snapshot()`. Some lints need several looks."""
    collection = _Collection()
    for _ in collection.slices():
        pass
    return [] if collection.lints is None else collection.lints.found


def why(task: "asyncio.Task[Any] | None" = None) -> str:
    """Why a task does not go on: the chain from it to what it waits for in the end, with file and line at each link.

    Without a task: the deadlocks, and the chains of all tasks that no other one awaits.
    """
    found = snapshot()
    if task is None:
        return "\n".join(_why(found))
    named = Index(found).tasks.get(identifier(task))
    if named is None:
        return "the task is done"
    return "\n".join(_why(found, [named]))
