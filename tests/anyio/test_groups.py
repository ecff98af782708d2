"""anyio's task groups on ferrio, compared with anyio's own on stock asyncio."""

import os
import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("anyio")

from tests.anyio.programs import PREAMBLE, ROOT, assert_same

PROGRAMS = {
    "results and states": """
        async def child(value):
            await anyio.sleep(0)
            if value < 0:
                raise ValueError(value)
            return value
        async def main():
            async with create_task_group() as group:
                handles = [group.start_soon(child, value) for value in range(3)]
                handle = handles[0]
                print(repr(handle).partition(" coro=")[0], handle.status, handle.name, handle.coro is not None)
                for attribute in ("exception", "return_value", "start_value"):
                    try:
                        getattr(handle, attribute)
                    except Exception as error:
                        print(kind(error))
                print(await handle, await handles[2])
                await handle.wait()
            print([handle.return_value for handle in handles], [handle.exception for handle in handles])
            print(repr(handle).partition(" coro=")[0])
            handle.cancel()
            print(handle.status)
    """,
    "failures": """
        async def fail(error):
            await anyio.sleep(0)
            raise error
        async def block(*errors):
            async with create_task_group() as group:
                handles.extend(group.start_soon(fail, error) for error in errors)
                handles.append(group.start_soon(anyio.sleep, 10))
                await anyio.sleep(10)
        async def main():
            global handles
            for errors in ([ValueError(1)], [KeyError(2), ValueError(3)], [asyncio.CancelledError("native")]):
                handles = []
                await show_result(block(*errors))
                for handle in handles:
                    print(handle.status, kind(handle._exception))
                    try:
                        await handle
                    except Exception as error:
                        print(kind(error), kind(error.__cause__))
    """,
    "a failing block": """
        async def block(error, children):
            async with create_task_group() as group:
                for _ in range(children):
                    group.start_soon(anyio.sleep, 10)
                await checkpoint()
                raise error
        async def main():
            for children in (0, 2):
                for error in (ValueError("v"), asyncio.CancelledError("native"), KeyboardInterrupt("k")):
                    await show_result(block(error, children))
            try:
                await block(ValueError("v"), 1)
            except BaseExceptionGroup as group:
                print(group.__cause__, group.__suppress_context__, kind(group.__context__))
    """,
    "cancelled from outside": """
        async def stubborn():
            try:
                await anyio.sleep(10)
            finally:
                print("cleaning")
                with CancelScope(shield=True):
                    await anyio.sleep(0.01)
                print("clean")
        async def block():
            try:
                async with create_task_group() as group:
                    group.start_soon(stubborn)
            finally:
                print("left", group.cancel_scope.cancel_called, group.cancel_scope.cancelled_caught)
        async def main():
            with move_on_after(0.01) as scope:
                await block()
            print(scope.cancelled_caught, asyncio.current_task().cancelling())
            task = asyncio.create_task(block())
            await anyio.sleep(0.005)
            task.cancel("native")
            await show_result(task)
            print(task.cancelled(), task.cancelling())
    """,
    "handles cancel": """
        async def main():
            async with create_task_group() as group:
                sleeper = group.start_soon(anyio.sleep, 10)
                early = group.start_soon(anyio.sleep, 10)
                early.cancel()
                print(early.status)
                await checkpoint()
                sleeper.cancel()
                print(sleeper.status)
                await sleeper.wait()
                await early.wait()
                print(sleeper.status, early.status, group.cancel_scope.cancel_called)
                try:
                    await sleeper
                except anyio.TaskCancelled as error:
                    print(error, type(error.__cause__))
    """,
    "start": """
        async def ready(value, *, task_status):
            await checkpoint()
            task_status.started(value)
            try:
                task_status.started(value)
            except RuntimeError as error:
                print(error)
            await anyio.sleep(0)
            return "returned"
        async def never(*, task_status=anyio.TASK_STATUS_IGNORED):
            await checkpoint()
        async def fail(*, task_status):
            await checkpoint()
            raise ValueError("v")
        async def slow(*, task_status):
            try:
                await anyio.sleep(10)
            finally:
                print("ended")
        async def main():
            async with create_task_group() as group:
                print(await group.start(ready, 5))
                handle = await group.start(ready, 6, name="six", return_handle=True)
                print(handle.start_value, handle.name, await handle)
                await show_result(group.start(never))
                await show_result(group.start(fail))
                with move_on_after(0.01) as scope:
                    await group.start(slow)
                print(scope.cancelled_caught)
                await show_result(group.start(ready))
            await show_result(group.start(ready, 1))
            async def block(function):
                async with create_task_group() as group:
                    await group.start(function)
            for function in (never, fail):
                await show_result(block(function))
    """,
    "a started task is the group's only then": """
        async def child(*, task_status):
            info = anyio.get_current_task()
            print(info.parent_id == id(asyncio.current_task()), info.parent_id is not None)
            with CancelScope(shield=True):
                await gate.wait()
            task_status.started()
            print("started")
            try:
                await anyio.sleep(10)
            except asyncio.CancelledError:
                print("cancelled")
                raise
        async def main():
            global gate
            gate = anyio.Event()
            async with create_task_group() as group, create_task_group() as inner:
                async def opener():
                    await anyio.sleep(0.01)
                    group.cancel_scope.cancel()
                    gate.set()
                asyncio.ensure_future(opener())
                await group.start(child)
            print(group.cancel_scope.cancelled_caught, inner.cancel_scope.cancelled_caught)
    """,
    "wrong use": """
        async def main():
            group = create_task_group()
            async def child():
                pass
            for attempt in (lambda: group.start_soon(child), lambda: group.create_task(child()),
                            lambda: group.start_soon(len, []), lambda: group.create_task(5)):
                try:
                    attempt()
                except Exception as error:
                    print(kind(error))
            await show_result(group.start(child))
            async with group:
                await show_result(group.__aenter__())
                for attempt in (lambda: group.start_soon(len, []), lambda: group.start_soon(5),
                                lambda: group.start_soon(child, 1), lambda: group.create_task(child)):
                    try:
                        attempt()
                    except Exception as error:
                        print(kind(error))
            await show_result(group.__aenter__())
            try:
                group.start_soon(child)
            except RuntimeError as error:
                print(error)
    """,
    "names and contexts": """
        import contextvars, functools
        variable = contextvars.ContextVar("variable", default="outer")
        async def child():
            print(asyncio.current_task().get_name(), variable.get())
        class Callable:
            async def __call__(self):
                await child()
        async def main():
            context = contextvars.copy_context()
            context.run(variable.set, "inner")
            async with create_task_group() as group:
                group.start_soon(child)
                group.start_soon(child, name="named")
                group.start_soon(child, name=5)
                group.start_soon(Callable())
                group.start_soon(functools.partial(child), name=None)
                group.create_task(child(), context=context)
                handle = group.create_task(child(), name="made", context=contextvars.Context())
                print(handle.name)
                print(group.create_task(child()).name)
    """,
    "classes": """
        import anyio._backends._asyncio as backend, inspect
        async def main():
            async with create_task_group() as group:
                print(isinstance(group, anyio.abc.TaskGroup), isinstance(group, backend.TaskGroup), group.__class__)
                handle = group.start_soon(checkpoint)
                print(isinstance(handle, anyio.TaskHandle), handle.__class__)
                group.own = 5
                print(group.own, weakref.ref(group)() is group, weakref.ref(handle)() is handle)
                print(inspect.iscoroutinefunction(group.start), isinstance(group.cancel_scope, CancelScope))
                print(list(inspect.signature(group.cancel).parameters), len(group._tasks))
                try:
                    handle.own = 5
                except AttributeError as error:
                    print(error)
            print(repr(group))
    """,
    "groups in groups": """
        async def level(depth):
            async with create_task_group() as group:
                if depth == 0:
                    raise ValueError("deepest")
                group.start_soon(level, depth - 1)
                group.start_soon(anyio.sleep, 10)
        async def main():
            await show_result(level(4))
            async def children(group, depth):
                if depth:
                    for _ in range(2):
                        group.start_soon(children, group, depth - 1)
                order.append(depth)
            order = []
            async with create_task_group() as group:
                group.start_soon(children, group, 3)
            print(order, len(group._tasks))
    """,
    "tasks of asyncio in scopes of anyio": """
        async def main():
            async def inside():
                with move_on_after(0.01) as scope:
                    await anyio.sleep(10)
                return scope.cancelled_caught
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(inside()) for _ in range(3)]
            print([task.result() for task in tasks])
            print(await asyncio.gather(inside(), inside()))
            async def block():
                async with create_task_group() as group:
                    group.start_soon(anyio.sleep, 10)
                    await anyio.sleep(10)
            await show_result(asyncio.wait_for(block(), 0.01))
    """,
    "waiting until all are blocked": """
        async def main():
            async def child(event):
                await checkpoint()
                await event.wait()
                print("woken")
            async with create_task_group() as group:
                event = anyio.Event()
                group.start_soon(child, event)
                group.start_soon(child, event)
                await anyio.wait_all_tasks_blocked()
                print(event.statistics().tasks_waiting)
                event.set()
    """,
    "what is left is freed": """
        class Payload:
            pass
        async def child(payload):
            await anyio.sleep(0)
        async def main():
            payload = Payload()
            seen = weakref.ref(payload)
            async with create_task_group() as group:
                handle = group.start_soon(child, payload)
                tasks = weakref.ref(next(iter(group._tasks)))
            del payload, group, handle
            gc.collect()
            print(seen(), tasks())
    """,
}

