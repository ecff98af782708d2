"""TaskGroup behaves as in the running Python's asyncio, on both loops."""

import asyncio
import contextvars
import gc
import inspect
import sys
import weakref
from typing import Any

import pytest

import ferrio
from tests.support.differential import assert_same_functions, masked, outcome, outcome_of
from tests.support.loops import FACTORIES, close
from tests.support.task_groups import raised, shown, tree, working


def test_results_and_what_a_group_shows_of_itself():
    async def scenario(api, trace):
        group = api.TaskGroup()
        trace.append(shown(group))
        async with group as entered:
            trace.append((entered is group, shown(group)))
            tasks = [group.create_task(working(trace, number, 3 - number)) for number in range(3)]
            trace.append(shown(group))
            await tasks[2]
            trace.append(shown(group))
        trace.append((shown(group), [task.result() for task in tasks]))

    assert_same_functions(scenario)


@pytest.mark.parametrize("error", [LookupError("x"), asyncio.CancelledError("y")])
@pytest.mark.parametrize("turns", [0, 2])
def test_a_failing_task_ends_the_group(error, turns):
    async def scenario(api, trace):
        async def parent():
            async with api.TaskGroup() as group:
                group.create_task(working(trace, "other", 9))
                failing = group.create_task(working(trace, "failing", turns, error))
                failing.add_done_callback(lambda _: trace.append(shown(group)))
                try:
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
                    await asyncio.sleep(60)
                finally:
                    trace.append(shown(group))

        async def cancel_later():
            # Turns, not seconds: by then the other task has ended on every machine.
            for _ in range(30):
                await asyncio.sleep(0)
            task.cancel()

        task = asyncio.ensure_future(parent())
        if isinstance(error, asyncio.CancelledError):
            canceller = asyncio.ensure_future(cancel_later())
        trace.append(await raised(task))
        trace.append((task.cancelling(), task.cancelled()))
        if isinstance(error, asyncio.CancelledError):
            await canceller

    assert_same_functions(scenario)


@pytest.mark.parametrize("error", [LookupError("x"), SystemExit(3), asyncio.CancelledError("y"), GeneratorExit()])
@pytest.mark.parametrize("children", [0, 2])
def test_a_failing_block_ends_the_group(error, children):
    async def scenario(api, trace):
        group = api.TaskGroup()

        async def parent():
            async with group:
                for number in range(children):
                    group.create_task(working(trace, number, 3))
                await asyncio.sleep(0)
                raise error

        trace.append(await raised(parent()))
        trace.append(shown(group))

    assert_same_functions(scenario)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("when", [0, 1, 2, 3])
def test_cancelling_the_parent_cancels_the_tasks(fails, times, when):
    async def scenario(api, trace):
        async def child():
            try:
                await asyncio.sleep(60)
            finally:
                await working(trace, "clean-up", 2)
                if fails:
                    raise LookupError("in the clean-up")

        async def parent():
            try:
                async with api.TaskGroup() as group:
                    group.create_task(child())
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
            finally:
                trace.append((asyncio.current_task().cancelling(), shown(group)))
                trace.append(await raised(asyncio.sleep(0)))

        task = asyncio.ensure_future(parent())
        for _ in range(when):
            await asyncio.sleep(0)
        for number in range(times):
            task.cancel(f"cancellation {number}")
            await asyncio.sleep(0)
        trace.append(await raised(task))
        trace.append((task.cancelling(), task.cancelled()))

    assert_same_functions(scenario)


def test_the_context_of_errors_is_what_was_being_handled():
    async def scenario(api, trace):
        async def parent():
            try:
                raise KeyError("before")
            except KeyError:
                async with api.TaskGroup() as group:
                    group.create_task(working(trace, "failing", 0, OSError("task")))
                    await asyncio.sleep(0)
                    raise ValueError("block")  # noqa: B904 # the context is what is tested

        trace.append(await raised(parent()))

    assert_same_functions(scenario)


