"""Random programs that use one primitive: the same steps must give the same trace with asyncio's and with ferrio's.

A program is a list of steps. A step starts a task, cancels one, lets a turn of the loop pass, or calls a method. The
trace has the results of the steps, the order in which tasks continue, and the primitive's repr after each step.
"""

import asyncio
import re

from hypothesis import strategies

from tests.support.differential import masked, outcome

CLASS = re.compile(r"\b(asyncio\.(locks|queues)|ferrio)\.")


def shown(primitive) -> str:
    """The primitive's repr without the name of its implementation."""
    return CLASS.sub("", masked(repr(primitive)))


def indices():
    return strategies.integers(0, 50)


class Program:
    """Runs steps: a step is a name with arguments; the name is that of a method here or in a subclass."""

    def __init__(self, module, trace: list):
        self.module = module
        self.trace = trace
        self.tasks: list[asyncio.Task] = []

    async def run(self, steps) -> None:
        for name, *arguments in steps:
            result = getattr(self, "do_" + name)(*arguments)
            if asyncio.iscoroutine(result):
                await result
            self.trace.append((name, self.show()))
        for _ in range(12):
            await asyncio.sleep(0)
        self.trace.append([task.done() for task in self.tasks])
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.trace.append(self.show())

    def start(self, work) -> None:
        """Starts a task that appends the outcome of `work(number)` to the trace."""
        number = len(self.tasks)

        async def worker():
            try:
                self.trace.append((number, "returned", await work(number)))
            except (asyncio.CancelledError, Exception) as error:
                self.trace.append((number, "raised", type(error).__name__, CLASS.sub("", masked(error))))

        self.tasks.append(asyncio.create_task(worker()))

    def call(self, function, *arguments) -> None:
        self.trace.append(outcome(function, *arguments))

    async def do_turn(self) -> None:
        await asyncio.sleep(0)

    def do_cancel(self, index) -> None:
        if self.tasks:
            self.trace.append(self.tasks[index % len(self.tasks)].cancel())

    def show(self) -> object:
        raise NotImplementedError


def steps(*kinds):
    """Lists of steps of these kinds, with turns and cancellations among them."""
    turn = strategies.tuples(strategies.just("turn"))
    cancel = strategies.tuples(strategies.just("cancel"), indices())
    return strategies.lists(strategies.one_of(*kinds, turn, turn, cancel), max_size=40)


def step(name, *arguments):
    return strategies.tuples(strategies.just(name), *arguments)
