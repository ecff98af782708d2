"""Introspection finds what it finds in asyncio: call graphs, coroutine functions; docs/introspection.md is accurate."""

import asyncio
import inspect
import io
import os
import signal
import subprocess
import sys
import textwrap
from unittest import mock

import pytest

import ferrio
from tests.support.loops import FACTORIES

needs_call_graphs = pytest.mark.skipif(sys.version_info < (3, 14), reason="asyncio has call graphs from 3.14 on")


@pytest.fixture(params=["stock", "loop", "whole"])
def runner(request):
    if request.param == "whole":
        ferrio.install()
    with asyncio.Runner(loop_factory=FACTORIES["stock" if request.param == "stock" else "ferrio"]) as runner:
        yield runner
    ferrio.uninstall()


def shape(graph) -> tuple:
    """The name of a graph's task, its functions in this file, innermost first, and who waits for it."""
    frames = [entry.frame.f_code.co_name for entry in graph.call_stack if entry.frame.f_code.co_filename == __file__]
    name = graph.future.get_name() if hasattr(graph.future, "get_name") else "future"
    return (name, frames, sorted(shape(each) for each in graph.awaited_by))


async def inner(awaitable):
    return await awaitable


async def outer(awaitable):
    return await inner(awaitable)


async def settled():
    for _ in range(3):
        await asyncio.sleep(0)


@needs_call_graphs
def test_a_task_shows_its_coroutines_and_a_future_its_waiters(runner):
    async def main():
        future = asyncio.get_running_loop().create_future()
        tasks = [asyncio.create_task(outer(future), name=name) for name in ("one", "two")]
        await settled()
        assert shape(asyncio.capture_call_graph(tasks[0])) == ("one", ["inner", "outer"], [])
        waiters = [("one", ["inner", "outer"], []), ("two", ["inner", "outer"], [])]
        assert shape(asyncio.capture_call_graph(future)) == ("future", [], waiters)
        future.set_result(None)
        await asyncio.gather(*tasks)
        assert shape(asyncio.capture_call_graph(future)) == ("future", [], [])

    runner.run(main())


@needs_call_graphs
@pytest.mark.parametrize("way", ["task", "gather", "shield", "wait", "wait_for", "group", "as_completed", "timeout"])
def test_a_task_shows_who_waits_for_it_by_any_way(runner, way):
    async def waiting(task):
        match way:
            case "task":
                await task
            case "gather":
                await asyncio.gather(task)
            case "shield":
                await asyncio.shield(task)
            case "wait":
                await asyncio.wait([task])
            case "wait_for":
                await asyncio.wait_for(task, 100)
            case "as_completed":
                await next(iter(asyncio.as_completed([task])))
            case "timeout":
                async with asyncio.timeout(100):
                    await task

    async def main():
        future = asyncio.get_running_loop().create_future()
        if way == "group":

            async def waiting_group():
                async with asyncio.TaskGroup() as group:
                    group.create_task(outer(future), name="waited for")

            parent = asyncio.create_task(waiting_group(), name="parent")
            await settled()
            (task,) = (each for each in asyncio.all_tasks() if each.get_name() == "waited for")
        else:
            task = asyncio.create_task(outer(future), name="waited for")
            parent = asyncio.create_task(waiting(task), name="parent")
            await settled()
        text = asyncio.format_call_graph(task)
        assert "name='waited for'" in text
        assert "outer" in text
        # asyncio's own as_completed() tells nothing of whom it waits for.
        if way != "as_completed":
            assert "name='parent'" in text
        future.set_result(None)
        await parent
        assert shape(asyncio.capture_call_graph(task))[2] == []

    runner.run(main())


@needs_call_graphs
def test_a_call_graph_shows_what_the_program_awaits(runner):
    """Not the coroutines of asyncio's own code between: there are none."""

    async def parent(future):
        async with asyncio.TaskGroup() as group:
            group.create_task(outer(future), name="child")

    async def main():
        future = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(parent(future))
        await settled()
        names = [entry.frame.f_code.co_name for entry in asyncio.capture_call_graph(task).call_stack]
        ferrios = asyncio.TaskGroup is ferrio.TaskGroup
        assert names == (["__aexit__", "parent"] if ferrios else ["_aexit", "__aexit__", "parent"])
        future.set_result(None)
        await task

    runner.run(main())


@needs_call_graphs
def test_the_current_task_and_printing(runner):
    async def child():
        output = io.StringIO()
        asyncio.print_call_graph(file=output)
        for text in (output.getvalue(), asyncio.format_call_graph()):
            assert text.index("name='child'") < text.index("child()") < text.index("name='parent'")
        graph = asyncio.capture_call_graph()
        assert shape(graph)[0] == "child"
        assert shape(graph)[1][0] == "child"
        assert [shape(each)[0] for each in graph.awaited_by] == ["parent"]

    async def main():
        asyncio.current_task().set_name("parent")
        await asyncio.create_task(child(), name="child")

    runner.run(main())


PROGRAM = """
import asyncio, signal

async def leaf():
    await asyncio.sleep(100)

async def main():
    loop = asyncio.get_running_loop()
    {recipe}
    task = asyncio.create_task(leaf(), name="the leaf")
    await asyncio.sleep(0)
    print("ready", flush=True)
    await task

asyncio.run(main())
"""


def started(recipe: str = "pass") -> subprocess.Popen:
    """A program that waits, on ferrio as a whole."""
    program = PROGRAM.format(recipe=textwrap.indent(textwrap.dedent(recipe), " " * 4).strip())
    process = subprocess.Popen(
        [sys.executable, "-m", "ferrio", "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def test_a_signal_makes_a_program_print_what_its_tasks_wait_for():
    """The recipe of docs/introspection.md."""
    recipe = """
    def tell():
        for task in asyncio.all_tasks():
            task.print_stack()
    loop.add_signal_handler(signal.SIGUSR1, tell)
    """
    if sys.version_info >= (3, 14):
        recipe = recipe.replace("task.print_stack()", "asyncio.print_call_graph(task)")
    with started(recipe) as process:
        os.kill(process.pid, signal.SIGUSR1)
        told = ""
        while "the leaf" not in told or "main" not in told:
            told += (line := process.stdout.readline())
            assert line, told
        process.kill()


def coroutine_functions(thing) -> list[str]:
    names = [name for name in dir(thing) if not name.startswith("_")]
    return [name for name in names if inspect.iscoroutinefunction(getattr(thing, name))]


def test_coroutine_methods_count_as_such(new_event_loop):
    """Frameworks ask, and a mock with `autospec` is asynchronous only then."""
    loop, stock = new_event_loop(), asyncio.SelectorEventLoop()
    stock.close()
    assert coroutine_functions(loop) == coroutine_functions(stock)

    async def main():
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        assert coroutine_functions(server) == ["serve_forever", "start_serving", "wait_closed"]
        server.close()
        await server.wait_closed()
        with mock.patch.object(loop, "create_server", autospec=True, return_value="made"):
            assert await loop.create_server(asyncio.Protocol) == "made"

    loop.run_until_complete(main())
