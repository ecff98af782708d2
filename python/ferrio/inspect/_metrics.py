"""`metrics()`: what can be counted without cost, as numbers with names like OpenTelemetry's for Node's event loop.

A *source* is a function that yields measurements of the process; `metrics()` asks all of them and adds up what has the
same name and attributes. `SOURCES` and `DEFINITIONS` are the place for more: a part that counts something else appends
its source and says what its names mean. No source runs code of the program.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypedDict

from ferrio import _ferrio
from ferrio._ferrio import _activity_of, _count_tasks
from ferrio.inspect import _threads, _watching
from ferrio.inspect._collect import delay_of
from ferrio.inspect._looks import is_done
from ferrio.inspect._model import Delay
from ferrio.inspect._objects import attribute, forget_classes, type_name
from ferrio.inspect._registry import loop_of, registered_tasks, running_loops, scheduled_in
from ferrio.inspect._stacks import is_running


class Distribution(TypedDict):
    """How often a value was at most each limit, the sum of all values, and how many there were."""

    limits: list[float]
    counts: list[int]
    sum: float
    count: int


class Point(TypedDict):
    """One value of a metric."""

    attributes: dict[str, str]
    value: float | Distribution


class Metric(TypedDict):
    """A metric. What counters and histograms count only grows; a gauge is what is true now."""

    kind: Literal["counter", "gauge", "histogram"]
    # "s", "By" for bytes, "1" for a ratio, or what is counted in braces, as in OpenTelemetry.
    unit: str
    description: str
    points: list[Point]


class Measurement(NamedTuple):
    """What a source yields."""

    name: str
    value: float | Distribution
    attributes: tuple[tuple[str, str], ...] = ()


# Of the delay, as gauges.
_PERCENTILES = (50, 90, 99)

DEFINITIONS: dict[str, tuple[Literal["counter", "gauge", "histogram"], str, str]] = {
    "ferrio.eventloop.time": ("counter", "s", "Time the loop has run, active and idle."),
    "ferrio.eventloop.utilization": ("gauge", "1", "Share of its time that the loop has been active."),
    "ferrio.eventloop.sleeps": ("counter", "{sleep}", "How many times the loop had nothing to do and waited."),
    "ferrio.eventloop.ready": ("gauge", "{callback}", "Callbacks that are due and have not run yet."),
    "ferrio.eventloop.timers": ("gauge", "{timer}", "Timers that are not due yet."),
    "ferrio.eventloop.descriptors": ("gauge", "{descriptor}", "Descriptors that the loop watches."),
    "ferrio.eventloop.delay": ("histogram", "s", "How long events had to wait until the loop looked for them."),
    **{
        f"ferrio.eventloop.delay.p{each}": (
            "gauge",
            "s",
            f"The delay that {each} % of the samples do not exceed, about.",
        )
        for each in _PERCENTILES
    },
    "ferrio.eventloop.blocked": ("counter", "{block}", "Callbacks that ran for longer than the watchdog's limit."),
    "ferrio.eventloop.blocked.time": ("counter", "s", "Time that such callbacks took together."),
    "ferrio.task.count": ("gauge", "{task}", "Tasks that are not done, by state."),
    "ferrio.executor.queue": ("gauge", "{job}", "Jobs that wait for a thread of the default executor."),
    "ferrio.executor.threads": ("gauge", "{thread}", "Threads of the default executor."),
}

LOOP = "thread"
LOOP_STATE = "ferrio.eventloop.state"
TASK_STATE = "ferrio.task.state"


@dataclass
class Counted:
    """A loop, and what is counted of it."""

    owner: Any
    tasks: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("running", "ready", "waiting"), 0))


def metrics() -> dict[str, Metric]:
    """The metrics of this process by their names, as plain data.

    Loops are told apart by the name of the thread that runs them: the attribute `thread`, "none" for loops that do not
    run. What is unknown, such as the sleeps of asyncio's own loop, is not there.
    """
    totals: dict[str, dict[tuple[tuple[str, str], ...], float | Distribution]] = {}
    for source in list(SOURCES):
        for name, value, attributes in source():
            points = totals.setdefault(name, {})
            points[attributes] = _added(points.get(attributes), value)
    found: dict[str, Metric] = {}
    for name, points in totals.items():
        kind, unit, description = DEFINITIONS[name]
        shown = [Point(attributes=dict(attributes), value=value) for attributes, value in points.items()]
        found[name] = Metric(kind=kind, unit=unit, description=description, points=shown)
    _add_utilization(found)
    _add_percentiles(found)
    return found


def _added(one: float | Distribution | None, other: float | Distribution) -> float | Distribution:
    if one is None:
        return other
    if isinstance(one, dict) and isinstance(other, dict):
        # Both have the limits that their source always has.
        counts = [left + right for left, right in zip(one["counts"], other["counts"], strict=True)]
        return Distribution(
            limits=one["limits"], counts=counts, sum=one["sum"] + other["sum"], count=one["count"] + other["count"]
        )
    assert not isinstance(one, dict)
    assert not isinstance(other, dict)
    return one + other


def _add_utilization(found: dict[str, Metric]) -> None:
    """A share cannot be added up, so it is made of the sums of the times."""
    times: dict[str, dict[str, float]] = {}
    for point in found["ferrio.eventloop.time"]["points"] if "ferrio.eventloop.time" in found else ():
        assert not isinstance(point["value"], dict)
        times.setdefault(point["attributes"][LOOP], {})[point["attributes"][LOOP_STATE]] = point["value"]
    points = [
        Point(attributes={LOOP: thread}, value=each["active"] / max(each["active"] + each["idle"], 1e-9))
        for thread, each in times.items()
    ]
    if points:
        kind, unit, description = DEFINITIONS["ferrio.eventloop.utilization"]
        found["ferrio.eventloop.utilization"] = Metric(kind=kind, unit=unit, description=description, points=points)


def _add_percentiles(found: dict[str, Metric]) -> None:
    """Neither can percentiles."""
    if (delay := found.get("ferrio.eventloop.delay")) is None:
        return
    for percent in _PERCENTILES:
        name = f"ferrio.eventloop.delay.p{percent}"
        points = [
            Point(attributes=point["attributes"], value=_percentile(point["value"], percent / 100))
            for point in delay["points"]
            if isinstance(point["value"], dict) and point["value"]["count"]
        ]
        if points:
            kind, unit, description = DEFINITIONS[name]
            found[name] = Metric(kind=kind, unit=unit, description=description, points=points)


def _percentile(known: Distribution, share: float) -> float:
    """The value that a share of all values does not exceed, supposed that those of a bucket lie evenly in it."""
    wanted, lower, before = share * known["count"], 0.0, 0
    for limit, count in zip(known["limits"], known["counts"], strict=True):
        if count >= wanted:
            return lower + (limit - lower) * (wanted - before) / max(count - before, 1)
        lower, before = limit, count
    return lower


def loops() -> list[Counted]:
    """The loops that have tasks or run, with the states of their tasks."""
    counted: dict[int, Counted] = {}
    for owner in running_loops():
        counted[id(owner)] = Counted(owner)
    for owner, running, ready, waiting in _count_tasks():
        tasks = counted.setdefault(id(owner), Counted(owner)).tasks
        tasks["running"] += running
        tasks["ready"] += ready
        tasks["waiting"] += waiting
    try:
        for task in registered_tasks():
            if _ferrio.Task not in type(task).__mro__ and not is_done(task):
                owner = loop_of(task)
                if owner is not None:
                    counted.setdefault(id(owner), Counted(owner)).tasks[_state_of(task)] += 1
    finally:
        forget_classes()
    return list(counted.values())


def _state_of(task: Any) -> str:
    """The state of a task of asyncio's own."""
    if is_running(attribute(task, "_coro")):
        return "running"
    waiter = attribute(task, "_fut_waiter")
    return "ready" if waiter is None or is_done(waiter) else "waiting"


