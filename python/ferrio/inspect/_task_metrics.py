"""What is counted and timed of tasks, callbacks, primitives and jobs while inspection is on, as metrics."""

import itertools
from collections.abc import Iterator

from ferrio._ferrio import _recorded_totals, _task_durations, _wait_durations
from ferrio.inspect._metrics import DEFINITIONS, SOURCES, Distribution, Measurement, thread_of
from ferrio.inspect._registry import running_loops

_POLL, _SCHEDULED, _CALLBACK = "ferrio.task.poll", "ferrio.task.scheduled", "ferrio.eventloop.callback"
_CREATED, _DONE, _DESTROYED = "ferrio.task.created", "ferrio.task.done", "ferrio.task.destroyed_pending"
_WAIT, _JOB_WAIT = "ferrio.primitive.wait", "ferrio.executor.wait"
_KIND = "ferrio.primitive.kind"

DEFINITIONS |= {
    _POLL: ("histogram", "s", "How long tasks ran at a time."),
    _SCHEDULED: ("histogram", "s", "How long tasks were ready before they ran."),
    _CALLBACK: ("histogram", "s", "How long callbacks ran that are no steps of tasks."),
    _CREATED: ("counter", "{task}", "Tasks that were created since inspection began."),
    _DONE: ("counter", "{task}", "Tasks that have ended since inspection began."),
    _DESTROYED: ("counter", "{task}", "Tasks that were destroyed before they had ended, since inspection began."),
    _WAIT: ("histogram", "s", "How long tasks waited for locks and other primitives, by kind; waits that have ended."),
    _JOB_WAIT: ("histogram", "s", "How long jobs waited for a thread of ferrio's executor."),
}


def _distribution(found: tuple[list[int], list[int], int]) -> Distribution:
    """A histogram in nanoseconds, each of whose buckets counts by itself."""
    bounds, counts, total = found
    *limited, count = itertools.accumulate(counts)
    return Distribution(limits=[bound / 1e9 for bound in bounds], counts=limited, sum=total / 1e9, count=count)


def _durations() -> Iterator[Measurement]:
    for owner in {id(each): each for each in running_loops()}.values():
        for name, found in zip((_POLL, _SCHEDULED, _CALLBACK), _task_durations(owner) or (), strict=False):
            yield Measurement(name, _distribution(found), (thread_of(owner),))


def _totals() -> Iterator[Measurement]:
    if (totals := _recorded_totals()) is not None:
        *counts, job_waits = totals
        for name, value in zip((_CREATED, _DONE, _DESTROYED), counts, strict=True):
            yield Measurement(name, value)
        yield Measurement(_JOB_WAIT, _distribution(job_waits))
    for kind, found in _wait_durations() or ():
        yield Measurement(_WAIT, _distribution(found), ((_KIND, kind),))


SOURCES.extend((_durations, _totals))
