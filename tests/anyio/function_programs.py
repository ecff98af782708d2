"""Programs on anyio's functions that ferrio replaces, for test_functions. Each defines `main`.

They look the functions up when they call them: a name taken before anyio's backend was imported is anyio's own.
"""

PROGRAMS = {
    "fail_after raises only at its deadline": """
        async def main():
            with anyio.fail_after(10) as scope:
                await anyio.lowlevel.checkpoint()
            print(scope.cancel_called, type(scope).__name__, isinstance(scope, anyio.CancelScope))
            for reason in (None, "", "too late"):
                try:
                    with anyio.fail_after(0, reason=reason) as scope:
                        await anyio.sleep(1)
                except TimeoutError as error:
                    print(error.args, kind_of_context(error), error.__cause__, scope.cancelled_caught)
            with anyio.fail_after(10) as scope:
                scope.cancel()
                await anyio.sleep(1)
            print(scope.cancelled_caught)
            with anyio.fail_after(None, True) as scope:
                print(scope.deadline, scope.shield)
            try:
                with anyio.fail_after(0):
                    raise ValueError("its own")
            except ValueError as error:
                print(kind(error), kind_of_context(error))
            with contextlib.suppress(StopIteration), anyio.fail_after(5):
                raise StopIteration
            with anyio.fail_after(-1):
                pass
    """,
    "fail_after is a context manager of contextlib's": """
        async def main():
            manager = anyio.fail_after(1)
            for kind_of_manager in (contextlib.AbstractContextManager, contextlib.ContextDecorator):
                print(isinstance(manager, kind_of_manager))
            print(manager.args, manager.kwds, manager.func.__name__)
            with manager:
                pass
            refused(manager.__enter__)
            @anyio.fail_after(10)
            def decorated():
                return anyio.current_effective_deadline() > anyio.current_time()
            print(decorated(), decorated(), decorated.__name__)
            unentered = anyio.fail_after(1)
            refused(unentered.__exit__, ValueError, ValueError("thrown"), None)
            for wrong in ("text", object):
                refused(anyio.fail_after(wrong).__enter__)
            with anyio.fail_after(1) as outer:
                try:
                    manager = anyio.fail_after(0)
                    with manager:
                        await anyio.sleep(1)
                except TimeoutError:
                    print(outer.cancel_called)
    """,
    "the deadlines of scopes count from now": """
        async def main():
            for delay in (1, 2.5, True, None, math.inf):
                before = anyio.current_time()
                with anyio.move_on_after(delay) as scope:
                    print(delay, scope.deadline - before > 0.9, scope.deadline - before < 3, scope.shield)
            for wrong in ("text", math.nan):
                refused(anyio.move_on_after, wrong)
            print(anyio.move_on_after(1, shield=True).shield, anyio.move_on_after(1, False).shield)
            with anyio.move_on_after(0) as scope:
                await anyio.sleep(1)
            print(scope.cancelled_caught)
    """,
    "checkpoints let others run and cancellation in": """
        async def main():
            order = []
            async def other():
                order.append("other")
            for turn in (checkpoint, cancel_shielded_checkpoint, checkpoint_if_cancelled, lambda: anyio.sleep(0)):
                task = asyncio.ensure_future(other())
                await turn()
                order.append("main")
                await task
            print(order)
            for turn in (checkpoint, cancel_shielded_checkpoint, checkpoint_if_cancelled, lambda: anyio.sleep(0)):
                with CancelScope() as scope:
                    scope.cancel()
                    await turn()
                    print("not cancelled")
                print(scope.cancelled_caught)
            coroutine = anyio.lowlevel.checkpoint()
            print(coroutine.__name__, coroutine.__qualname__)
            coroutine.close()
    """,
    "sleep refuses some delays": """
        async def main():
            for delay in (0, 0.0, False, -0.0, 1e-9, -1, -0.5, math.nan, -math.inf, "text", None):
                await show_result(anyio.sleep(delay))
    """,
    "functions are described as anyio's": """
        import inspect
        async def main():
            functions = [anyio.move_on_after, anyio.fail_after, anyio.create_task_group]
            functions += [anyio.current_time, anyio.sleep]
            functions += [anyio.lowlevel.checkpoint, anyio.lowlevel.checkpoint_if_cancelled]
            functions += [anyio.lowlevel.cancel_shielded_checkpoint, anyio.create_memory_object_stream]
            for function in functions:
                print(function.__name__, function.__module__, function.__doc__, inspect.signature(function))
                print(inspect.iscoroutinefunction(function))
                refused(lambda: function(1, 2, 3, 4))
    """,
    "start waits for the task's value": """
        async def main():
            async def ready(number, *, task_status):
                print(type(task_status).__name__, isinstance(task_status, anyio._backends._asyncio._AsyncioTaskStatus))
                task_status.started(number)
                refused(task_status.started)
                await anyio.sleep(0.01)
                return "end"
            async def silent(*, task_status):
                pass
            async def failing(*, task_status):
                raise ValueError("no start")
            def no_coroutine(*, task_status):
                return 5
            async with create_task_group() as group:
                print(await group.start(ready, 3, name="named"))
                handle = await group.start(ready, 4, return_handle=True)
                print(handle.start_value, handle.status, await handle, handle.name)
                await show_result(group.start(silent))
                await show_result(group.start(failing))
                await show_result(group.start(no_coroutine))
            await show_result(group.start(ready))
            refused(lambda: group.start(ready, colour=3))
    """,
    "a start that is cancelled ends its task": """
        async def main():
            events = []
            async def slow(*, task_status):
                try:
                    await anyio.sleep(10)
                except BaseException as error:
                    events.append(kind(error))
                    with CancelScope(shield=True):
                        await anyio.sleep(0.001)
                    events.append("cleaned up")
                    raise
            async def stubborn(*, task_status):
                try:
                    await anyio.sleep(10)
                finally:
                    raise ValueError("in the end")
            for function in (slow, stubborn):
                try:
                    async with create_task_group() as group:
                        with move_on_after(0.001) as scope:
                            await group.start(function)
                        print(scope.cancelled_caught, group.cancel_scope.cancel_called)
                except* ValueError as errors:
                    print(kind(errors))
            async def starter(group):
                await group.start(slow)
            async with create_task_group() as group:
                task = asyncio.ensure_future(starter(group))
                await anyio.sleep(0.001)
                task.cancel("natively")
                try:
                    await task
                except asyncio.CancelledError as error:
                    print(kind(error), kind_of_context(error))
            print([event.split(" via ")[0] for event in events])
    """,
    "a started task belongs to the group": """
        async def main():
            async def body(*, task_status):
                info = anyio.get_current_task()
                print(info.parent_id == id(asyncio.current_task()), info.name)
                task_status.started()
                print(anyio.get_current_task().parent_id == id(host))
                await anyio.sleep(10)
            host = asyncio.current_task()
            async with create_task_group() as group:
                async def caller():
                    with CancelScope() as scope:
                        await group.start(body)
                        scope.cancel()
                        await anyio.sleep(1)
                await asyncio.ensure_future(caller())
                print(len(group._tasks))
                group.cancel_scope.cancel()
    """,
    "streams are made and left as anyio's": """
        import warnings
        async def main():
            for size in (0, 3, True, math.inf, 2.0, -1, "x", None, math.nan):
                try:
                    send, receive = anyio.create_memory_object_stream[str](size)
                except Exception as error:
                    print(size, kind(error))
                    continue
                print(vars(send), vars(receive), type(vars(send._state)["buffer"]), send._state.__orig_class__)
                print({name: value for name, value in vars(send._state).items()}, send.statistics())
                with send as one, receive as two:
                    print(one is send, two is receive)
                print(send.statistics(), send._closed, send._waiters)
                print(send.close(), send.__exit__(None, None, None), receive.close())
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                anyio.create_memory_object_stream(1, item_type=int)[0].close()
                send, receive = anyio.create_memory_object_stream(1)
                with send.clone() as other, receive.clone():
                    print(other.statistics())
                del send, receive
                gc.collect()
            print([(warning.category.__name__, re.sub("at [0-9a-f]+", "", str(warning.message))) for warning in caught])
            print([warning.filename for warning in caught])
            class Mine(anyio.streams.memory.MemoryObjectReceiveStream):
                async def receive(self):
                    return "mine"
            send, receive = anyio.create_memory_object_stream(1)
            mine = Mine(receive._state)
            print(await mine.__anext__(), mine.statistics())
            receive.receive = mine.receive
            print(await receive.__anext__())
            for stream in (send, receive, mine):
                await stream.aclose()
            await show_result(mine.clone().__anext__() if not mine._closed else anyio.sleep(0))
    """,
    "closing wakes those who wait": """
        async def main():
            for which in ("send", "receive", "clone of send", "clone of receive"):
                send, receive = anyio.create_memory_object_stream(0)
                closing = send if "send" in which else receive
                closing = closing.clone() if "clone" in which else closing
                waiting = [asyncio.ensure_future(traced(number, closing.send, number)) for number in range(2)
                           ] if hasattr(closing, "send") else [
                           asyncio.ensure_future(traced(number, closing.receive)) for number in range(2)]
                await turns()
                closing.close()
                await asyncio.gather(*waiting, return_exceptions=True)
                print(which, sorted(trace), closing._waiters, send.statistics())
                trace.clear()
                send.close()
                receive.close()
                await show_result(receive.__anext__())
            send, receive = anyio.create_memory_object_stream(0)
            waiting = [asyncio.ensure_future(traced(number, receive.__anext__)) for number in range(2)]
            await turns()
            send.close()
            await asyncio.gather(*waiting, return_exceptions=True)
            print(sorted(trace))
            trace.clear()
            waiting = None
            receive.close()
            send, receive = anyio.create_memory_object_stream(0)
            waiting = asyncio.ensure_future(traced("sender", send.send, 1))
            await turns()
            receive.close()
            await asyncio.gather(waiting, return_exceptions=True)
            print(trace, send._waiters)
            send.close()
    """,
    "entering is acquiring": """
        async def main():
            fast = anyio.Lock(fast_acquire=True)
            for primitive in (anyio.Lock(), anyio.Semaphore(1), anyio.CapacityLimiter(1), fast):
                async with primitive as entered:
                    print(entered is primitive, entered)
                    waiting = [asyncio.ensure_future(traced(number, primitive.__aenter__)) for number in range(2)]
                    await turns()
                    waiting[0].cancel()
                    await turns()
                await turns()
                print(trace and [entry for entry in trace if entry[0] == 0], len(trace), waiting[1].done())
                trace.clear()
                coroutine = primitive.__aexit__(None, None, None)
                print(coroutine.__qualname__, primitive.__aenter__.__qualname__)
                await show_result(coroutine)
            class Mine(type(anyio.Lock())):
                async def acquire(self):
                    print("mine")
                    await super().acquire()
            async with Mine() as lock:
                print(lock)
            original = type(anyio.Lock()).acquire
            async def patched(self):
                print("patched")
                await original(self)
            type(anyio.Lock()).acquire = patched
            async with anyio.Lock():
                pass
            type(anyio.Lock()).acquire = original
    """,
    "events are made and set": """
        async def main():
            event = anyio.Event()
            print(type(event).__name__, event.is_set(), event.statistics(), event.set(), event.is_set())
            class Mine(anyio.Event):
                pass
            print(type(Mine()).__name__)
            refused(lambda: anyio.Event(1))
            print(type(anyio.Event.__new__(anyio.Event)).__name__)
            event.__init__()
            print(event.is_set())
            print(type(await asyncio.to_thread(anyio.Event)).__name__)
    """,
}
