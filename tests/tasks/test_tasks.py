"""Native tasks behave as asyncio's, on both loops, and asyncio's own functions recognise them."""

import asyncio
import contextvars
import gc
import sys
import time
import traceback
import weakref
from typing import cast

import pytest

import ferrio
from tests.support.coroutines import returning
from tests.support.differential import assert_same, assert_same_functions, masked, outcome, outcome_of

VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")


def test_results_exceptions_and_states_are_asyncios():
    async def scenario(trace):
        async def failing():
            raise LookupError("failed")

        for coroutine in (returning(5), returning(None, 3), failing()):
            task = asyncio.create_task(coroutine, name="named")
            trace.append(masked(repr(task)))
            trace.append(await outcome_of(task))
            trace.append((masked(repr(task)), task.done(), task.cancelled(), task.cancelling()))
            trace.append(outcome(task.set_result, 1))
            trace.append(outcome(task.set_exception, ValueError()))

    assert_same(scenario)


def test_cancelling_is_asyncios():
    async def scenario(trace):
        async def stubborn():
            for _ in range(2):
                try:
                    await asyncio.sleep(10)
                except asyncio.CancelledError as error:
                    trace.append(("caught", error.args, asyncio.current_task().cancelling()))
            asyncio.current_task().uncancel()
            return "stayed"

        async def waiting_for(future):
            await future

        task = asyncio.create_task(stubborn())
        for message in ("first", "second"):
            await asyncio.sleep(0)
            trace.append(task.cancel(message))
        trace.append((await outcome_of(task), task.cancelling(), task.cancel()))
        early = asyncio.create_task(returning(1))
        early.cancel("before it began")
        trace.append(await outcome_of(early))
        future = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(waiting_for(future))
        await asyncio.sleep(0)
        task.cancel("through the future")
        trace.append((future.cancelled(), await outcome_of(task), task._cancel_message))

    assert_same(scenario)


SHARED = {
    "sleep": lambda asyncio: asyncio.sleep(0.01, "slept"),
    "wait_for": lambda asyncio: asyncio.wait_for(asyncio.sleep(0.01, "slept"), 5),
    "Event.wait": lambda asyncio: event_soon(asyncio).wait(),
    "Queue.get": lambda asyncio: queue_soon(asyncio).get(),
    "Condition.wait_for": lambda asyncio: asyncio.Condition().wait_for(lambda: True),
    "to_thread": lambda asyncio: asyncio.to_thread(time.sleep, 0.01),
}


def event_soon(module):
    event = module.Event()
    asyncio.get_running_loop().call_later(0.01, event.set)
    return event


def queue_soon(module):
    queue = module.Queue()
    asyncio.get_running_loop().call_later(0.01, queue.put_nowait, 1)
    asyncio.get_running_loop().call_later(0.02, queue.put_nowait, 2)
    return queue


@pytest.mark.parametrize("name", SHARED)
def test_two_tasks_on_one_coroutine_end_as_in_asyncio(name):
    async def scenario(asyncio, trace):
        coroutine = SHARED[name](asyncio)
        first, second = asyncio.create_task(coroutine), asyncio.create_task(coroutine)
        await asyncio.wait([first, second])
        trace.append([repr(task.exception() or task.result()) for task in (first, second)])

    assert_same_functions(scenario)


def test_the_task_of_an_awaitable_shows_asyncios_coroutine():
    class Awaitable:
        def __await__(self):
            yield
            raise LookupError("awaited")

    async def scenario(asyncio, trace):
        task = asyncio.ensure_future(Awaitable())
        await asyncio.wait([task])
        frames = traceback.extract_tb(task.exception().__traceback__)
        files = [(frame.filename.rpartition("/")[2], frame.name) for frame in frames]
        trace.append((repr(task).partition(" at ")[0].replace(task.get_name(), "name"), files))

    assert_same_functions(scenario)


def test_wrong_yields_are_refused_as_by_asyncio():
    class Yields:
        def __init__(self, value):
            self.value = value

        def __await__(self):
            return (yield self.value)

    async def scenario(trace):
        loop = asyncio.get_running_loop()
        other = asyncio.new_event_loop()

        async def awaiting(awaitable):
            return await awaitable

        async def itself():
            await cast(asyncio.Task, asyncio.current_task())

        generator = (each for each in ())
        for value in (5, generator, loop.create_future(), None):
            trace.append(await outcome_of(asyncio.create_task(awaiting(Yields(value)))))
        trace.append(await outcome_of(asyncio.create_task(awaiting(other.create_future()))))
        trace.append(await outcome_of(asyncio.create_task(itself())))
        trace.append(outcome(asyncio.get_running_loop().create_task, 5))
        other.close()

    # Which loop made the foreign future shows in its repr only in debug mode.
    assert_same(scenario)


