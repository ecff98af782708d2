"""What an exploration found."""

import os
from dataclasses import dataclass, field

from ferrio.testing import _trace
from ferrio.testing._story import Story


@dataclass(frozen=True)
class Failure:
    """A schedule in which a program fails, shrunk to the choices that matter."""

    #: The exception: the program's own, or Deadlock, Livelock or UnhandledError.
    exception: BaseException
    #: Short text that `replay` turns into the same run.
    token: str
    #: The weakest freedom that suffices: always, arrival, stall, tie, set, latency or any.
    classification: str
    #: The same as a sentence.
    explanation: str
    #: What happened: one line for each choice that matters.
    story: str
    _told: Story | None = field(default=None, repr=False, compare=False)

    def save_trace(self, file: str | os.PathLike[str]) -> None:
        """Write the run as a trace: Perfetto (https://ui.perfetto.dev) and chrome://tracing open it.

        Each task has a track, in simulated time; the choices that matter have one of their own.
        """
        if self._told is None:
            raise ValueError("this failure was not made by an exploration: its run is not known")
        _trace.save(self._told, f"schedule {self.token}", file)

    def __str__(self) -> str:
        error = f"{type(self.exception).__name__}: {self.exception}"
        lines = [error, f"{self.classification}: {self.explanation}", *self.story.splitlines(), f"token: {self.token}"]
        return "\n".join(lines)


@dataclass
class Report:
    """What an exploration did and found."""

    #: The first failure, or None.
    failure: Failure | None = None
    #: How many schedules were run.
    schedules: int = 0
    #: How many of them differed.
    distinct: int = 0
    #: Whether these were all schedules that there are.
    exhausted: bool = False
    #: The estimated probability that one more random schedule leads to something new; 0 when exhausted.
    unseen: float = 1.0
    #: How far the clock could jump at once, in seconds.
    stall: float = 0.0
    #: Whether Ctrl-C ended the exploration.
    interrupted: bool = False
    #: What the results may depend on beside the schedule, if anything: threads that are none of the simulation's.
    nondeterminism: list[str] = field(default_factory=list)
    #: What runs left behind: tasks that they had not cancelled and, with `leftovers="fail"`, all else.
    leftovers: list[str] = field(default_factory=list)
    #: How many schedules the search had run when it found the failure.
    found_after: int | None = None

    def check(self) -> None:
        """Raise the failure's exception, if there is one, with the story and the token as notes."""
        if self.failure is not None:
            for line in str(self.failure).splitlines()[1:]:
                self.failure.exception.add_note(line)
            raise self.failure.exception

    def __str__(self) -> str:
        count = f"all {self.distinct} schedules" if self.exhausted else f"{self.schedules} schedules"
        if not self.exhausted:
            count += f", about {self.unseen:.1%} unseen"
        stall = f"stalls of up to {self.stall * 1e3:g} ms" if self.stall else "no stalls"
        ending = " (interrupted)" if self.interrupted else ""
        passed = "none has failed" if self.interrupted else "passed"
        found = passed if self.failure is None else f"failed:\n{self.failure}"
        return f"{count}, {stall}{ending}: {found}"
