"""What each instruction of a random program does (`making.py` makes them).

asyncio's names are looked up when they are used: what is in place of them then is what a program meets.
"""

import asyncio
import builtins
import contextlib
import contextvars
import sys

from tests.random_programs.generating import Generators
from tests.random_programs.making_tasks import Makers
from tests.random_programs.streaming import Streams
from tests.support.differential import masked

VARIABLE: contextvars.ContextVar = contextvars.ContextVar("VARIABLE", default="unset")

# Their failures end the body around them: they are there for it.
NOT_GUARDED = {"raise", "return", "cancel_self", "catch", "finally", "locked", "with_semaphore", "sleep"}
CONDITIONS = {"F": "FIRST_COMPLETED", "E": "FIRST_EXCEPTION", "A": "ALL_COMPLETED"}


class Fatal(BaseException):
    """One that `except Exception` does not catch and that is not a cancel."""


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
    """A set that keeps the order of its making."""

    def add(self, each) -> None:
        self[each] = None

    def discard(self, each) -> None:
        self.pop(each, None)


def in_order(group):
    """asyncio's own group cancels its tasks in the order of a set, which is that of their addresses."""
    if isinstance(getattr(group, "_tasks", None), set):
        with contextlib.suppress(AttributeError):
            group._tasks = _Ordered()
    return group


