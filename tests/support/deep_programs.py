"""Programs that build something deep and traverse it: chains of waiting tasks, nested blocks, reprs.

`main` runs one of them in a process of its own, which it ends.
"""

import asyncio
import contextlib
import io
import logging
import os
import sys
import threading
import warnings
from functools import partial
from typing import Any


async def between(inner):
    return await inner


async def tasks_in_tasks(depth):
    """The innermost future and the outermost of the tasks that wait for one another."""
    first = waiting = asyncio.get_running_loop().create_future()
    for _ in range(depth):
        waiting = asyncio.ensure_future(between(waiting))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return first, waiting


async def completing_tasks(depth):
    first, last = await tasks_in_tasks(depth)
    first.set_result("done")
    return await last


async def failing_tasks(depth):
    first, last = await tasks_in_tasks(depth)
    first.set_exception(ValueError("failed"))
    await last


async def cancelling_tasks(depth):
    _, last = await tasks_in_tasks(depth)
    last.cancel("enough")
    await last


async def cancelling_tasks_in_a_circle(depth):
    tasks: list[asyncio.Future] = []

    async def next_one(number):
        await asyncio.sleep(0)
        await tasks[(number + 1) % depth]

    tasks.extend(asyncio.ensure_future(next_one(number)) for number in range(depth))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    tasks[0].cancel()


async def showing_tasks(depth):
    first, last = await tasks_in_tasks(depth)
    shown = len(last.get_stack()), bool(repr(first))
    last.print_stack(file=io.StringIO())
    return *shown, bool(repr(last))


async def showing_a_call_graph(depth):
    first, last = await tasks_in_tasks(depth)
    if not hasattr(asyncio, "format_call_graph"):
        return None
    return bool(asyncio.format_call_graph(last)), bool(asyncio.format_call_graph(first))


def wrapped(function, depth):
    first = waiting = asyncio.get_running_loop().create_future()
    for _ in range(depth):
        waiting = function(waiting)
    return first, waiting


async def completing_gathers(depth):
    first, last = wrapped(asyncio.gather, depth)
    first.set_result("done")
    await last


async def failing_gathers(depth):
    first, last = wrapped(asyncio.gather, depth)
    first.set_exception(ValueError("failed"))
    await last


async def cancelling_gathers(depth):
    _, last = wrapped(asyncio.gather, depth)
    last.cancel()
    await last


async def completing_shields(depth):
    first, last = wrapped(asyncio.shield, depth)
    first.set_result("done")
    return await last


async def cancelling_shields(depth):
    first, last = wrapped(asyncio.shield, depth)
    first.cancel()
    await last


def complete(following, _):
    following.set_result("done")


async def callbacks_that_complete_the_next(depth):
    loop = asyncio.get_running_loop()
    first = last = loop.create_future()
    for _ in range(depth):
        following = loop.create_future()
        last.add_done_callback(partial(complete, following))
        last = following
    first.set_result("done")
    return await last


async def results_of_tasks(depth):
    task: Any = None

    async def give(result):
        return result

    for _ in range(depth):
        task = asyncio.ensure_future(give(task))
    await task
    return bool(repr(task))


async def waiting_for_waits(depth):
    first, last = wrapped(lambda waiting: asyncio.ensure_future(asyncio.wait([waiting])), depth)
    await asyncio.sleep(0)
    first.set_result("done")
    await last


async def timeouts_in_tasks(depth):
    first, last = wrapped(lambda waiting: asyncio.ensure_future(asyncio.wait_for(waiting, 1000)), depth)
    await asyncio.sleep(0)
    first.set_result("done")
    return await last


async def nested_timeouts(depth):
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(depth):
            await stack.enter_async_context(asyncio.timeout(1000))


async def expiring_timeouts(depth):
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(depth):
            await stack.enter_async_context(asyncio.timeout(0))
        await asyncio.sleep(1000)


async def nested_groups(depth):
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(depth):
            await stack.enter_async_context(asyncio.TaskGroup())


async def groups_in_tasks_of_groups(depth):
    async def level(number):
        async with asyncio.TaskGroup() as group:
            if number:
                group.create_task(level(number - 1))

    await level(depth)