def thread_of(owner: Any) -> tuple[str, str]:
    """The attribute that names the thread in which a loop runs."""
    thread = attribute(owner, "_thread_id")
    if thread is None:
        return LOOP, "none"
    return LOOP, _threads.names().get(thread) or "unknown"


def _of_loops() -> Iterator[Measurement]:
    for counted in loops():
        owner, where = counted.owner, thread_of(counted.owner)
        for state, count in counted.tasks.items():
            yield Measurement("ferrio.task.count", count, (where, (TASK_STATE, state)))
        for name, entries in zip(("ready", "timers"), scheduled_in(owner), strict=True):
            if entries is not None:
                yield Measurement(f"ferrio.eventloop.{name}", entries, (where,))
        if _ferrio.EventLoop in type(owner).__mro__:
            yield from _activity(owner, where)
            if (delay := delay_of(owner)) is not None:
                yield Measurement("ferrio.eventloop.delay", _distribution(delay), (where,))
        yield from _executor(owner, where)


def _distribution(delay: Delay) -> Distribution:
    """The histogram of a loop's delay; there, each bucket counts by itself."""
    counts = list(itertools.accumulate(delay["counts"]))
    return Distribution(limits=delay["bounds"], counts=counts[:-1], sum=delay["sum"], count=counts[-1])


def _of_watchdog() -> Iterator[Measurement]:
    blocked, took = _watching.totals()
    yield Measurement("ferrio.eventloop.blocked", blocked)
    yield Measurement("ferrio.eventloop.blocked.time", took)


def _activity(owner: Any, where: tuple[str, str]) -> Iterator[Measurement]:
    ran, asleep, sleeps, descriptors = _activity_of(owner)
    yield Measurement("ferrio.eventloop.time", max(ran - asleep, 0) / 1e9, (where, (LOOP_STATE, "active")))
    yield Measurement("ferrio.eventloop.time", asleep / 1e9, (where, (LOOP_STATE, "idle")))
    yield Measurement("ferrio.eventloop.sleeps", sleeps, (where,))
    yield Measurement("ferrio.eventloop.descriptors", descriptors, (where,))


def _executor(owner: Any, where: tuple[str, str]) -> Iterator[Measurement]:
    executor = attribute(owner, "_default_executor")
    jobs, threads = attribute(executor, "_work_queue"), attribute(executor, "_threads")
    # Their methods run no code of the program.
    if type_name(jobs) in ("_queue.SimpleQueue", "ferrio.JobQueue") and type(threads) is set:
        yield Measurement("ferrio.executor.queue", jobs.qsize(), (where,))
        yield Measurement("ferrio.executor.threads", len(threads), (where,))


# Asked in this order.
SOURCES: list[Callable[[], Iterable[Measurement]]] = [_of_loops, _of_watchdog]
