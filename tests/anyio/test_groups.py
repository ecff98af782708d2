"""anyio's task groups on ferrio, compared with anyio's own on stock asyncio."""

import os
import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("anyio")

from tests.anyio.group_programs import PROGRAMS
from tests.anyio.programs import PREAMBLE, ROOT, assert_same

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


def test_checkpoints_are_functions_and_coroutines_to_inspect():
    program = """
        import inspect
        import anyio.lowlevel
        async def main():
            checkpoint = anyio.lowlevel.checkpoint
            coroutine = checkpoint()
            print(inspect.isfunction(checkpoint), inspect.iscoroutine(coroutine), inspect.isawaitable(coroutine))
            await coroutine
    """
    assert printed(program, native=True) == printed(program, native=False) == "True True True\n"


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
