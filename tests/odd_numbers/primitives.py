"""Numeric parameters of locks, queues and timers."""

import asyncio
import sys
from functools import partial

from tests.odd_numbers.observation import ended, loop, operation, outcome, shown_error, soon, turns


async def semaphore_of(kind, value):
    semaphore = kind(value)
    seen = [outcome(lambda: semaphore), outcome(semaphore.locked)]
    for _ in range(3):
        seen += [await soon(semaphore.acquire), outcome(lambda: semaphore._value), outcome(semaphore.locked)]
    for _ in range(4):
        seen += [outcome(semaphore.release), outcome(lambda: semaphore)]
    return seen


@operation
async def semaphore(value):
    return await semaphore_of(asyncio.Semaphore, value)


@operation
async def bounded_semaphore(value):
    return await semaphore_of(asyncio.BoundedSemaphore, value)


@operation
async def barrier(value):
    barrier = asyncio.Barrier(value)
    seen = [outcome(lambda: barrier), outcome(lambda: barrier.parties), outcome(lambda: barrier.n_waiting)]
    seen += [await soon(barrier.wait), outcome(lambda: barrier)]

    async def wait():
        return await barrier.wait()

    tasks = [asyncio.create_task(wait()) for _ in range(4)]
    await turns()
    seen += [outcome(lambda: barrier), outcome(lambda: barrier.n_waiting)]
    done = [task for task in tasks if task.done()]
    seen += [shown_error(task.exception()) if task.exception() else str(task.result()) for task in done]
    seen += [await soon(barrier.reset), await soon(barrier.abort), outcome(lambda: barrier)]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return seen


async def queue_of(kind, value):
    queue = kind(value)
    seen = [outcome(lambda: queue.maxsize), outcome(queue.full), outcome(lambda: queue)]
    for each in range(3):
        seen += [outcome(partial(queue.put_nowait, each)), outcome(queue.full)]
    seen += [await soon(lambda: queue.put(4)), await soon(queue.get), outcome(queue.get_nowait), outcome(lambda: queue)]
    return seen


@operation
async def queue(value):
    return await queue_of(asyncio.Queue, value)


@operation
async def priority_queue(value):
    return await queue_of(asyncio.PriorityQueue, value)


@operation
async def lifo_queue(value):
    return await queue_of(asyncio.LifoQueue, value)


@operation
async def queue_items(value):
    queue = asyncio.PriorityQueue()
    seen = [outcome(lambda: queue.put_nowait(1)), outcome(lambda: queue.put_nowait(value))]
    return [*seen, outcome(lambda: queue.put_nowait(-5)), outcome(queue.qsize), outcome(queue.get_nowait)]


@operation
async def queue_shutdown(value):
    if sys.version_info < (3, 13):
        return "not there"
    queue = asyncio.Queue()
    queue.put_nowait(1)
    return [outcome(lambda: queue.shutdown(value)), outcome(queue.get_nowait), outcome(lambda: queue)]


@operation
async def notify(value):
    condition = asyncio.Condition()
    woken = []

    async def wait(number):
        async with condition:
            await condition.wait()
            woken.append(number)

    tasks = [asyncio.create_task(wait(number)) for number in range(4)]
    await turns()
    async with condition:
        seen = outcome(lambda: condition.notify(value))
    await turns()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return [seen, woken, outcome(lambda: condition)]


# Timers


async def scheduled(schedule, value, show):
    called = []
    handle = schedule(value, called.append, 1)
    seen = [isinstance(handle, asyncio.TimerHandle), show(handle.when)]
    await turns()
    handle.cancel()
    return [*seen, called]


@operation
async def call_later(value):
    return await scheduled(loop().call_later, value, lambda when: type(when()).__name__)


@operation
async def call_at(value):
    return await scheduled(loop().call_at, value, outcome)


@operation
async def call_at_and_cancel(value):
    seen = []
    try:
        handle = loop().call_at(value, print)
        seen += [outcome(handle.when), outcome(lambda: handle), hash(handle) == hash(value)]
        handle.cancel()
        seen += [outcome(handle.when), outcome(lambda: handle)]
    except Exception as error:
        seen.append(shown_error(error))
    await turns()
    return seen


@operation
async def timers_compared(value):
    first, second = loop().call_at(1e12, print), loop().call_at(value, print)
    seen = [outcome(lambda: first < second), outcome(lambda: first >= second), outcome(lambda: first == second)]
    second.cancel()
    first.cancel()
    return seen


@operation
async def sleep(value):
    return [await soon(lambda: asyncio.sleep(value)), await soon(lambda: asyncio.sleep(value, "result"))]


@operation
async def sleep_result(value):
    return await soon(lambda: asyncio.sleep(0, value))


# Functions that wait with a limit


async def nothing():
    return "nothing"


@operation
async def wait_for(value):
    future = loop().create_future()
    seen = [await soon(lambda: asyncio.wait_for(future, value)), outcome(lambda: future)]
    return [*seen, await soon(lambda: asyncio.wait_for(nothing(), value))]


@operation
async def wait(value):
    future = loop().create_future()
    seen = [await soon(lambda: asyncio.wait([future], timeout=value))]
    seen += [await soon(lambda: asyncio.wait([future], return_when=value)), await soon(lambda: asyncio.wait(value))]
    future.set_result(1)
    return [*seen, await soon(lambda: asyncio.wait([future], timeout=value))]


@operation
async def as_completed(value):
    future = loop().create_future()

    async def first(awaitables):
        for each in asyncio.as_completed(awaitables, timeout=value):
            return await each

    seen = [await soon(lambda: first([future])), await soon(lambda: first([nothing()])), await soon(lambda: first([]))]
    return [*seen, outcome(lambda: list(asyncio.as_completed(value)))]


async def timed(make, reschedule=None):
    timeout = make()
    seen = [outcome(timeout.when) if reschedule else type(timeout.when()).__name__]

    async def run():
        async with timeout:
            if reschedule:
                seen.append(outcome(lambda: reschedule(timeout)))
            await loop().create_future()

    return [*seen, await soon(run), outcome(timeout.expired)]


@operation
async def timeout(value):
    return await timed(lambda: asyncio.timeout(value))


@operation
async def timeout_at(value):
    return await timed(lambda: asyncio.timeout_at(value))


@operation
async def timeout_class(value):
    timeout = asyncio.Timeout(value)
    return [outcome(timeout.when), outcome(lambda: timeout), outcome(lambda: timeout.reschedule(value))]


@operation
async def reschedule(value):
    return await timed(lambda: asyncio.timeout(None), lambda timeout: timeout.reschedule(value))


@operation
async def shutdown_default_executor(value):
    if sys.version_info < (3, 12):
        return "not there"
    if value not in (None, "1", b"1", [1]):
        return "up to the threads"
    await loop().run_in_executor(None, int)
    return await ended(lambda: loop().shutdown_default_executor(value))
