"""Threads that a simulated program starts itself: they run in real time, and what they do is waited for."""

import threading
from collections.abc import Callable
from typing import Any

from ferrio._ferrio import Simulation
from ferrio.testing._surroundings import real_monotonic, real_sleep
from ferrio.testing._threads import _start

# How long, in seconds, a world with nothing else to do waits for a foreign thread.
PATIENCE = 30.0

# How long a turn of a program takes that waits for a foreign thread without being idle.
MOMENT = 0.00005


class ForeignThreads:
    """The threads that the program of the current run has started."""

    def __init__(self, loop: Any, simulation: Simulation) -> None:
        self._loop = loop
        self._simulation = simulation
        self.started: list[threading.Thread] = []
        #: Whether a run of this world has started one.
        self.were_seen = False

    def begin_run(self) -> None:
        """Forgets those of the run before."""
        if self.started:
            self.started.clear()

    def replacement(self, is_inside: Callable[[], bool]) -> tuple[Any, str, Any]:
        """What takes the place of `Thread.start`."""

        def start(thread: threading.Thread) -> None:
            if is_inside():
                self.started.append(thread)
                self.were_seen = True
                self._simulation.note_foreign_thread()
            _start(thread)

        return threading.Thread, "start", start

    def wait(self, seconds: float = PATIENCE) -> bool:
        """Waits until one of them calls the loop, in real time; whether one did."""
        deadline = real_monotonic() + seconds
        while any(thread.is_alive() for thread in self.started):
            if Simulation.ready(self._loop) or real_monotonic() >= deadline:
                break
            real_sleep(0.0005)
        return Simulation.ready(self._loop) > 0

    def pause(self) -> None:
        """Lets them run for a moment of real time."""
        if any(thread.is_alive() for thread in self.started):
            real_sleep(MOMENT)

    def check_gone(self) -> None:
        """Raises TimeoutError if one is at work and does not call the loop."""
        names = ", ".join(thread.name for thread in self.started if thread.is_alive())
        if names:
            raise TimeoutError(f"nothing has happened for {PATIENCE:g} s while other threads are at work: {names}")
