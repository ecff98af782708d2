"""create_task, current_task, all_tasks, the hooks for other libraries, eager factories, and futures of threads."""

import asyncio
import concurrent.futures
import contextvars
import gc
import sys
import threading
import weakref

import pytest

import ferrio
from tests.support.coroutines import returning
from tests.support.differential import assert_same_functions, masked, outcome, outcome_of

VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")

from_3_12 = pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")


def test_create_task_asks_the_running_loop():
    async def scenario(api, trace):
        async def shown():
            return VARIABLE.get(), asyncio.current_task().get_name()[:5]

        context = contextvars.copy_context()
        context.run(VARIABLE.set, "own")
        for keywords in ({}, {"name": "given"}, {"context": context}, {"name": 5, "context": context}, {"name": None}):
            task = api.create_task(shown(), **keywords)
            trace.append((await task, task.get_name()[:5]))
        coroutine = returning(1)
        trace.append(outcome(api.create_task, coroutine, nonsense=1)[:2])
        coroutine.close()
        trace.append(outcome(api.create_task, 5))

    assert_same_functions(scenario)


def test_without_a_running_loop_there_is_no_task():
    coroutine = returning(1)
    for api in (asyncio, ferrio):
        for call in (lambda api=api: api.create_task(coroutine), api.current_task, api.all_tasks):
            with pytest.raises(RuntimeError, match="no running event loop"):
                call()
    coroutine.close()


def test_a_loop_is_asked_with_the_keywords_that_asyncio_gives():
    class Recording(asyncio.SelectorEventLoop):
        def create_task(self, coro, **keywords):
            self.seen = sorted(keywords)
            return super().create_task(coro, **keywords)

    def seen(api):
        loop = Recording()

        async def main():
            kinds = []
            for keywords in ({}, {"name": "x"}, {"context": contextvars.copy_context()}):
                await api.create_task(returning(1), **keywords)
                kinds.append(loop.seen)
            return kinds

        try:
            return loop.run_until_complete(main())
        finally:
            loop.close()

    assert seen(ferrio) == seen(asyncio)


def test_all_tasks_and_the_current_one_are_found():
    async def scenario(api, trace):
        loop = asyncio.get_running_loop()
        current = api.current_task()
        kinds = [ferrio.Task, asyncio.Task, asyncio.tasks._PyTask]
        tasks = [kind(returning(number, 3), loop=loop) for number, kind in enumerate(kinds)]
        trace.append((api.all_tasks() == {current, *tasks}, api.all_tasks(loop) == asyncio.all_tasks()))
        trace.append((api.current_task(loop) is current, current is asyncio.current_task()))
        trace.append(await api.gather(*tasks))
        trace.append(api.all_tasks() == {current})
        other = asyncio.new_event_loop()
        trace.append((api.all_tasks(other), api.current_task(other)))
        other.close()
        loop.call_soon(lambda: trace.append((api.current_task(), len(api.all_tasks()))))
        await asyncio.sleep(0)

    assert_same_functions(scenario)


def test_other_libraries_tasks_are_noted():
    class Foreign:
        def __init__(self, loop):
            self.loop = loop

        def get_loop(self):
            return self.loop

        def done(self):
            return False

    async def scenario(api, trace):
        loop = asyncio.get_running_loop()
        task = Foreign(loop)
        api._register_task(task)
        trace.append((task in api.all_tasks(), task in asyncio.all_tasks(loop)))
        api._unregister_task(task)
        trace.append((task in api.all_tasks(), task in asyncio.all_tasks(loop)))
        current = api.current_task()
        trace.append(masked(outcome(api._enter_task, loop, task)).split("<")[0])
        trace.append(masked(outcome(api._leave_task, loop, task)).split("<")[0])
        api._leave_task(loop, current)
        trace.append((api.current_task(), api._enter_task(loop=loop, task=task), api.current_task() is task))
        api._leave_task(loop=loop, task=task)
        api._enter_task(loop, current)
        await asyncio.sleep(0)
        trace.append(api.current_task() is current)

    assert_same_functions(scenario)


@from_3_12
def test_other_libraries_eager_tasks_are_noted():
    async def scenario(api, trace):
        tasks = api.tasks if api is asyncio else api
        loop, current = asyncio.get_running_loop(), asyncio.current_task()
        future = ferrio.Future(loop=loop)
        tasks._register_eager_task(future)
        trace.append(future in asyncio.all_tasks())
        tasks._unregister_eager_task(future)
        trace.append(future in asyncio.all_tasks())
        trace.append((tasks._swap_current_task(loop, future) is current, asyncio.current_task() is future))
        trace.append((tasks._swap_current_task(loop, current) is future, asyncio.current_task() is current))
        future.cancel()

    assert_same_functions(scenario)


