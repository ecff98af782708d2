"""Random programs of Rust and Python levels do, turn by turn, what the same programs do in Python alone.

FERRIO_PROGRAMS says how many there are.
"""

import asyncio
import gc
import os
import random

import pytest
import rust_extension

PROGRAMS = int(os.environ.get("FERRIO_PROGRAMS", "150"))


class InPython:
    """The functions of the extension, in Python."""

    @staticmethod
    async def lazy(value):
        return value

    @staticmethod
    async def awaited(awaitable):
        return await awaitable

    @classmethod
    def ready(cls, value):
        return asyncio.get_running_loop().create_task(cls.lazy(value))

    @staticmethod
    def wake_once(value):
        return asyncio.get_running_loop().create_task(asyncio.sleep(0, value))

    @staticmethod
    def failing(text):
        async def fail():
            raise ValueError(text)

        return asyncio.get_running_loop().create_task(fail())

    @classmethod
    def nested(cls, awaitable):
        async def outer():
            return await asyncio.get_running_loop().create_task(cls.awaited(awaitable))

        return asyncio.get_running_loop().create_task(outer())


class Program:
    """A tree of calls, and the turns in which some of its tasks are cancelled."""

    def __init__(self, seed, functions):
        self.random = random.Random(seed)
        self.functions = functions
        self.trace = []
        self.turn = 0

    def leaf(self):
        kind = self.random.randrange(7)
        value = self.random.randrange(100)
        if kind == 0:
            return self.functions.lazy(value)
        if kind == 1:
            return self.functions.ready(value)
        if kind == 2:
            return self.functions.wake_once(value)
        if kind == 3:
            return self.functions.failing(str(value))
        if kind == 4:
            return asyncio.get_running_loop().create_future()
        if kind == 5:
            return self.python(f"raises {value}", asyncio.sleep(0), error=KeyError(value))
        return self.python(f"sleeps {value}", asyncio.sleep(0, value))

    async def python(self, name, awaitable, error=None, is_stubborn=False):
        try:
            result = await awaitable
        except asyncio.CancelledError:
            self.note(name, "is cancelled")
            await asyncio.sleep(0)
            self.note(name, "is clean")
            if is_stubborn:
                return name
            raise
        except (KeyError, ValueError) as failure:
            self.note(name, repr(failure))
            raise
        self.note(name, result)
        if error is not None:
            raise error
        return result

    def tree(self, depth):
        if depth == 0:
            return self.leaf()
        inner = self.tree(depth - 1)
        kind = self.random.randrange(9)
        if kind < 2:
            return self.functions.awaited(inner)
        if kind < 4:
            return self.functions.nested(inner)
        if kind == 4:
            return self.gathered(inner, self.leaf())
        if kind == 5:
            return self.grouped(inner, self.leaf())
        if kind == 6:
            return self.shielded(inner)
        return self.python(f"level {depth}", inner, is_stubborn=self.random.random() < 0.1)

    async def gathered(self, *awaitables):
        results = await asyncio.gather(*map(self.functions.awaited, awaitables), return_exceptions=True)
        return [repr(result) for result in results]

    async def grouped(self, *awaitables):
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self.functions.awaited(awaitable)) for awaitable in awaitables]
        except BaseExceptionGroup as failures:
            return sorted(map(repr, failures.exceptions))
        return [task.result() for task in tasks]

    async def shielded(self, awaitable):
        inner = asyncio.ensure_future(awaitable)
        try:
            return await asyncio.shield(inner)
        except asyncio.CancelledError:
            self.note("shield", inner.done())
            raise

    def note(self, *what):
        self.trace.append((self.turn, *what))

    async def run(self):
        tasks = []
        for number in range(self.random.randrange(1, 6)):
            tasks.append(asyncio.ensure_future(self.tree(self.random.randrange(6))))
            tasks[-1].add_done_callback(lambda task, number=number: self.note(number, self.outcome(task)))
        cancels = {self.random.randrange(12): self.random.choice(tasks) for _ in range(self.random.randrange(4))}
        for self.turn in range(40):
            if self.turn in cancels:
                self.note("cancel", cancels[self.turn].cancel("why"))
            if self.turn > 20:
                # In the order of their creation, which their names have: a set has none.
                others = asyncio.all_tasks() - {asyncio.current_task()}
                for task in sorted(others, key=lambda task: int(task.get_name().rpartition("-")[2])):
                    task.cancel()
            await asyncio.sleep(0)

    @staticmethod
    def outcome(task):
        if task.cancelled():
            return "cancelled"
        return repr(task.exception() or task.result())


@pytest.fixture
def collector_is_enabled_after():
    yield
    gc.enable()


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_programs_do_the_same_with_and_without_rust(loop, collector_is_enabled_after):
    loop.set_exception_handler(lambda _, context: None)
    count = 0
    for seed in range(PROGRAMS):
        traces = []
        for functions in (InPython, rust_extension):
            program = Program(seed, functions)
            # Tasks that nobody waits for any more are garbage, whose time is the collector's.
            gc.disable()
            loop.run_until_complete(program.run())
            gc.enable()
            gc.collect()
            traces.append(program.trace)
        assert traces[0] == traces[1], f"program {seed}"
        count += len(traces[0])
    assert count > PROGRAMS
