"""Rust futures as tasks and coroutines: results, errors, panics, names, context variables, and what tools see."""

import asyncio
import collections.abc
import contextvars
import gc
import threading
import weakref

import pytest
import rust_extension

from ferrio import inspect


def test_ready_future_is_a_task_with_its_result(loop, loop_kind):
    async def main():
        task = rust_extension.ready([1])
        assert isinstance(task, type(asyncio.current_task()) if loop_kind == "python" else asyncio.Task)
        assert task in asyncio.all_tasks()
        assert not task.done()
        return await task

    assert loop.run_until_complete(main()) == [1]


@pytest.mark.parametrize("value", [None, 7, (1, 2), (), StopIteration])
def test_result_reaches_the_awaiter_as_it_is(loop, value):
    async def main():
        return (
            await rust_extension.lazy(value),
            await rust_extension.ready(value),
            await rust_extension.wake_once(value),
        )

    assert loop.run_until_complete(main()) == (value, value, value)


def test_coroutine_runs_in_the_task_that_awaits_it(loop):
    async def current():
        return asyncio.current_task()

    async def main():
        before = asyncio.all_tasks()
        found = await rust_extension.awaited(current())
        assert asyncio.all_tasks() == before
        return found is asyncio.current_task()

    assert loop.run_until_complete(main())


def test_woken_future_lets_others_run_first(loop):
    async def main():
        order = []
        task = rust_extension.wake_once("rust")
        task.add_done_callback(lambda _: order.append("rust"))
        loop.call_soon(loop.call_soon, order.append, "python")
        await task
        return order

    assert loop.run_until_complete(main()) == ["python", "rust"]


def test_error_reaches_the_awaiter(loop):
    async def main():
        with pytest.raises(ValueError, match="no such thing"):
            await rust_extension.failing("no such thing")

    loop.run_until_complete(main())


def test_panic_is_an_error_of_its_task_alone(loop, capfd):
    async def main():
        other = rust_extension.wake_once(1)
        with pytest.raises(RuntimeError, match="a Rust future panicked: broken"):
            await rust_extension.panicking("broken")
        return await other

    assert loop.run_until_complete(main()) == 1
    assert "broken" in capfd.readouterr().err  # Rust's own report


def test_task_is_named_after_its_rust_function(loop):
    async def main():
        task = rust_extension.wake_once(1)
        coroutine = task.get_coro()
        assert coroutine.__qualname__ == "rust_extension::small::wake_once"
        assert coroutine.__name__ == "wake_once"
        assert "rust_extension::small::wake_once" in repr(task)
        assert isinstance(coroutine, collections.abc.Coroutine)
        assert asyncio.iscoroutine(coroutine)
        await task

    loop.run_until_complete(main())


def test_coroutine_object_behaves_like_pythons(loop):
    coroutine = rust_extension.lazy(3)
    with pytest.raises(TypeError, match="can't send non-None value"):
        coroutine.send(1)
    with pytest.raises(StopIteration) as caught:
        coroutine.send(None)
    assert caught.value.value == 3
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        coroutine.send(None)
    coroutine.close()
    unstarted = rust_extension.lazy(3)
    with pytest.raises(KeyError):
        unstarted.throw(KeyError())
    closed = rust_extension.lazy(3)
    closed.close()
    with pytest.raises(RuntimeError, match="cannot reuse"):
        closed.send(None)


def test_coroutine_that_is_never_awaited_warns():
    with pytest.warns(RuntimeWarning, match="coroutine 'rust_extension::small::lazy' was never awaited"):
        rust_extension.lazy(1)


def test_spawning_needs_a_running_loop():
    with pytest.raises(RuntimeError, match="no running event loop"):
        rust_extension.ready(1)


def test_coroutine_runs_on_its_own_thread_only():
    outcome = []

    def run():
        try:
            coroutine.send(None)
        except RuntimeError as error:
            outcome.append(str(error))

    coroutine = rust_extension.lazy(1)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    coroutine.close()
    assert outcome == ["a Rust future can only run on the thread that created it"]