@pytest.mark.parametrize("exit", [SystemExit, KeyboardInterrupt])
def test_exits_in_tasks_come_out_alone(exit):
    def trace_of(api, kind):
        trace = []

        async def parent():
            async with api.TaskGroup() as group:
                group.create_task(working(trace, "first", 0, exit(1)))
                group.create_task(working(trace, "second", 0, OSError("task")))
                group.create_task(working(trace, "third", 9))
                try:
                    await asyncio.sleep(60)
                finally:
                    trace.append(shown(group))

        loop = FACTORIES[kind]()
        task = loop.create_task(parent())
        # The tasks' exits leave the loop, then the parent's. A loop that runs for a task that has ended so never stops.
        while not task.done():
            try:
                loop.run_until_complete(task)
            except BaseException as error:
                trace.append(tree(error))
        trace.append(tree(task.exception()))
        close(loop)
        return trace

    stock = trace_of(asyncio, "stock")
    assert len(stock) > 6
    for kind in FACTORIES:
        assert trace_of(ferrio, kind) == stock


def test_create_task_is_refused_out_of_season():
    async def scenario(api, trace):
        group = api.TaskGroup()

        def refused():
            coroutine = working(trace, "never")
            kind = outcome(group.create_task, coroutine)
            trace.append((kind, inspect.getcoroutinestate(coroutine)))
            coroutine.close()

        refused()
        trace.append(await outcome_of(group.__aexit__(None, None, None)))
        async with group:
            trace.append(await outcome_of(group.__aenter__()))

            async def late():
                await asyncio.sleep(0)
                group.create_task(working(trace, "late"))
                await asyncio.sleep(0)
                group._abort()
                refused()

            coroutine = late()
            try:
                group.create_task(coroutine)
            except RuntimeError:
                coroutine.close()  # 3.11 leaves that to the caller
                raise
        refused()

    assert_same_functions(scenario)


def test_names_contexts_and_other_arguments():
    variable = contextvars.ContextVar("variable", default=0)

    async def scenario(api, trace):
        async def value():
            return variable.get()

        context = contextvars.copy_context()
        context.run(variable.set, 5)
        async with api.TaskGroup() as group:
            tasks = [
                group.create_task(value(), name="named"),
                group.create_task(value(), context=context),
                group.create_task(value(), name=7, context=None),
            ]
            for keywords in ({"eager_start": False}, {"unknown": 1}):
                coroutine = value()
                kind, *rest = outcome(group.create_task, coroutine, **keywords)
                trace.append((kind, rest if kind == "raised" else await rest[0]))
                coroutine.close()
        trace.append([(masked(task.get_name()), task.result()) for task in tasks])

    assert_same_functions(scenario)


def test_a_loop_is_asked_as_asyncio_asks_it():
    async def scenario(api, trace):
        loop = asyncio.get_running_loop()

        def factory(loop, coro, **keywords):
            trace.append(sorted(keywords.items(), key=str))
            return asyncio.Task(coro, loop=loop, **keywords)

        loop.set_task_factory(factory)
        async with api.TaskGroup() as group:
            group.create_task(working(trace, 1))
            group.create_task(working(trace, 2), name="two")
        loop.set_task_factory(lambda loop, coro, **_: coro.close())
        trace.append(await outcome_of(failing_to_make(api, trace)))
        loop.set_task_factory(None)

    async def failing_to_make(api, trace):
        async with api.TaskGroup() as group:
            group.create_task(working(trace, 3))

    assert_same_functions(scenario)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are there from 3.12 on")
@pytest.mark.parametrize("error", [None, LookupError("at once")])
def test_eager_tasks_may_be_done_at_once(error):
    async def scenario(api, trace):
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)

        async def parent():
            async with api.TaskGroup() as group:
                group.create_task(working(trace, "slow", 2))
                task = group.create_task(working(trace, "eager", 0, error))
                trace.append((task.done(), shown(group)))
                await asyncio.sleep(0)
                trace.append("after a turn")

        trace.append(await raised(parent()))

    assert_same_functions(scenario)


