"""What a simulated run may fail with, beside the program's own exceptions."""

from typing import Any


class Deadlock(Exception):
    """Nothing is ready, no timer is armed and no other thread is at work, but the program has not ended."""


class Livelock(Exception):
    """The program takes more turns of the loop than a run may."""


class InvariantError(AssertionError):
    """What `sim.always` or `sim.eventually` demands does not hold."""


class Drift(Exception):
    """A token or a recording does not fit the program: that has changed, or does not take the same path each time."""


class EndOfRecording(Exception):
    """A replayed program goes on where its recording ends: the process was killed then, or recording was ended."""


class RealIOError(RuntimeError):
    """A simulated program calls for real I/O."""


class LeftoverError(AssertionError):
    """The program has ended and left something: tasks, locks that are held, open sockets or other descriptors."""

    def __init__(self, leftovers: list[str]) -> None:
        super().__init__("the program has ended and left:\n" + "\n".join(f"  {each}" for each in leftovers))
        #: One line for each.
        self.leftovers = leftovers


class SwallowedCancellation(Exception):
    """Tasks that were cancelled when the program had ended, as `asyncio.run` does, go on for ever."""

    def __init__(self, tasks: list[str]) -> None:
        lines = "".join(f"\n  {task}" for task in tasks)
        super().__init__(f"the program cannot end, because tasks go on after they were cancelled:{lines}")
        #: One line for each.
        self.tasks = tasks


class UnhandledError(Exception):
    """The loop's exception handler was called: a callback failed, or nothing retrieved the exception of a task."""

    def __init__(self, context: dict[str, Any]) -> None:
        exception = context.get("exception")
        text = context.get("message", "unhandled")
        super().__init__(f"{text}: {exception!r}" if exception is not None else text)
        self.context = context
        self.__cause__ = exception