class World(Makers, Generators, Streams):
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
        """A delay that no other has: asyncio's heap keeps no order among timers that are due at the same instant."""
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
        if task not in self.tasks:  # wait_for() and eager starts may run it in one that is known
            task.set_name(me)
            self.tasks.append(task)
        self.note(me, "begins", VARIABLE.get())
        return await self.perform(me, body)

    async def perform(self, me: str, body):
        """A body within the task that is running already."""
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

    # What they are about

    def task(self, which: int):
        return self.tasks[which % len(self.tasks)]

    def younger(self, me: str, which: int):
        """A task that may be waited for with no danger of a circle, for which asyncio's cancel() has no bottom."""
        mine = asyncio.current_task().get_name()
        # A task that finalizes a generator has no number of ours: nobody waits for it.
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
        # Not exception(): that would count as having been asked for.
        return ("finished", shown(future._exception), masked(future._result) if future._exception is None else None)

    # At once

    def do_cancel(self, me, which, message):
        task = self.task(which)
        return (self.name_of(task), task.cancel() if message is None else task.cancel(message), task.cancelling())

    def do_uncancel(self, me, which):
        return self.name_of(self.task(which)), self.task(which).uncancel()

    def do_cancel_future(self, me, which, message):
        return self.future(which).cancel(message)

    def do_set_result(self, me, which, value):
        self.future(which).set_result(value)

    def do_set_exception(self, me, which, kind):
        self.future(which).set_exception(make(kind))

    def do_break_off(self, me, kind):
        """Out of a callback, or of a task as anything else."""
        raise make(kind)

    def do_renew_future(self, me, which):
        if self.future(which).done():
            self.futures[which] = self.loop.create_future()

    def do_inspect(self, me, which):
        task = self.task(which)
        waits_for = getattr(task, "_fut_waiter", None)
        return self.name_of(task), self.state_of(task), task.cancelling(), waits_for is None, task._must_cancel

    def do_inspect_future(self, me, which):
        future = self.future(which)
        try:
            return future.result()
        except BaseException as error:
            return shown(error)

    def do_everybody(self, me):
        current = asyncio.current_task(self.loop)
        alive = sorted(masked(task.get_name()) for task in asyncio.all_tasks(self.loop))
        return (current and current.get_name(), alive)

    def do_watch(self, me, which):
        task = self.task(which)
        label = f"watch{self.made}"
        task.add_done_callback(lambda task: self.note(label, task.get_name(), self.state_of(task), VARIABLE.get()))
        return self.name_of(task)

    def seen(self, future):
        self.note("seen", self.name_of(future), self.state_of(future))

    def do_watch_future(self, me, which):
        self.future(which).add_done_callback(self.seen)

    def do_unwatch_future(self, me, which):
        return self.future(which).remove_done_callback(self.seen)

    def do_set_variable(self, me, value):
        before = VARIABLE.get()
        VARIABLE.set(value)
        return before

    def do_soon(self, me, instruction):
        self.loop.call_soon(self.at_once, "soon of " + me, *instruction)

    def do_later(self, me, delay, instruction):
        self.loop.call_later(self.delay(delay), self.at_once, "later of " + me, *instruction)

    def do_later_and_cancel(self, me, delay, instruction):
        handle = self.loop.call_later(self.delay(delay), self.at_once, "never of " + me, *instruction)
        self.loop.call_soon(handle.cancel)

    def do_set_event(self, me, which):
        self.events[which % 2].set()

    def do_clear_event(self, me, which):
        self.events[which % 2].clear()

    def do_release(self, me, which):
        self.locks[which % 2].release()

    def do_release_semaphore(self, me, which):
        self.semaphores[which % 2].release()

    def do_put_nowait(self, me, which, value):
        self.queues[which].put_nowait(value)

    def do_get_nowait(self, me, which):
        return self.queues[which].get_nowait()

    def do_task_done(self, me, which):
        self.queues[which].task_done()

    def do_shut_down(self, me, which, immediate):
        if sys.version_info >= (3, 13):
            self.queues[which].shutdown(immediate)

    def do_abort_barrier(self, me, which):
        barrier = self.barriers[which % 2]
        return barrier.parties, barrier.n_waiting, barrier.broken

    def do_primitives(self, me):
        everything = [*self.locks, *self.semaphores, *self.events, *self.queues, *self.conditions, *self.barriers]
        return [masked(repr(each)).replace("asyncio.locks.", "").replace("ferrio.", "") for each in everything]

    # Waiting

    async def sleep(self, me, delay):
        return await asyncio.sleep(self.delay(delay), delay)

    async def await_future(self, me, which):
        return await self.future(which)

    async def await_task(self, me, which):
        return await self.younger(me, which)

    async def shield_future(self, me, which):
        return await asyncio.shield(self.future(which))

    async def shield_task(self, me, which):
        return await asyncio.shield(self.younger(me, which))

    async def wait_for_future(self, me, which, limit):
        return await asyncio.wait_for(self.future(which), self.delay(limit))

    async def wait_for_task(self, me, which, limit):
        return await asyncio.wait_for(self.younger(me, which), self.delay(limit))

    async def gather_tasks(self, me, whiches, return_exceptions):
        futures = [self.younger(me, which) for which in whiches]
        return masked(await asyncio.gather(*futures, return_exceptions=return_exceptions))

    async def gather_mixed(self, me, whiches, which, return_exceptions):
        futures = [self.future(each) for each in whiches]
        inner = asyncio.gather(*futures, return_exceptions=return_exceptions)
        outer = asyncio.gather(inner, asyncio.sleep(self.delay(which), which), self.younger(me, which), inner)
        return masked(await outer)

    async def wait_tasks(self, me, whiches, limit, condition):
        futures = {self.younger(me, which) for which in whiches}
        condition = getattr(asyncio, CONDITIONS[condition])
        try:
            done, pending = await asyncio.wait(futures, timeout=self.delay(limit), return_when=condition)
        finally:
            # Which exceptions wait() itself has asked for depends on the order of a set.
            for future in futures:
                if future.done() and not future.cancelled():
                    future.exception()
        return [sorted(map(self.name_of, each)) for each in (done, pending)]

    async def wait_event(self, me, which):
        return await self.events[which % 2].wait()

    async def acquire(self, me, which):
        return await self.locks[which % 2].acquire()

    async def acquire_semaphore(self, me, which):
        return await self.semaphores[which % 2].acquire(), self.semaphores[which % 2].locked()

    async def put(self, me, which, value):
        return await self.queues[which].put(value)

    async def get(self, me, which):
        return await self.queues[which].get()

    async def get_in_time(self, me, which, limit):
        return await asyncio.wait_for(self.queues[which].get(), self.delay(limit))

    async def join(self, me, which):
        return await self.queues[which].join()

    async def notify(self, me, which, count):
        async with self.conditions[which % 2] as entered:
            if count:
                self.conditions[which % 2].notify(count)
            else:
                self.conditions[which % 2].notify_all()
            await asyncio.sleep(0)
            return entered

    async def await_notice(self, me, which):
        async with self.conditions[which % 2]:
            try:
                return await self.conditions[which % 2].wait()
            finally:
                self.note(me, "holds", self.conditions[which % 2].locked())

    async def meet(self, me, which):
        async with self.barriers[which % 2] as place:
            return place

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
