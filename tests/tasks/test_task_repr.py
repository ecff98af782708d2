"""The repr of a task, which is made natively in the common cases: the same text as asyncio's own function makes."""

import asyncio
import functools
from asyncio import base_tasks

import pytest

import ferrio


def texts(task):
    """The task's repr, and what asyncio's function makes of it."""
    return repr(task), base_tasks._task_repr(task)


async def child(future):
    await future


class Callable:
    def __call__(self, task):
        pass


def plain(task):
    pass


@functools.wraps(plain)
def wrapping(task):
    pass


CALLBACKS = {
    "none": [],
    "a function": [plain],
    "a lambda": [lambda task: None],
    "a wrapped function": [wrapping],
    "a partial": [functools.partial(plain)],
    "an object": [Callable()],
    "a method": [Callable().__call__],
    "a builtin": [print],
    "two": [plain, print],
    "five": [plain, print, plain, len, Callable()],
}


@pytest.mark.parametrize("callbacks", CALLBACKS.values(), ids=CALLBACKS)
@pytest.mark.parametrize("debug", [False, True])
def test_a_repr_is_asyncios(callbacks, debug):
    async def main():
        seen = []
        future = asyncio.get_running_loop().create_future()
        task = asyncio.get_running_loop().create_task(child(future), name="a 'name'")
        for callback in callbacks:
            task.add_done_callback(callback)
        seen.append(texts(task))  # not begun
        await asyncio.sleep(0)
        seen.append(texts(task))  # waiting
        waiter = asyncio.get_running_loop().create_task(child(asyncio.shield(task)))
        native = asyncio.get_running_loop().create_task(asyncio.wait([task]))
        of_task = asyncio.get_running_loop().create_task(child(task))
        await asyncio.sleep(0)
        seen += [texts(waiter), texts(native), texts(of_task), texts(task), texts(asyncio.current_task())]
        future.set_result(5)
        seen.append(texts(task))  # about to run
        task.cancel()
        seen.append(texts(task))
        for each in (waiter, native, of_task):
            each.cancel()
        await asyncio.wait([task, waiter, native, of_task])
        seen.append(texts(task))
        for callback in callbacks:
            task.remove_done_callback(callback)
        return seen

    with asyncio.Runner(loop_factory=ferrio.new_event_loop, debug=debug) as runner:
        for ours, stock in runner.run(main()):
            assert ours == stock


def test_a_repr_of_foreign_things_is_asyncios():
    class Named(ferrio.Task):
        pass

    async def main():
        loop = asyncio.get_running_loop()
        foreign = asyncio.futures._PyFuture(loop=loop)
        tasks = [Named(child(foreign), loop=loop), loop.create_task(child(foreign)), loop.create_task(iterating())]
        await asyncio.sleep(0)
        seen = [texts(task) for task in tasks]
        foreign.set_result(None)
        await asyncio.wait(tasks)
        return seen

    async def iterating():
        await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0))

    with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
        for ours, stock in runner.run(main()):
            assert ours == stock


def test_a_task_that_waits_for_itself_has_a_repr():
    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()

        async def holder():
            future.task = task
            await future

        task = loop.create_task(holder())
        await asyncio.sleep(0)
        text = texts(task)
        future.cancel()
        await asyncio.wait([task])
        return text

    with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
        ours, stock = runner.run(main())
        assert ours == stock
