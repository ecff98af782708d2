"""What a simulated program sees in place of the process's clocks and random numbers.

Everything is put back when the simulation ends. What a program took by name before (`from time import monotonic`) stays
the process's.
"""

import os
import random
import threading
import time
from asyncio import events
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# The wall clock of a simulation begins here: 2024-01-01, so that no run depends on the day.
EPOCH = 1_704_067_200.0

real_sleep = time.sleep
real_monotonic = time.monotonic


def clocks(
    is_inside: Callable[[], bool],
    now: Callable[[], float],
    advance: Callable[[float], None],
    epoch: float = EPOCH,
) -> list[Any]:
    """Replacements of the functions of `time`, which show virtual time to the simulation's threads."""

    def virtual(real: Callable[[], Any], convert: Callable[[float], Any]) -> Callable[[], Any]:
        def read() -> Any:
            return convert(now()) if is_inside() else real()

        read.__name__ = real.__name__
        return read

    def sleep(seconds: float, /) -> None:
        if is_inside():
            if seconds < 0:
                raise ValueError("sleep length must be non-negative")
            advance(seconds)
        else:
            real_sleep(seconds)

    return [
        (time, "time", virtual(time.time, lambda now: epoch + now)),
        (time, "time_ns", virtual(time.time_ns, lambda now: round(epoch * 1e9) + round(now * 1e9))),
        (time, "monotonic", virtual(time.monotonic, lambda now: now)),
        (time, "monotonic_ns", virtual(time.monotonic_ns, lambda now: round(now * 1e9))),
        (time, "perf_counter", virtual(time.perf_counter, lambda now: now)),
        (time, "perf_counter_ns", virtual(time.perf_counter_ns, lambda now: round(now * 1e9))),
        (time, "sleep", sleep),
    ]


def random_bytes(is_inside: Callable[[], bool], draw: Callable[[int], bytes]) -> list[Any]:
    """Replacements of what gives random bytes: `os.urandom`, and through it `uuid4`, `secrets` and `SystemRandom`."""
    real = os.urandom

    def urandom(size: int, /) -> bytes:
        return draw(size) if is_inside() else real(size)

    return [(os, "urandom", urandom), (random, "_urandom", urandom)]


def own_thread(loop: Any, is_worker: Callable[[int], bool]) -> Callable[[], bool]:
    """Whether the calling thread belongs to the simulation: it runs its loop, or a job that runs no loop of its own."""
    thread = threading.get_ident()

    def is_inside() -> bool:
        caller = threading.get_ident()
        if caller == thread:
            return events._get_running_loop() is loop
        return is_worker(caller) and events._get_running_loop() is None

    return is_inside


@contextmanager
def replaced(replacements: list[tuple[Any, str, Any]]) -> Iterator[None]:
    """Sets attributes, and puts back what was there before."""
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in replacements]
    try:
        for owner, name, value in replacements:
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in reversed(before):
            setattr(owner, name, value)
