"""No public operation leaves anything behind: memory, objects, references or cycles that the collector cannot see.

FERRIO_LEAK_ROUNDS sets how often each is done (`make soak`: 100,000 times). On a debug build of Python the total of
all references is watched as well.
"""

import asyncio
import gc
import os
import sys
import tracemalloc
import weakref

import pytest

import ferrio
from tests.support.memory import in_use

ROUNDS = int(os.environ.get("FERRIO_LEAK_ROUNDS", "1000"))
# What the interpreter itself may take meanwhile, however many rounds there are.
SLACK = {"objects": 20, "bytes": 64 << 10, "references": 200, "total": 300}
MALLOC_SLACK = 24 << 10  # A leak in each of 1000 rounds is at least 32,000 bytes: the smallest block has 32.

OPERATIONS = {}


def operation(function):
    OPERATIONS[function.__name__] = function
    return function


async def value():
    return 5


async def turn():
    await asyncio.sleep(0)


async def forever():
    await asyncio.get_running_loop().create_future()


async def failing():
    raise LookupError


async def ended(awaitable):
    try:
        await awaitable
    except (Exception, asyncio.CancelledError) as error:
        error.__traceback__ = None


@operation
async def task_that_returns():
    await asyncio.create_task(value(), name="named")


@operation
async def task_that_fails():
    await ended(asyncio.create_task(failing()))


@operation
async def task_that_is_cancelled():
    task = asyncio.create_task(forever())
    await asyncio.sleep(0)
    task.cancel("message")
    task.cancelling(), task.uncancel(), repr(task), task.get_stack()
    task.cancel()
    await ended(task)


@operation
async def future_that_is_awaited():
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    future.add_done_callback(str)
    future.add_done_callback(repr)
    future.remove_done_callback(repr)
    loop.call_soon(future.set_result, object())
    await future
    repr(future), future.result(), future.exception()


@operation
async def future_that_fails():
    future = asyncio.Future()
    future.set_exception(LookupError())
    await ended(future)


@operation
async def handles():
    loop = asyncio.get_running_loop()
    loop.call_soon(str).cancel()
    loop.call_later(1, str).cancel()
    loop.call_at(0, str)
    await asyncio.sleep(0)


@operation
async def sleeping():
    await asyncio.sleep(1e-9, object())
    task = asyncio.create_task(asyncio.sleep(10))
    await asyncio.sleep(0)
    task.cancel()
    await ended(task)


@operation
async def gathering():
    await asyncio.gather(value(), turn(), asyncio.sleep(0))
    await asyncio.gather(value(), failing(), return_exceptions=True)
    await ended(asyncio.gather(failing(), turn()))
    gathered = asyncio.gather(forever(), forever())
    await asyncio.sleep(0)
    gathered.cancel()
    await ended(gathered)


@operation
async def shielding():
    await asyncio.shield(turn())
    inner = asyncio.ensure_future(turn())
    outer = asyncio.shield(inner)
    outer.cancel()
    await ended(outer)
    await inner


@operation
async def waiting():
    tasks = [asyncio.create_task(turn()), asyncio.create_task(forever())]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.wait(tasks, timeout=0)
    tasks[1].cancel()
    await asyncio.wait(tasks)


@operation
async def waiting_in_time():
    await asyncio.wait_for(turn(), 10)
    await asyncio.wait_for(asyncio.create_task(turn()), None)
    await ended(asyncio.wait_for(forever(), 0))
    await ended(asyncio.wait_for(forever(), 1e-6))


@operation
async def timeouts():
    async with asyncio.timeout(10) as scope:
        scope.reschedule(None)
    try:
        async with asyncio.timeout_at(0):
            await asyncio.sleep(1)
    except TimeoutError as error:
        error.__traceback__ = None


@operation
async def completing():
    for each in asyncio.as_completed([value(), turn(), failing()]):
        await ended(each)


@operation
async def groups():
    async with asyncio.TaskGroup() as group:
        group.create_task(turn())
        group.create_task(value())
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(failing())
            await forever()
    except* LookupError:
        pass


