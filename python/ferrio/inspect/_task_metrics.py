"""The histograms of the times of tasks, as metrics: they are filled while inspection is on."""

import itertools
from collections.abc import Iterator

from ferrio._ferrio import _task_durations
from ferrio.inspect._metrics import DEFINITIONS, SOURCES, Distribution, Measurement, thread_of
from ferrio.inspect._registry import running_loops

_POLL, _SCHEDULED = "ferrio.task.poll", "ferrio.task.scheduled"


def _durations() -> Iterator[Measurement]:
    for owner in running_loops():
        for name, (bounds, counts, total) in zip((_POLL, _SCHEDULED), _task_durations(owner) or (), strict=False):
            *limited, count = itertools.accumulate(counts)
            limits = [bound / 1e9 for bound in bounds]
            value = Distribution(limits=limits, counts=limited, sum=total / 1e9, count=count)
            yield Measurement(name, value, (thread_of(owner),))


DEFINITIONS[_POLL] = ("histogram", "s", "How long tasks ran at a time.")
DEFINITIONS[_SCHEDULED] = ("histogram", "s", "How long tasks were ready before they ran.")
SOURCES.append(_durations)