EAGER = """
def eager():
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    return loop
"""


@pytest.mark.parametrize("name", PROGRAMS)
def test_groups_behave_as_anyios(name):
    printed = assert_same(PROGRAMS[name])
    assert printed.startswith("0\n"), printed


@pytest.mark.skipif("sys.version_info < (3, 12)", reason="no eager tasks")
@pytest.mark.parametrize("name", PROGRAMS)
def test_groups_behave_as_anyios_with_eager_tasks(name):

    printed = assert_same(EAGER + textwrap.dedent(PROGRAMS[name]), "{'loop_factory': eager}")
    assert printed.startswith("0\n"), printed


def printed(program: str, *, native: bool) -> str:
    install = "import ferrio; ferrio.install()" if native else ""
    code = PREAMBLE.replace("{install}", install) + textwrap.dedent(program) + "\nanyio.run(main)\n"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "python")}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=True).stdout


def test_the_types_are_ferrios_and_the_classes_anyios():
    program = """
        import anyio._backends._asyncio as backend
        async def main():
            async with create_task_group() as group:
                handle = group.start_soon(checkpoint)
            pairs = (handle, anyio.TaskHandle), (group, backend.TaskGroup), (group.cancel_scope, backend.CancelScope)
            for instance, own in pairs:
                print(type(instance) is own, instance.__class__ is own, isinstance(instance, own))
    """
    assert printed(program, native=False) == "True True True\n" * 3
    assert printed(program, native=True) == "False True True\n" * 3


