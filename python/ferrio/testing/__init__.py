"""Deterministic tests of asyncio programs, on the loop that runs them in production.

`run` runs a program in virtual time, `explore` under many schedules that are legal for it, `replay` under the one that
failed. `simulate` makes a test of an async function. `record` records a production run, which `replay` repeats. See the
manual for what is legal and what a finding means.
"""

from ferrio.testing._errors import (
    Deadlock,
    Drift,
    EndOfRecording,
    InvariantError,
    LeftoverError,
    Livelock,
    RealIOError,
    SwallowedCancellation,
    UnhandledError,
)
from ferrio.testing._explore import explore, replay, run
from ferrio.testing._processes import FakeProcess
from ferrio.testing._recordings import record
from ferrio.testing._report import Failure, Report
from ferrio.testing._schedules import Schedule, schedules
from ferrio.testing._sim import sim
from ferrio.testing._simulate import simulate

__all__ = [
    "Deadlock",
    "Drift",
    "EndOfRecording",
    "Failure",
    "FakeProcess",
    "InvariantError",
    "LeftoverError",
    "Livelock",
    "RealIOError",
    "Report",
    "Schedule",
    "SwallowedCancellation",
    "UnhandledError",
    "explore",
    "record",
    "replay",
    "run",
    "schedules",
    "sim",
    "simulate",
]