@operation
async def locks():
    lock, semaphore, event = asyncio.Lock(), asyncio.Semaphore(1), asyncio.Event()
    async with lock, semaphore:
        task = asyncio.create_task(lock.acquire())
        other = asyncio.create_task(semaphore.acquire())
        third = asyncio.create_task(event.wait())
        await asyncio.sleep(0)
        other.cancel()
        await ended(other)
    event.set()
    await task
    await third


@operation
async def conditions():
    condition, barrier = asyncio.Condition(), asyncio.Barrier(2)

    async def waiting():
        async with condition:
            await condition.wait()

    task = asyncio.create_task(waiting())
    await asyncio.sleep(0)
    async with condition:
        condition.notify_all()
    await task
    await asyncio.gather(barrier.wait(), barrier.wait())


@operation
async def queues():
    for kind in (asyncio.Queue, asyncio.LifoQueue, asyncio.PriorityQueue):
        queue = kind(1)
        getter = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        await queue.put(5)
        queue.task_done()
        await getter
        await queue.put(6)
        putter = asyncio.create_task(queue.put(7))
        await asyncio.sleep(0)
        putter.cancel()
        await ended(putter)
        await queue.get()
        queue.task_done()
        await queue.join()
        await ended(asyncio.wait_for(queue.get(), 0))


@operation
async def cycles():
    """A future, a task and a queue that nothing but themselves refers to."""
    future = asyncio.get_running_loop().create_future()
    future.add_done_callback(lambda _: future)
    queue: asyncio.Queue = asyncio.Queue()
    queue.put_nowait(queue)
    task = asyncio.create_task(value())
    task.add_done_callback(lambda _: task)
    await task


@operation
async def what_is_never_awaited():
    lock, queue = asyncio.Lock(), asyncio.Queue()
    for coroutine in (lock.acquire(), queue.get(), asyncio.sleep(1), asyncio.wait_for(value(), 1)):
        coroutine.close()


@operation
async def introspection():
    asyncio.all_tasks(), asyncio.current_task(), asyncio.isfuture(5), asyncio.iscoroutine(5)
    task = asyncio.ensure_future(value())
    task.get_coro(), task.get_loop(), task.get_name()
    await task


class Counts:
    """What there is now."""

    def __init__(self):
        gc.collect()
        self.objects = len(gc.get_objects())
        self.bytes = tracemalloc.get_traced_memory()[0] if tracemalloc.is_tracing() else 0
        # Immortal on some Pythons; on others their counts also grow for other reasons, which the slack allows for.
        self.references = sum(map(sys.getrefcount, (None, True, False, ..., (), asyncio.CancelledError)))
        self.total = sys.gettotalrefcount() if hasattr(sys, "gettotalrefcount") else 0

    def growth_since(self, before: "Counts") -> dict[str, int]:
        grown = {name: getattr(self, name) - getattr(before, name) for name in SLACK}
        return {name: growth for name, growth in grown.items() if growth > SLACK[name]}


@pytest.fixture
def installed():
    ferrio.install()
    yield
    ferrio.uninstall()


@pytest.mark.timeout(120 + ROUNDS // 100)
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_leaves_nothing_behind(name, installed):
    work = OPERATIONS[name]

    async def main():
        for _ in range(ROUNDS // 10):  # free lists and caches fill
            await work()
        held = in_use()  # without tracemalloc, whose own tables grow by leaps
        for _ in range(ROUNDS):
            await work()
        assert in_use() - held < MALLOC_SLACK
        tracemalloc.start()
        try:
            before = Counts()
            for _ in range(ROUNDS):
                await work()
            assert Counts().growth_since(before) == {}
        finally:
            tracemalloc.stop()

    asyncio.run(main())


def test_a_cycle_through_a_waiting_task_is_collected(installed):
    class Witness:
        pass

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: None)  # of a task destroyed while pending
        witness = Witness()
        seen = weakref.ref(witness)

        async def waits(witness, future):
            witness.task = asyncio.current_task()
            await future

        task = asyncio.create_task(waits(witness, loop.create_future()))
        del task
        await asyncio.sleep(0)
        del witness
        gc.collect()
        assert seen() is None

    asyncio.run(main())