def test_context_variables_flow(loop):
    variable = contextvars.ContextVar("variable", default="outer")

    async def read_and_set():
        before = variable.get()
        variable.set("inner")
        await asyncio.sleep(0)
        return before, variable.get()

    async def main():
        variable.set("of main")
        assert await rust_extension.nested(read_and_set()) == ("of main", "inner")
        assert variable.get() == "of main"
        assert await rust_extension.awaited(read_and_set()) == ("of main", "inner")
        return variable.get()

    assert loop.run_until_complete(main()) == "inner"


def test_sleep_waits_by_the_loops_clock(loop):
    async def main():
        start = loop.time()
        assert await rust_extension.slept(0.01, "result") == "result"
        return loop.time() - start

    assert loop.run_until_complete(main()) >= 0.009


def test_gather_and_task_group_take_both_kinds(loop):
    async def python(value):
        await asyncio.sleep(0)
        return value

    async def main():
        gathered = await asyncio.gather(
            rust_extension.ready(1),
            python(2),
            rust_extension.lazy(3),
            rust_extension.failing("4"),
            return_exceptions=True,
        )
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(rust_extension.lazy(1)), group.create_task(python(2))]
        idle = []
        with pytest.raises(ExceptionGroup) as caught:
            await failing_group(idle)
        assert idle[0].cancelled()
        assert [str(error) for error in caught.value.exceptions] == ["no"]
        return gathered[:3], repr(gathered[3]), [task.result() for task in tasks]

    async def failing_group(idle):
        async with asyncio.TaskGroup() as group:
            idle.append(group.create_task(rust_extension.awaited(loop.create_future())))
            group.create_task(rust_extension.awaited(rust_extension.failing("no")))

    assert loop.run_until_complete(main()) == ([1, 2, 3], "ValueError('4')", [1, 2])


def test_waits_shields_and_completion_order(loop):
    async def main():
        gate = rust_extension.Gate()
        waiting = gate.wait()
        done, pending = await asyncio.wait([waiting, rust_extension.ready(1)], return_when="FIRST_COMPLETED")
        assert pending == {waiting}
        assert [task.result() for task in done] == [1]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(waiting), 0.001)
        assert not waiting.done()
        gate.open_for_one()
        await waiting
        return [await each for each in asyncio.as_completed([rust_extension.wake_once(2), rust_extension.ready(1)])]

    assert loop.run_until_complete(main()) == [1, 2]


def test_finished_task_frees_its_results_and_itself(loop):
    class Value:
        pass

    async def main():
        value = Value()
        task = rust_extension.wake_once(value)
        references = weakref.ref(value), weakref.ref(task), weakref.ref(task.get_coro())
        await task
        return references

    references = loop.run_until_complete(main())
    loop.run_until_complete(asyncio.sleep(0))
    gc.collect()
    assert [reference() for reference in references] == [None, None, None]


@pytest.mark.parametrize("by_thread", [False, True])
def test_inspection_shows_the_rust_functions_of_a_chain(new_event_loop, by_thread):
    async def inner(future):
        await future

    async def outer(future):
        await rust_extension.awaited(inner(future))

    async def main():
        future = asyncio.get_running_loop().create_future()
        task = asyncio.ensure_future(outer(future))
        await asyncio.sleep(0)
        tasks = await asyncio.to_thread(inspect.tasks) if by_thread else inspect.tasks()
        stacks = [[frame["function"].rpartition(".")[2] for frame in task["stack"]] for task in tasks]
        future.set_result(None)
        await task
        return stacks

    stacks = new_event_loop().run_until_complete(main())
    # Futures of Python have a frame of their own.
    assert ["outer", "rust_extension::small::awaited", "inner"] in [stack[:3] for stack in stacks]