def test_contexts_names_and_order_are_asyncios():
    async def scenario(trace):
        async def reading(label):
            trace.append((label, VARIABLE.get()))
            VARIABLE.set(label)
            await asyncio.sleep(0)
            trace.append((label, VARIABLE.get(), asyncio.current_task().get_name()))

        VARIABLE.set("outside")
        context = contextvars.copy_context()
        context.run(VARIABLE.set, "given")
        tasks = [
            asyncio.create_task(reading("one"), name="one"),
            asyncio.create_task(reading("two"), name="two", context=context),
        ]
        for task in tasks:
            task.add_done_callback(lambda task: trace.append(("done", task.get_name(), asyncio.current_task() is None)))
        await asyncio.wait(tasks)
        tasks[0].set_name(5)
        trace.append((VARIABLE.get(), context[VARIABLE], tasks[0].get_name()))

    assert_same(scenario)


@pytest.mark.parametrize("eager", [False, True] if sys.version_info >= (3, 15) else [False])
def test_what_is_no_context_is_refused_as_by_asyncio(eager):
    """Since 3.15 when the task is made, before that when it is to run."""

    async def scenario(trace):
        class Own(asyncio.Task):
            pass

        keywords = {"eager_start": True} if eager else {}
        loop = asyncio.get_running_loop()

        def report(_, context):
            # When a task that can never run is destroyed is the collector's affair.
            if "exception" in context:
                trace.append(masked(context["exception"]))

        loop.set_exception_handler(report)
        for kind in (asyncio.Task, Own):
            coroutine = returning(1)
            trace.append(outcome(lambda kind=kind, c=coroutine: kind(c, context=object(), **keywords).done()))
            await asyncio.sleep(0)
            coroutine.close()

    assert_same(scenario)


@pytest.fixture(params=[ferrio.EventLoop, asyncio.SelectorEventLoop], ids=["ferrio", "stock"])
def any_loop(request):
    loop = request.param()
    yield loop
    loop.close()


def test_a_cycle_through_a_task_is_collected(any_loop):
    async def waiting(future):
        await future

    async def main():
        future = any_loop.create_future()
        task = ferrio.Task(waiting(future), loop=any_loop)
        task._log_destroy_pending = False
        future.task = task
        await asyncio.sleep(0)
        return weakref.ref(task), weakref.ref(future) if type(future) is ferrio.Future else weakref.ref(task)

    references = any_loop.run_until_complete(main())
    gc.collect()
    assert [reference() for reference in references] == [None, None]


def test_asyncios_hooks_register_and_forget_native_tasks(any_loop):
    async def main():
        own = asyncio.current_task()
        task = ferrio.Task(returning(1, 3), loop=any_loop)
        assert asyncio.all_tasks() == {own, task}
        asyncio.tasks._unregister_task(task)
        assert asyncio.all_tasks() == {own}
        asyncio.tasks._unregister_task(task)
        for _ in range(2):
            asyncio.tasks._register_task(task)
            assert asyncio.all_tasks() == {own, task}
        assert await task == 1
        assert asyncio.all_tasks() == {own}
        foreign = asyncio.tasks._PyTask(returning(2), loop=any_loop)
        if sys.version_info < (3, 14):  # later asyncio itself does not show its tasks in Python
            assert asyncio.all_tasks() == {own, foreign}
        await foreign

    any_loop.run_until_complete(ferrio.Task(main(), loop=any_loop))


def test_no_task_is_shown_to_callbacks_between_steps():
    async def main():
        loop = asyncio.get_running_loop()
        shown = []
        for _ in range(3):
            loop.call_soon(lambda: shown.append(asyncio.current_task()))
            future = loop.create_future()
            loop.call_soon(future.set_result, None)
            await future
            assert asyncio.current_task() is not None
            loop.call_soon(future.set_result, None)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return shown

    contexts = []
    loop = ferrio.new_event_loop()
    loop.set_exception_handler(lambda _, context: contexts.append((context["message"], asyncio.current_task(loop))))
    assert loop.run_until_complete(main()) == [None] * 3
    loop.close()
    assert [task for _, task in contexts] == [None] * 3
    assert all("set_result" in message for message, _ in contexts)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_an_eager_task_runs_at_once(any_loop):
    async def main():
        outer = asyncio.current_task()
        seen = []

        async def eager():
            seen.append(asyncio.current_task())
            await asyncio.sleep(0)

        task = ferrio.Task(eager(), loop=any_loop, eager_start=True)
        assert seen == [task]
        assert asyncio.current_task() is outer
        assert task in asyncio.all_tasks()
        await task
        done = ferrio.Task(returning(2), loop=any_loop, eager_start=True)
        assert done.done()
        assert done.get_coro() is None

    any_loop.run_until_complete(main())


def test_objects_do_not_pile_up():
    loop = ferrio.new_event_loop()

    async def round_of_everything():
        await loop.create_task(returning(1))
        future = loop.create_future()
        future.add_done_callback(lambda _: None)
        loop.call_soon(future.set_result, object())
        await future
        task = loop.create_task(returning(1, 5))
        await asyncio.sleep(0)
        task.cancel("enough")
        await outcome_of(task)

    async def main():
        for _ in range(100):
            await round_of_everything()
        gc.collect()
        before = len(gc.get_objects())
        for _ in range(1000):
            await round_of_everything()
        gc.collect()
        assert len(gc.get_objects()) - before < 20

    loop.run_until_complete(main())
    loop.close()
