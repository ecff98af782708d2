"""anyio's cancel scopes and checkpoints on ferrio, compared with anyio's own on stock asyncio."""

import textwrap

import pytest

pytest.importorskip("anyio")

from tests.anyio.programs import assert_same, outcome

PROGRAMS = {
    "a deadline that passes": """
        async def main():
            with move_on_after(0.01) as scope:
                await anyio.sleep(10)
            print(scope.cancel_called, scope.cancelled_caught, asyncio.current_task().cancelling())
            with pytest_raises(TimeoutError):
                with fail_after(0.01):
                    await anyio.sleep(10)
    """,
    "a deadline of the past": """
        async def main():
            with move_on_after(0) as scope:
                print("in", scope.cancel_called)
                await checkpoint()
                print("never")
            print(scope.cancelled_caught)
            with move_on_after(-1) as scope:
                print("no checkpoint")
            print(scope.cancel_called, scope.cancelled_caught)
    """,
    "odd deadlines": """
        async def main():
            for value in (math.nan, "soon", None):
                try:
                    CancelScope(deadline=value)
                except Exception as error:
                    print(kind(error))
            scope = CancelScope(deadline=5)
            print(repr(scope.deadline))
            for value in (math.nan, "soon", None, 7, True):
                try:
                    scope.deadline = value
                except Exception as error:
                    print(kind(error))
                print(repr(scope.deadline))
            print(repr(CancelScope().deadline), repr(CancelScope(deadline=math.inf).deadline))
    """,
    "a deadline that moves": """
        async def main():
            with CancelScope() as scope:
                print(scope._timeout_handle is None)
                scope.deadline = anyio.current_time() + 100
                print(scope._timeout_handle is None, anyio.current_effective_deadline() == scope.deadline)
                scope.deadline = math.inf
                print(scope._timeout_handle is None, anyio.current_effective_deadline())
                scope.deadline = anyio.current_time() - 1
                print(scope.cancel_called, anyio.current_effective_deadline())
                await checkpoint()
            print(scope.cancelled_caught)
    """,
    "level cancellation": """
        async def main():
            count = 0
            with CancelScope() as scope:
                scope.cancel()
                while count < 5:
                    try:
                        await anyio.sleep(10)
                    except asyncio.CancelledError:
                        count += 1
                print("done", asyncio.current_task().cancelling())
            print(count, scope.cancelled_caught, asyncio.current_task().cancelling())
    """,
    "shields": """
        async def main():
            with CancelScope() as outer:
                with CancelScope(shield=True) as inner:
                    outer.cancel()
                    await checkpoint()
                    await checkpoint_if_cancelled()
                    print("shielded", anyio.current_effective_deadline(), inner.shield, outer.shield)
                    inner.shield = False
                    try:
                        await checkpoint_if_cancelled()
                    except asyncio.CancelledError:
                        print("open")
                        inner.shield = True
                        await checkpoint()
                        raise
            print(outer.cancelled_caught, inner.cancelled_caught)
    """,
    "messages": """
        async def main():
            asyncio.current_task().set_name("host")
            for reason in (None, "", "because", 5):
                with CancelScope() as scope:
                    scope.cancel(reason)
                    try:
                        await checkpoint()
                    except asyncio.CancelledError as error:
                        print(str(error).partition(" coro=")[0], str(error).partition(">; ")[2])
                        print(f"{id(scope):x}" in str(error))
                        raise
            with move_on_after(0.01):
                try:
                    await anyio.sleep_forever()
                except asyncio.CancelledError as error:
                    print(error)
                    raise
    """,
    "wrong use": """
        async def main():
            scope = CancelScope()
            try:
                scope.__exit__(None, None, None)
            except RuntimeError as error:
                print(error)
            with scope:
                try:
                    scope.__enter__()
                except RuntimeError as error:
                    print(error)
            outer, inner = CancelScope(), CancelScope()
            outer.__enter__()
            inner.__enter__()
            try:
                outer.__exit__(None, None, None)
            except RuntimeError as error:
                print(error)
            async def elsewhere():
                inner.__exit__(None, None, None)
            await show_result(asyncio.create_task(elsewhere()))
            inner.__exit__(None, None, None)
            outer.__exit__(None, None, None)
            try:
                scope.attribute = 1
            except AttributeError as error:
                print(error)
    """,
    "cancelled before it is entered, and entered twice": """
        async def main():
            scope = CancelScope()
            scope.cancel()
            with scope:
                await checkpoint()
            print(scope.cancelled_caught)
            with scope:
                print("again")
    """,
    "exceptions that are kept": """
        async def main():
            for error in (ValueError("v"), KeyboardInterrupt("k"), asyncio.CancelledError("native")):
                async def fail():
                    with CancelScope() as scope:
                        scope.cancel()
                        raise error
                await show_result(fail())
    """,
    "groups": """
        async def main():
            async def fail(make):
                with CancelScope() as scope:
                    scope.cancel()
                    try:
                        await checkpoint()
                    except asyncio.CancelledError as error:
                        raise make(error)
            await show_result(fail(lambda error: BaseExceptionGroup("all", [error])))
            await show_result(fail(lambda error: BaseExceptionGroup("some", [error, ValueError("v")])))
            await show_result(fail(lambda _: BaseExceptionGroup("none", [KeyError("k"), asyncio.CancelledError("n")])))
    """,
    "a native cancellation beside the scope's": """
        async def main():
            async def inside():
                with CancelScope() as scope:
                    scopes.append(scope)
                    await anyio.sleep(10)
                print("swallowed")
            for both in (False, True):
                scopes = []
                task = asyncio.create_task(inside())
                await anyio.sleep(0.01)
                scopes[0].cancel()
                if both:
                    task.cancel("native")
                await show_result(task)
                print(task.cancelling(), scopes[0].cancelled_caught)
    """,
    "asyncio's timeouts and groups inside and outside": """
        async def main():
            with move_on_after(0.01) as scope:
                async with asyncio.timeout(10):
                    await asyncio.sleep(5)
            print(scope.cancelled_caught)
            try:
                async with asyncio.timeout(0.01):
                    with move_on_after(10):
                        await asyncio.sleep(5)
            except TimeoutError:
                print("timeout", asyncio.current_task().cancelling())
            with move_on_after(0.01) as scope:
                async with asyncio.TaskGroup() as group:
                    group.create_task(asyncio.sleep(5))
            print(scope.cancelled_caught, asyncio.current_task().cancelling())
    """,
    "from another thread": """
        import anyio.from_thread, anyio.to_thread
        async def main():
            with CancelScope() as scope:
                def work():
                    anyio.from_thread.run_sync(scope.cancel)
                    try:
                        anyio.from_thread.check_cancelled()
                    except BaseException as error:
                        print(kind(error))
                    try:
                        anyio.from_thread.run(anyio.sleep, 0.01)
                    except BaseException as error:
                        print(type(error))
                await anyio.to_thread.run_sync(work)
            print(scope.cancelled_caught)
    """,
    "classes": """
        import anyio._backends._asyncio as backend
        async def main():
            scope = CancelScope()
            print(isinstance(scope, CancelScope), isinstance(scope, backend.CancelScope), scope, scope.__class__)
            print(weakref.ref(scope)() is scope)
            class Own(CancelScope):
                pass
            print(Own().__class__, Own(deadline=3).deadline)
            class Deeper(backend.CancelScope):
                def cancel(self, reason=None):
                    print("cancel")
                    super().cancel(reason)
            with Deeper() as outer:
                with CancelScope() as inner, Deeper() as innermost:
                    print(inner._parent_scope is outer, list(inner._child_scopes) == [innermost], len(innermost._tasks))
                    outer.cancel()
                    await checkpoint()
            print(outer.cancelled_caught, inner.cancelled_caught, innermost.cancelled_caught)
            with CancelScope() as outer:
                with Deeper():
                    outer.cancel()
                    await checkpoint()
            print(outer.cancelled_caught)
    """,
    "infos of tasks": """
        async def main():
            async def inside():
                with CancelScope() as scope:
                    scope.cancel()
                    await anyio.sleep(1)
            async with create_task_group() as group:
                group.start_soon(inside, name="child")
                info = anyio.get_current_task()
                for task in sorted(anyio.get_running_tasks(), key=lambda task: task.name):
                    print(task.name, task.parent_id == info.id, task.has_pending_cancellation())
                group.cancel_scope.cancel()
                print(info.has_pending_cancellation())
    """,
    "no task and no loop": """
        async def main():
            def call():
                scope = CancelScope()
                try:
                    scope.__enter__()
                except Exception as error:
                    print(kind(error))
                print(anyio.current_effective_deadline())
            asyncio.get_running_loop().call_soon(call)
            await anyio.sleep(0.01)
            global left
            left = CancelScope()
        import atexit
        def last():
            for attempt in (left.cancel, left.__enter__, CancelScope):
                try:
                    attempt()
                except Exception as error:
                    print(type(error).__name__, error)
        atexit.register(last)
    """,
}

