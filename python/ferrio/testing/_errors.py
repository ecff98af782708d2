"""What a simulated run may fail with, beside the program's own exceptions."""

from typing import Any


class Deadlock(Exception):
    """Nothing is ready, no timer is armed and no other thread is at work, but the program has not ended."""


class Livelock(Exception):
    """The program takes more turns of the loop than a run may."""


class InvariantError(AssertionError):
    """What `sim.always` or `sim.eventually` demands does not hold."""


class Drift(Exception):
    """A token does not fit the program: the program has changed, or does not take the same path each time."""


class RealIOError(RuntimeError):
    """A simulated program calls for real I/O."""


class UnhandledError(Exception):
    """The loop's exception handler was called: a callback failed, or nothing retrieved the exception of a task."""

    def __init__(self, context: dict[str, Any]) -> None:
        exception = context.get("exception")
        text = context.get("message", "unhandled")
        super().__init__(f"{text}: {exception!r}" if exception is not None else text)
        self.context = context
        self.__cause__ = exception