async def failing_groups(depth):
    async def level(number):
        async with asyncio.TaskGroup() as group:
            if number == 0:
                raise ValueError
            group.create_task(level(number - 1))

    try:
        await level(depth)
    except ExceptionGroup:
        return "failed"


async def coroutines_left_unawaited(depth):
    coroutine: Any = None
    for _ in range(depth):
        coroutine = asyncio.wait_for(asyncio.sleep(0, coroutine), 1)
    del coroutine


async def contexts_of_exceptions(depth):
    error: Any = None
    for _ in range(depth):
        following = ValueError("failed")
        following.__context__ = error
        error = following
    future = asyncio.get_running_loop().create_future()
    future.set_exception(error)
    await future


async def showing_futures_with_results(depth):
    loop = asyncio.get_running_loop()
    result = None
    for _ in range(depth):
        future = loop.create_future()
        future.set_result(result)
        result = future
    return len(repr(future)) > 0


async def showing_timers_of_timers(depth):
    loop = asyncio.get_running_loop()
    timer = None
    for _ in range(depth):
        timer = loop.call_later(1000, print, timer)
    return bool(repr(timer))


async def showing_queues_of_queues(depth):
    item = None
    for _ in range(depth):
        queue: asyncio.Queue = asyncio.Queue()
        queue.put_nowait(item)
        item = queue
    return bool(repr(queue))


async def eager_tasks(depth):
    async def level(number):
        if number:
            await asyncio.get_running_loop().create_task(level(number - 1))
        return "done"

    if hasattr(asyncio, "eager_task_factory"):
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    return await level(depth)


async def stepping_nested_coroutines(depth, goes_on):
    coroutine = asyncio.Event().wait()
    for _ in range(depth):
        coroutine = asyncio.wait_for(coroutine, 1000)
    coroutine.send(None)
    goes_on(coroutine)
    return "went on"


async def throwing_into_nested_coroutines(depth):
    await stepping_nested_coroutines(depth, lambda coroutine: coroutine.throw(ValueError("thrown")))


async def closing_nested_coroutines(depth):
    return await stepping_nested_coroutines(depth, lambda coroutine: coroutine.close())


async def forgetting_nested_coroutines(depth):
    return await stepping_nested_coroutines(depth, lambda _: None)


# Asyncio takes these to any depth, and those below to one that the interpreter sets.
ANY_DEPTH = (
    completing_tasks,
    failing_tasks,
    completing_gathers,
    failing_gathers,
    completing_shields,
    cancelling_shields,
    callbacks_that_complete_the_next,
    results_of_tasks,
    waiting_for_waits,
    timeouts_in_tasks,
    nested_timeouts,
    expiring_timeouts,
    nested_groups,
    groups_in_tasks_of_groups,
    failing_groups,
    coroutines_left_unawaited,
    contexts_of_exceptions,
    showing_futures_with_results,
    showing_timers_of_timers,
)
TO_SOME_DEPTH = (
    cancelling_tasks,
    cancelling_tasks_in_a_circle,
    showing_tasks,
    showing_a_call_graph,
    cancelling_gathers,
    showing_queues_of_queues,
    eager_tasks,
    throwing_into_nested_coroutines,
    closing_nested_coroutines,
    forgetting_nested_coroutines,
)
PROGRAMS = {program.__name__: program for program in (*ANY_DEPTH, *TO_SOME_DEPTH)}


def main(kind, name, depth, limit=0, size=0):
    """On asyncio or ferrio, as `kind` says; with a recursion limit, and on a stack of some size, if they are given."""
    if kind == "ferrio":
        import ferrio

        ferrio.install()
    warnings.simplefilter("ignore")
    logging.disable()
    if limit:
        sys.setrecursionlimit(limit)
    if not size:
        run(PROGRAMS[name], depth)
    threading.stack_size(size)
    threading.Thread(target=run, args=(PROGRAMS[name], depth)).start()


def run(program, depth):
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        print("returned", loop.run_until_complete(program(depth)))
    except (Exception, asyncio.CancelledError) as error:
        print("raised", type(error).__name__)
    sys.stdout.flush()
    # What is left is not of interest here; asyncio takes its time to cancel it.
    os._exit(0)
