"""`World`: the objects of a random program, how its bodies run, and the instructions that contain further bodies.

`strategies.py` draws programs. The other instructions are in the modules that `World` inherits from. All look up
asyncio's names when they use them, so that they meet whatever is installed then.
"""

import asyncio
import builtins
import contextlib
import sys

from tests.random_programs.generators import Generators
from tests.random_programs.immediate import VARIABLE, Immediate
from tests.random_programs.streams import Streams
from tests.random_programs.task_classes import Makers
from tests.random_programs.waits import Waiting
from tests.support.differential import masked

# A failure of one of these ends the body around it, which is what they are for.
NOT_GUARDED = {"raise", "return", "cancel_self", "catch", "finally", "locked", "with_semaphore", "sleep"}


class Fatal(BaseException):
    """Is not caught by `except Exception`, and is not a cancellation."""


class _Return(Exception):
    """Ends a body with a value."""


def make(kind: str) -> BaseException:
    own = {"Fatal": Fatal, "CancelledError": asyncio.CancelledError}
    return (own.get(kind) or getattr(builtins, kind))(kind)


def shown(error: BaseException | None, depth: int = 3) -> object:
    """An exception as far as two runs must agree on it."""
    if error is None or depth == 0:
        return None if error is None else type(error).__name__
    what = [type(error).__name__, masked(error.args if not isinstance(error, BaseExceptionGroup) else error.message)]
    if isinstance(error, BaseExceptionGroup):
        what.append([shown(each, depth - 1) for each in error.exceptions])
    if error.__cause__ is not None:
        what.append(("cause", shown(error.__cause__, depth - 1)))
    if error.__context__ is not None:
        what.append(("context", shown(error.__context__, depth - 1)))
    if error.__suppress_context__:
        what.append("suppressed")
    return tuple(what)


class _Ordered(dict):
    """A set that keeps the order in which its elements were added."""

    def add(self, each) -> None:
        self[each] = None

    def discard(self, each) -> None:
        self.pop(each, None)


def in_order(group):
    """Makes asyncio's own group cancel its tasks in order; it keeps them in a set, whose order is that of addresses."""
    if isinstance(getattr(group, "_tasks", None), set):
        with contextlib.suppress(AttributeError):
            group._tasks = _Ordered()
    return group