def test_tracebacks_lack_anyios_frames():
    program = """
        import traceback
        async def fail():
            raise ValueError
        async def main():
            try:
                async with create_task_group() as group:
                    group.start_soon(fail)
            except* ValueError as group:
                error = group.exceptions[0]
                names = [frame.name for each in (group, error) for frame in traceback.extract_tb(each.__traceback__)]
                print([name for name in names if name in ("__aexit__", "_run_coro", "fail", "main")])
    """
    assert printed(program, native=False) == "['main', '__aexit__', '_run_coro', 'fail']\n"
    assert printed(program, native=True) == "['main', 'fail']\n"


def test_reprs_of_tasks_name_no_file_of_anyio():
    program = """
        import re
        async def main():
            async with create_task_group() as group:
                group.start_soon(checkpoint, name="child")
                text = repr(next(iter(group._tasks)))
                print(re.sub(r"[^ ]*/|:[0-9]+", "", text))
    """
    start = "<Task pending name='child' coro=<TaskHandle._run_coro() running at"
    end = "cb=[TaskGroup._spawn.<locals>.task_done()"
    assert printed(program, native=False) == f"{start} _tasks.py> {end} at _asyncio.py]>\n"
    assert printed(program, native=True) == f"{start} <ferrio>> {end}]>\n"


def test_a_class_in_the_place_of_anyios_is_used():
    program = """
        import anyio._backends._asyncio as backend
        class Own(backend.CancelScope):
            pass
        async def main():
            stock = backend.CancelScope
            backend.CancelScope = Own
            print(type(CancelScope()).__name__, type(create_task_group().cancel_scope).__name__)
            backend.CancelScope = stock
            print(type(CancelScope()).__name__)
    """
    assert printed(program, native=True) == printed(program, native=False) == "Own Own\nCancelScope\n"


def test_uninstall_leaves_live_groups_and_scopes_working():
    program = """
        import ferrio
        async def child():
            with CancelScope() as scope:
                await anyio.sleep(10)
        async def main():
            ferrio.install()
            async with create_task_group() as group:
                with move_on_after(0.01) as scope:
                    group.start_soon(child)
                    await checkpoint()
                    ferrio.uninstall()
                    group.start_soon(child)
                    with CancelScope() as inner:
                        print(type(inner) is inner.__class__, inner._parent_scope is scope)
                        print(anyio.get_current_task().has_pending_cancellation())
                        await anyio.sleep(10)
                print(scope.cancelled_caught, inner.cancelled_caught)
                group.cancel_scope.cancel()
            print(group.cancel_scope.cancelled_caught)
    """
    assert printed(program, native=True) == "True True\nFalse\nTrue False\nTrue\n"


def test_install_in_a_running_program_leaves_anyios_scopes_working():
    program = """
        async def child():
            await anyio.sleep(10)
        async def main():
            with CancelScope() as outer:
                async with create_task_group() as group:
                    group.start_soon(child)
                    import ferrio
                    ferrio.install()
                    print(ferrio.anyio_status().partition(",")[0])
                    with CancelScope() as inner:
                        print(inner._parent_scope is group.cancel_scope, len(group.cancel_scope._child_scopes))
                        async with create_task_group() as inside:
                            inside.start_soon(child)
                            group.start_soon(child)
                            await checkpoint()
                            outer.cancel()
                            await anyio.sleep(10)
            print(outer.cancelled_caught, inner.cancelled_caught, asyncio.current_task().cancelling())
        import ferrio
        asyncio.set_event_loop_policy(ferrio.EventLoopPolicy())
    """
    assert printed(program, native=False) == "native\nTrue 1\nTrue False 0\n"
