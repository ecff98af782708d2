"""Programs that use anyio's task groups, and print what they see."""

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
    "scopes left in the wrong order keep what was raised as context": """
        def chain(error):
            inner = [chain(each) for each in getattr(error, "exceptions", ())]
            return [type(error).__name__, *inner, *(chain(error.__context__) if error.__context__ else ())]
        async def enter_two(*, task_status=anyio.TASK_STATUS_IGNORED):
            for _ in range(2):
                kept.append(CancelScope())
                kept[-1].__enter__()
            raise LookupError
        async def in_body():
            async with create_task_group():
                await enter_two()
        async def in_task():
            async with create_task_group() as group:
                group.start_soon(enter_two)
        async def in_start():
            async with create_task_group() as group:
                await group.start(enter_two)
        async def in_nested_groups():
            async with create_task_group() as group:
                group.start_soon(anyio.sleep, 1000)
                async with create_task_group():
                    await enter_two()
        async def main():
            for function in (in_body, in_task, in_start, in_nested_groups):
                try:
                    await asyncio.create_task(function())
                except BaseException as error:
                    print(function.__name__, chain(error))
        kept = []
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