RAISES = """
@contextlib.contextmanager
def pytest_raises(kind):
    try:
        yield
    except kind as error:
        print(repr(error))
"""


@pytest.mark.parametrize("name", PROGRAMS)
def test_scopes_behave_as_anyios(name):
    printed = assert_same(RAISES + textwrap.dedent(PROGRAMS[name]))
    assert printed.startswith("0\n"), printed


SNIFFIO = """
import contextvars, threading, types
sniffio = sys.modules["sniffio"] = types.ModuleType("sniffio")
sniffio.thread_local = threading.local()
sniffio.thread_local.name = None
sniffio.current_async_library_cvar = contextvars.ContextVar("sniffio", default=None)
sniffio.AsyncLibraryNotFoundError = type("AsyncLibraryNotFoundError", (RuntimeError,), {})
def current_async_library():
    for name in (sniffio.thread_local.name, sniffio.current_async_library_cvar.get()):
        if name is not None:
            return name
    try:
        if asyncio.current_task() is not None:
            return "asyncio"
    except RuntimeError:
        pass
    raise sniffio.AsyncLibraryNotFoundError("unknown async library")
sniffio.current_async_library = current_async_library
import anyio._core._eventloop
anyio._core._eventloop.sniffio = sniffio
"""


def test_the_library_in_use_is_the_one_that_sniffio_tells():
    printed = assert_same(
        SNIFFIO
        + textwrap.dedent("""
        from anyio._core._eventloop import get_async_backend
        def show():
            try:
                print(get_async_backend().__name__)
            except Exception as error:
                print(type(error).__name__, error)
        async def main():
            show()
            done = anyio.Event()
            asyncio.get_running_loop().call_soon(show)
            asyncio.get_running_loop().call_soon(done.set)
            await done.wait()
            for place in ("thread", "context", "both", "function"):
                if place in ("thread", "both"):
                    sniffio.thread_local.name = "asyncio" if place == "both" else "curio"
                if place in ("context", "both"):
                    sniffio.current_async_library_cvar.set("curio" if place == "context" else "other")
                if place == "function":
                    sniffio.current_async_library = lambda: "another"
                show()
                sniffio.thread_local.name = None
                sniffio.current_async_library_cvar.set(None)
        import atexit
        atexit.register(show)
    """)
    )
    assert printed.count("AsyncIOBackend") == 3


def test_scopes_nested_in_any_depth_are_cancelled():
    """anyio's own end in a RecursionError."""
    program = """
        async def main():
            scopes = [CancelScope() for _ in range(100_000)]
            for scope in scopes:
                scope.__enter__()
            scopes[0].cancel()
            try:
                await anyio.sleep(10)
            except asyncio.CancelledError:
                print("cancelled")
    """
    assert outcome(program, native=True).startswith("0\ncancelled\n")
