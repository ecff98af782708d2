"""Threads that are none of the simulation's: they run in real time, and what they do is waited for.

The program has started them itself, or they are native threads of a library. Those reach the loop by its methods, or by
the inbox of ferrio-bridge: the only descriptor of the system's that a simulated loop watches.
"""

import threading
from collections.abc import Callable
from typing import Any

from ferrio._ferrio import Simulation
from ferrio.testing._native_threads import NativeThreads
from ferrio.testing._surroundings import real_monotonic, real_sleep
from ferrio.testing._threads import _start

# How long, in seconds, a world with nothing else to do waits for a foreign thread.
PATIENCE = 30.0

# How long a turn of a program takes that waits for a foreign thread without being idle.
MOMENT = 0.00005


class ForeignThreads:
    """The threads that may call the loop of the current run."""

    def __init__(self, loop: Any, simulation: Simulation) -> None:
        self._loop = loop
        self._simulation = simulation
        #: Those that the program has started.
        self.started: list[threading.Thread] = []
        self.natives = NativeThreads()
        self._has_inbox = False
        #: Whether a run of this world has started one.
        self.were_seen = False

    def begin_run(self) -> None:
        """Forgets those of the run before."""
        if self.started:
            self.started.clear()
        if self._has_inbox:
            self._simulation.note_foreign_thread()

    def open_inbox(self) -> None:
        """The loop watches an inbox, into which native threads put what they want of it. It is the loop's for good."""
        self._has_inbox = True
        self._simulation.note_foreign_thread()

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
        were_natives_at_work = False
        while True:
            # Asked first: what the last one has done before it ended is found after that.
            are_natives_at_work = self.natives.are_at_work()
            may_call = are_natives_at_work or any(thread.is_alive() for thread in self.started)
            were_natives_at_work |= are_natives_at_work
            if self._has_inbox:
                Simulation.poll(self._loop)
            if Simulation.ready(self._loop):
                self.were_seen |= were_natives_at_work
                return True
            if not may_call or real_monotonic() >= deadline:
                return False
            real_sleep(0.0005)

    def pause(self) -> None:
        """Lets them run for a moment of real time."""
        if any(thread.is_alive() for thread in self.started):
            real_sleep(MOMENT)

    def check_gone(self) -> None:
        """Raises TimeoutError if one is at work and does not call the loop."""
        names = ", ".join(thread.name for thread in self.started if thread.is_alive())
        if not names and self.natives.are_at_work():
            names = "native ones, of a library"
        if names:
            raise TimeoutError(f"nothing has happened for {PATIENCE:g} s while other threads are at work: {names}")