@from_3_12
def test_eager_tasks_start_at_once():
    async def scenario(api, trace):
        async def noting(value, turns):
            trace.append(("begins", value, asyncio.current_task().get_name()[:5], VARIABLE.get()))
            await returning(None, turns)
            trace.append(("ends", value))
            return value

        class Other(ferrio.Task):
            pass

        loop = asyncio.get_running_loop()
        context = contextvars.copy_context()
        context.run(VARIABLE.set, "own")
        made = [api.eager_task_factory, api.create_eager_task_factory(Other)]
        made.append(api.create_eager_task_factory(asyncio.tasks._PyTask))
        for factory in made:
            loop.set_task_factory(factory)
            trace.append(loop.get_task_factory() is factory)
            for turns in (0, 2):
                for keywords in ({}, {"name": "given"}, {"context": context}):
                    task = loop.create_task(noting(turns, turns), **keywords)
                    trace.append(("made", task.done(), task.get_name()[:5], task in asyncio.all_tasks()))
                    trace.append(await task)
            gathered = api.gather(noting("a", 0), noting("b", 1), noting("c", 0))
            trace.append((gathered.done(), await gathered))
            trace.append((api.gather(noting("a", 0)).done(), isinstance(task, Other)))
        loop.set_task_factory(None)
        trace.append(outcome(api.eager_task_factory, loop, returning))
        for factory in made:
            task = factory(loop, noting("called", 1))
            trace.append((task.done(), await task))

    assert_same_functions(scenario)


@from_3_12
def test_an_exception_of_an_eager_start_is_the_tasks():
    async def scenario(api, trace):
        async def failing():
            raise LookupError("failed")

        loop = asyncio.get_running_loop()
        loop.set_task_factory(api.eager_task_factory)
        task = loop.create_task(failing())
        trace.append((task.done(), await outcome_of(task)))
        trace.append(await outcome_of(api.gather(failing(), returning(1, 1), return_exceptions=True)) and "gathered")
        loop.set_task_factory(None)

    assert_same_functions(scenario)


@from_3_12
def test_the_eager_factory_can_be_looked_into():
    """anyio asks for its code, and takes the constructor of tasks out of it."""
    made = ferrio.create_eager_task_factory(ferrio.Task)
    for factory in (ferrio.eager_task_factory, made):
        assert factory.__code__ is asyncio.eager_task_factory.__code__
        assert factory.__closure__[0].cell_contents is ferrio.Task


def test_a_coroutine_for_another_threads_loop():
    async def scenario(api, trace):
        loop = asyncio.get_running_loop()

        async def failing():
            raise LookupError("failed")

        async def endless():
            try:
                await asyncio.sleep(1000)
            finally:
                trace.append("cancelled")

        def calls():
            seen = [outcome(api.run_coroutine_threadsafe(returning(5, 2), loop).result, 5)]
            seen.append(outcome(api.run_coroutine_threadsafe(failing(), loop).result, 5))
            future = api.run_coroutine_threadsafe(endless(), loop)
            seen.append(outcome(future.result, 0.01))
            seen.append((future.cancel(), future.cancelled()))
            seen.append(outcome(api.run_coroutine_threadsafe, returning, loop))
            return seen

        trace.append(await loop.run_in_executor(None, calls))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    assert_same_functions(scenario)


def test_a_task_that_cannot_be_made_fails_the_future():
    async def scenario(api, trace):
        loop = asyncio.get_running_loop()

        def refusing(loop, coro, **keywords):
            raise LookupError("no task")

        loop.set_task_factory(refusing)
        coroutine = returning(1)
        future = api.run_coroutine_threadsafe(coroutine, loop)
        await asyncio.sleep(0)
        trace.append(outcome(future.result, 0))
        loop.set_task_factory(None)
        coroutine.close()

    assert_same_functions(scenario)


def test_futures_of_threads_are_wrapped():
    async def scenario(api, trace):
        loop = asyncio.get_running_loop()
        for end in (
            lambda future: future.set_result(1),
            lambda future: future.set_exception(LookupError("failed")),
            lambda future: future.set_exception(concurrent.futures.CancelledError("theirs")),
            lambda future: future.set_exception(concurrent.futures.TimeoutError("late")),
            lambda future: future.set_exception(concurrent.futures.InvalidStateError("wrong")),
            lambda future: future.cancel(),
        ):
            future = concurrent.futures.Future()
            wrapped = api.wrap_future(future)
            thread = threading.Thread(target=end, args=(future,))
            thread.start()
            trace.append(await outcome_of(wrapped))
            thread.join()
        future = concurrent.futures.Future()
        wrapped = api.wrap_future(future, loop=loop)
        trace.append((wrapped.cancel(), await outcome_of(wrapped), future.cancelled()))
        own = loop.create_future()
        trace.append(api.wrap_future(own) is own)
        trace.append(outcome(api.wrap_future, 5))
        own.cancel()

    assert_same_functions(scenario)


def test_a_wrapped_future_that_is_done_is_no_cycle():
    async def main():
        future = concurrent.futures.Future()
        wrapped = ferrio.wrap_future(future)
        future.set_result(5)
        assert await wrapped == 5
        await asyncio.sleep(0)
        seen = weakref.ref(future), weakref.ref(wrapped)
        gc.disable()
        try:
            del future, wrapped
            return [reference() for reference in seen]
        finally:
            gc.enable()

    assert ferrio.run(main())[0] is None


def test_a_closed_loop_hears_nothing_of_a_wrapped_future(caplog):
    for api in (asyncio, ferrio):
        loop = ferrio.new_event_loop()
        futures = [concurrent.futures.Future() for _ in range(2)]
        wrapped = [api.wrap_future(future, loop=loop) for future in futures]
        wrapped[0].cancel()
        loop.close()
        for future in futures:
            future.set_result(None)
    assert not caplog.records
