"""Numbers where none is expected: futures, tasks, executors, the loop's own settings, subprocesses."""

import asyncio
import concurrent.futures
import contextlib
import sys

from tests.odd_numbers.observation import ended, loop, operation, outcome, shown, shown_error, soon, turns


async def nothing():
    return "nothing"


def unused(make):
    """With a coroutine that is closed if the function does not take it."""
    coroutine = nothing()
    try:
        return shown(type(make(coroutine)).__name__)
    except Exception as error:
        return shown_error(error)
    finally:
        with contextlib.suppress(RuntimeError, ValueError):
            coroutine.close()


@operation
async def slow_callback_duration(value):
    seen = [outcome(lambda: loop().slow_callback_duration)]
    loop().slow_callback_duration = value
    read = loop().slow_callback_duration
    return [*seen, read is value, outcome(lambda: loop().slow_callback_duration)]


@operation
async def slow_callback_duration_in_debug(value):
    loop().slow_callback_duration = value
    loop().set_debug(True)
    await turns(2)
    loop().set_debug(False)
    return "went on"


@operation
async def slow_lookup_in_debug(value):
    loop().set_debug(True)
    loop().slow_callback_duration = value
    try:
        return await ended(lambda: loop().getaddrinfo("127.0.0.1", 1))
    finally:
        loop().set_debug(False)


@operation
async def futures(value):
    seen = [outcome(lambda: asyncio.Future(value)), outcome(lambda: asyncio.Future(loop=value))]
    future = loop().create_future()
    seen += [outcome(lambda: future.set_exception(value)), outcome(lambda: future.cancel(value))]
    seen += [outcome(lambda: future.add_done_callback(value)), outcome(lambda: future.remove_done_callback(value))]
    seen += [outcome(lambda: future.add_done_callback(id, context=value))]
    other = loop().create_future()
    seen += [outcome(lambda: other.set_result(value)), outcome(lambda: other)]
    return [*seen, outcome(lambda: asyncio.wrap_future(value)), outcome(lambda: asyncio.isfuture(value))]


@operation
async def tasks(value):
    seen = [outcome(lambda: asyncio.Task(value)), unused(lambda coroutine: asyncio.Task(coroutine, loop=value))]
    seen += [unused(lambda coroutine: asyncio.Task(coroutine, loop=loop(), name=value))]
    seen += [outcome(lambda: asyncio.create_task(value)), outcome(lambda: loop().create_task(value))]
    task = asyncio.create_task(nothing(), name=value)
    seen += [shown(task.get_name() if value is not None else "Task-N"), outcome(lambda: task.set_name(value))]
    seen += [shown(task.get_name()), outcome(lambda: task.cancel(value)), outcome(task.cancelling)]
    seen += [outcome(lambda: task.get_stack(limit=value)), outcome(task.uncancel)]
    if value is None:
        return seen
    return [*seen, outcome(lambda: asyncio.all_tasks(value)), outcome(lambda: asyncio.current_task(value))]


@operation
async def task_stacks(value):
    async def wait():
        await loop().create_future()

    task = asyncio.create_task(wait())
    await turns(1)
    seen = outcome(lambda: len(task.get_stack(limit=value)))
    task.cancel()
    await turns(2)
    return seen


@operation
async def functions(value):
    seen = [outcome(lambda: asyncio.gather(value)), await soon(lambda: asyncio.shield(value))]
    seen += [outcome(lambda: asyncio.ensure_future(value)), outcome(lambda: asyncio.iscoroutine(value))]
    seen += [await soon(lambda: asyncio.gather(nothing(), return_exceptions=value))]
    seen += [unused(lambda coroutine: asyncio.run_coroutine_threadsafe(coroutine, value))]
    seen += [outcome(lambda: asyncio.run_coroutine_threadsafe(value, loop()))]
    seen += [outcome(lambda: asyncio.iscoroutinefunction(value))]
    return [*seen, unused(lambda coroutine: asyncio.ensure_future(coroutine, loop=value))]


@operation
async def runners(value):
    return [outcome(lambda: asyncio.run(value)), outcome(lambda: loop().run_until_complete(value))]


@operation
async def settings(value):
    seen = [outcome(lambda: loop().set_task_factory(value)), outcome(lambda: loop().get_task_factory())]
    loop().set_task_factory(None)
    seen += [outcome(lambda: loop().set_default_executor(value))]
    seen += [outcome(lambda: loop().set_exception_handler(value))]
    seen += [outcome(lambda: loop().call_exception_handler(value))]
    loop().set_debug(value)
    seen += [shown(bool(loop().get_debug()))]
    loop().set_debug(False)
    return seen


@operation
async def executors(value):
    seen = []
    if value is not None:
        seen.append(await soon(lambda: loop().run_in_executor(value, int)))
    seen.append(await ended(lambda: loop().run_in_executor(None, value)))
    seen.append(await ended(lambda: asyncio.to_thread(value)))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        seen.append(await ended(lambda: loop().run_in_executor(pool, lambda: value == 5)))
    return seen


@operation
async def callbacks(value):
    seen = [outcome(lambda: loop().call_soon(print, context=value))]
    seen += [outcome(lambda: loop().call_later(10, print, context=value))]
    loop().set_debug(True)
    seen += [outcome(lambda: loop().call_soon(value)), outcome(lambda: loop().call_soon_threadsafe(value))]
    seen += [outcome(lambda: loop().call_later(1, value)), outcome(lambda: loop().call_at(1, value))]
    loop().set_debug(False)
    return seen if value is not None else "not compared"


@operation
async def eager(value):
    if sys.version_info < (3, 12):
        return "not there"
    seen = [unused(lambda coroutine: asyncio.Task(coroutine, loop=loop(), eager_start=value))]
    return [*seen, outcome(lambda: asyncio.eager_task_factory(loop(), value))]


@operation
async def groups(value):
    async def run():
        async with asyncio.TaskGroup() as group:
            group.create_task(value)

    async def named():
        async with asyncio.TaskGroup() as group:
            return group.create_task(nothing(), name=value).get_name() if value is not None else "Task-N"

    return [await soon(run), await soon(named)]


@operation
async def program_arguments(value):
    seen = []
    for name in ("limit", "universal_newlines", "shell", "text", "encoding", "errors"):
        if name == "limit" and value == 1 and sys.version_info < (3, 12):
            continue
        try:
            process = await asyncio.create_subprocess_exec("true", **{name: value})
            seen.append((name, "started", await process.wait()))
        except Exception as error:
            seen.append((name, shown_error(error)))
    if value in ("1", b"1"):
        return seen
    return [
        *seen,
        await ended(lambda: asyncio.create_subprocess_exec(value)),
        await ended(lambda: asyncio.create_subprocess_shell(value)),
    ]


@operation
async def sent_signals(value):
    process = await asyncio.create_subprocess_exec("sleep", "60")
    try:
        return outcome(lambda: process.send_signal(value)) if value not in (1, 2) else "not sent"
    finally:
        process.kill()
        await process.wait()