class World(Immediate, Waiting, Makers, Generators, Streams):
    """The objects of one run, and its trace."""

    make = staticmethod(make)
    shown = staticmethod(shown)

    def __init__(self, loop):
        self.loop = loop
        self.trace: list = []
        self.tasks: list = []
        self.made = 0
        self.delays = 0

    def make_primitives(self) -> None:
        self.futures = [self.loop.create_future() for _ in range(4)]
        self.locks = [asyncio.Lock() for _ in range(2)]
        self.semaphores = [asyncio.Semaphore(2), asyncio.BoundedSemaphore(1)]
        self.events = [asyncio.Event() for _ in range(2)]
        self.queues = [asyncio.Queue(), asyncio.Queue(1), asyncio.PriorityQueue(2), asyncio.LifoQueue(2)]
        self.conditions = [asyncio.Condition(), asyncio.Condition(self.locks[0])]
        self.barriers = [asyncio.Barrier(2), asyncio.Barrier(3)]
        self.make_classes()
        self.make_generators()
        self.make_streams()

    def delay(self, turns):
        """A unique delay: asyncio's heap does not keep the order of timers that are due at the same instant."""
        if turns is None or turns <= 0:
            return turns
        self.delays += 1
        return turns + self.delays * 2**-20

    # Bodies

    def coroutine(self, body):
        self.made += 1
        return self.body(f"t{self.made}", body)

    async def body(self, me: str, body):
        task = asyncio.current_task()
        if task not in self.tasks:  # wait_for() and eager starts may run it in a known task
            task.set_name(me)
            self.tasks.append(task)
        self.note(me, "begins", VARIABLE.get())
        return await self.perform(me, body)

    async def perform(self, me: str, body):
        """Runs a body inside the task that is already running."""
        try:
            for instruction in body:
                await self.step(me, *instruction)
        except _Return as end:
            return end.args[0]
        return None

    def spawn(self, body):
        name = f"t{self.made + 1}"
        task = self.loop.create_task(self.coroutine(body), name=name)
        if task not in self.tasks:
            self.tasks.append(task)
        return task

    async def step(self, me: str, name: str, *arguments) -> None:
        at_once = getattr(self, "do_" + name, None)
        if at_once is not None:
            return self.at_once(me, name, *arguments)
        guarded = False
        if name not in NOT_GUARDED:
            guarded, arguments = arguments[-1], arguments[:-1]
        self.note(me, name, "...")
        try:
            self.note(me, name, await getattr(self, name)(me, *arguments))
        except _Return:
            raise
        except Exception as error:
            self.note(me, name, shown(error))
            if not guarded:
                raise
        except BaseException as error:
            self.note(me, name, shown(error), asyncio.current_task().cancelling())
            raise

    def at_once(self, me: str, name: str, *arguments) -> None:
        try:
            outcome = getattr(self, "do_" + name)(me, *arguments)
        except Exception as error:
            outcome = shown(error)
        self.note(me, name, outcome)

    def note(self, me: str, *what) -> None:
        self.trace.append((self.loop.turn, me, *what))

    # The objects that instructions refer to

    def task(self, which: int):
        return self.tasks[which % len(self.tasks)]

    def younger(self, me: str, which: int):
        """A task that can be awaited without creating a circle, in which asyncio's cancel() would recurse endlessly."""
        mine = asyncio.current_task().get_name()
        # A task that finalizes a generator has no number: no instruction waits for it.
        number = int(mine[1:]) if mine[1:].isdigit() else 0
        younger = [task for task in self.tasks if int(task.get_name()[1:]) > number]
        return younger[which % len(younger)] if younger else self.future(which)

    def future(self, which: int):
        return self.futures[which % len(self.futures)]

    def name_of(self, future) -> str:
        if future in self.futures:
            return f"f{self.futures.index(future)}"
        return future.get_name() if future in self.tasks else type(future).__name__

    def state_of(self, future) -> tuple:
        if not future.done():
            return ("pending", future.cancelling() if hasattr(future, "cancelling") else None)
        if future.cancelled():
            return ("cancelled",)
        # Not exception(): the exception would count as retrieved.
        return ("finished", shown(future._exception), masked(future._result) if future._exception is None else None)

    # Ends

    async def cancel_self(self, me, message):
        asyncio.current_task().cancel(message)
        await asyncio.sleep(0)

    # Waiting for bodies

    async def spawn_task(self, me, body):
        return self.name_of(self.spawn(body))

    async def group(self, me, bodies, inner):
        async with in_order(asyncio.TaskGroup()) as group:
            for each in bodies:
                group.create_task(self.coroutine(each))
            await self.perform(me, inner)
        return masked(repr(group))

    async def timeout(self, me, limit, body, new_limit):
        scope = asyncio.timeout(self.delay(limit))
        try:
            async with scope:
                result = await self.perform(me, body)
                if new_limit is not None:
                    scope.reschedule(self.loop.time() + self.delay(new_limit))
                    await asyncio.sleep(self.delay(2))
                return result
        finally:
            self.note(me, "timeout", scope.expired(), scope.when(), masked(repr(scope)))

    async def wait_for(self, me, limit, body):
        return await asyncio.wait_for(self.coroutine(body), self.delay(limit))

    async def shield(self, me, body):
        return await asyncio.shield(self.coroutine(body))

    async def gather(self, me, bodies, return_exceptions):
        coroutines = [self.coroutine(body) for body in bodies]
        return masked(await asyncio.gather(*coroutines, return_exceptions=return_exceptions))

    async def as_completed(self, me, bodies, limit, asynchronous):
        # Those that are done already come in the order of a set.
        tasks = [self.spawn([("sleep", 0), *body]) for body in bodies]
        results: list = []
        if asynchronous and sys.version_info >= (3, 13):
            async for each in asyncio.as_completed(tasks, timeout=self.delay(limit)):
                results.append((each in tasks, await each))
        else:
            for each in asyncio.as_completed(tasks, timeout=self.delay(limit)):
                results.append(await each)
        return results

    async def catch(self, me, body, kind, handler, value):
        caught = {"Exception": Exception, "CancelledError": asyncio.CancelledError, "BaseException": BaseException}
        try:
            return await self.perform(me, body)
        except caught[kind] as error:
            self.note(me, "caught", shown(error))
            await self.perform(me, handler)
            if value < 2:
                raise
            if value < 4:
                raise LookupError("instead") from (error if value == 3 else None)
            if value < 6:
                asyncio.current_task().uncancel()
            return None

    async def locked(self, me, which, body):
        async with self.locks[which % 2]:
            return await self.perform(me, body)

    async def with_semaphore(self, me, which, body):
        async with self.semaphores[which % 2]:
            return await self.perform(me, body)


async def _return(world: World, me: str, value):
    raise _Return(value)


async def _raise(world: World, me: str, kind: str):
    raise make(kind)


async def _finally(world: World, me: str, body, last):
    try:
        return await world.perform(me, body)
    finally:
        world.note(me, "finally")
        await world.perform(me, last)


# Instructions whose names are Python's own words.
setattr(World, "return", _return)
setattr(World, "raise", _raise)
setattr(World, "finally", _finally)