def test_overridden_methods_are_called():
    async def scenario(api: Any, trace):
        class Group(api.TaskGroup):
            def __init__(self, *arguments, **keywords):
                super().__init__()
                trace.append((arguments, keywords))

            def create_task(self, coro, **keywords):
                trace.append("create_task")
                return super().create_task(coro, **keywords)

            def _on_task_done(self, task):
                trace.append(("done", task.cancelled()))
                super()._on_task_done(task)

            def _abort(self):
                trace.append("abort")
                super()._abort()

            def _is_base_error(self, exc):
                trace.append(("is_base_error", masked(exc)))
                return super()._is_base_error(exc) or isinstance(exc, ArithmeticError)

        async def parent(error):
            async with Group(1, key="word") as group:
                group.create_task(working(trace, "other", 3))
                group.create_task(working(trace, "failing", 1, error))

        for error in (None, LookupError("x"), ArithmeticError("y")):
            trace.append(await raised(parent(error)))

    assert_same_functions(scenario)


def test_a_parent_that_is_already_done_is_reported():
    async def scenario(api, trace):
        group = api.TaskGroup()
        await asyncio.ensure_future(group.__aenter__())
        task = group.create_task(working(trace, "orphan", 2, LookupError("x")))
        trace.append(await outcome_of(task))
        await asyncio.sleep(0)

    assert_same_functions(scenario)


def test_outside_of_tasks_there_is_no_parent():
    async def scenario(api, trace):
        ended = asyncio.get_running_loop().create_future()

        def callback():
            try:
                api.TaskGroup().__aenter__().send(None)
            except RuntimeError as error:
                ended.set_result(masked(error))

        asyncio.get_running_loop().call_soon(callback)
        trace.append(await ended)

    assert_same_functions(scenario)


def test_the_callback_of_a_task_names_the_group():
    async def scenario(api, trace):
        async with api.TaskGroup() as group:
            task = group.create_task(working(trace, 1))
            trace.append(masked(repr(task)).split("cb=")[1].replace("ferrio", ""))

    async def shows_the_name(api, trace):
        await scenario(api, trace)
        trace[:] = ["TaskGroup._on_task_done" in text for text in trace if isinstance(text, str)]

    assert_same_functions(shows_the_name)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="call graphs are there from 3.14 on")
def test_tasks_know_that_their_parent_waits():
    async def scenario(api, trace):
        async with api.TaskGroup() as group:
            task = group.create_task(working(trace, 1, 1))
            trace.append(asyncio.capture_call_graph(task).awaited_by[0].future is asyncio.current_task())
        trace.append(asyncio.capture_call_graph(task).awaited_by)

    assert_same_functions(scenario)


def test_signatures_and_coroutine_functions():
    for name in ("__aenter__", "__aexit__"):
        assert inspect.iscoroutinefunction(getattr(ferrio.TaskGroup, name))
    assert inspect.signature(ferrio.TaskGroup) == inspect.signature(asyncio.TaskGroup)
    assert outcome(ferrio.TaskGroup, 1)[:2] == ("raised", "TypeError")


def test_no_more_is_left_of_a_group_than_asyncio_leaves(new_event_loop):
    class Payload(LookupError):
        pass

    async def failing():
        raise Payload

    def left(api):
        async def parent():
            async with api.TaskGroup() as group:
                references.append(weakref.ref(group))
                references.append(weakref.ref(group.create_task(failing())))

        references: list[weakref.ref] = []
        loop = new_event_loop()
        gc.collect()
        gc.disable()
        try:
            try:
                loop.run_until_complete(parent())
            except ExceptionGroup as group:
                references.append(weakref.ref(group.exceptions[0]))
            loop.run_until_complete(asyncio.sleep(0))
            # The exception's traceback leads to the task's frame; before 3.14 the group leads to its parent as well.
            without_collector = [reference() is None for reference in references]
        finally:
            gc.enable()
        close(loop)
        gc.collect()
        assert [reference() for reference in references] == [None] * 3
        return without_collector

    assert all(gone for gone, gone_from_asyncio in zip(left(ferrio), left(asyncio), strict=True) if gone_from_asyncio)


def test_cycles_through_a_group_are_collected():
    group = ferrio.TaskGroup()
    group.own = group
    group._tasks.add(group)
    leaving = group.__aexit__(None, None, None)
    group.leaving = leaving
    leaving.close()
    reference = weakref.ref(group)
    del group, leaving
    gc.collect()
    assert reference() is None
