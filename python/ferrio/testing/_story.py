"""The story of a run: what was chosen that differs from the undisturbed course, and the steps that tasks made."""

import asyncio
from typing import Any, NamedTuple

from ferrio._ferrio import Simulation, _listed_tasks
from ferrio.testing._places import describe_handle, name_of_task, place_of_caller, place_of_task

# What a task does whose last step this was.
ENDS = "ends"


# Of a program that goes on for ever, the first steps tell enough.
MOST_STEPS = 20_000


class Event(NamedTuple):
    """Something that happened."""

    #: When, in simulated time.
    seconds: float
    #: What is told of it; for a step, what the task does since.
    text: str
    #: The task whose step it was; empty for a choice.
    task: str = ""


class Story:
    """What is told of one run."""

    def __init__(self, loop: Any, simulation: Simulation) -> None:
        self._loop = loop
        self._simulation = simulation
        self.events: list[Event] = []
        self._steps = 0
        #: What held the loop up first, in words.
        self.held_up = ""

    def __str__(self) -> str:
        return "\n".join(f"{event.seconds * 1e3:10.3f} ms  {event.text}" for event in self.events if not event.task)

    def note(self, text: str) -> None:
        """Notes something that happens now."""
        self.events.append(Event(self._simulation.now, text))

    def note_step(self, task: Any) -> None:
        """Notes a step of a task."""
        self._steps += 1
        if self._steps > MOST_STEPS:
            return
        text = ENDS if task.done() else f"waits at {place_of_task(task)}"
        self.events.append(Event(self._simulation.now, text, name_of_task(task)))

    def tell(self, what: str, seconds: float, subject: Any, chain: int) -> None:
        """Notes a choice that differs from the undisturbed run; `chain` is that of something pending."""
        # No set: that would make the choice about the order of sets in runs with a story only.
        tasks = [task for task in _listed_tasks() if task.get_loop() is self._loop]
        current = asyncio.current_task(self._loop) if asyncio._get_running_loop() else None
        if what == "is cancelled":
            text = f"{name_of_task(subject)} is cancelled at {place_of_task(subject)}"
        elif what == "slips":
            where = f"{name_of_task(current)} at {place_of_caller()}" if current is not None else "a callback"
            self.held_up = self.held_up or f"held up for {_length(seconds)} at {place_of_caller()}"
            text = f"the loop is held up for {_length(seconds)} before {where} arms its timer"
        elif what == "reads late":
            where = f"{name_of_task(current)} at {place_of_caller()}" if current is not None else place_of_caller()
            self.held_up = self.held_up or f"held up for {_length(seconds)} at {place_of_caller()}"
            text = f"the loop is held up for {_length(seconds)} before {where} reads the clock"
        elif what.startswith("are iterated"):
            text = f"sets of tasks {what}"
        elif subject is None:
            text = f"what was ready {what}" if what.startswith("runs") else f"a pending result {what}"
        elif hasattr(subject, "label"):
            text = f"{subject.label} {what}"
        elif type(subject).__name__ in ("Job", "_Worker"):
            text = f"the result of a job{_of_task(tasks, chain)} {what}"
        else:
            text = f"{describe_handle(subject, tasks)} {what}"
            if what.startswith(("is due", "waits")):
                self.held_up = (
                    self.held_up or f"held up for {_length(seconds)} before {describe_handle(subject, tasks)}"
                )
                text += f": the loop is held up for {_length(seconds)}"
        self.note(text)


def _of_task(tasks: list[Any], chain: int) -> str:
    for task in tasks:
        if Simulation.number(task) == chain:
            return f" of {name_of_task(task)} at {place_of_task(task)}"
    return ""


def _length(seconds: float) -> str:
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.3g} ms"
    return f"{seconds * 1e6:.3g} µs"
