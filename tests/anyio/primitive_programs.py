"""Programs on anyio's locks, events, conditions, semaphores and limiters. Each defines `main`."""

TRACE = """
trace = []


async def traced(name, function, *arguments):
    try:
        result = await function(*arguments)
    except BaseException as error:
        trace.append((name, kind(error), kind_of_context(error)))
        raise
    trace.append((name, result))


def kind_of_context(error):
    seen = []
    while (error := error.__context__) is not None:
        seen.append(type(error).__name__)
    return seen


def refused(function, *arguments):
    try:
        print(function(*arguments))
    except Exception as error:
        print(kind(error), kind_of_context(error), error.__cause__, error.__suppress_context__)


async def turns(count=3):
    for _ in range(count):
        await asyncio.sleep(0)
"""

PROGRAMS = {
    "a lock is passed on in order": """
        async def main():
            lock = anyio.Lock()
            async def body(number):
                async with lock:
                    print(number, lock.statistics().owner.name, lock.statistics().tasks_waiting)
                    await checkpoint()
            async with create_task_group() as group:
                for number in range(4):
                    group.start_soon(body, number, name=f"task {number}")
            print(lock.locked(), lock.statistics())
    """,
    "a lock refuses those who do not hold it or hold it already": """
        async def main():
            lock = anyio.Lock()
            refused(lock.release)
            print(lock.acquire_nowait())
            refused(lock.acquire_nowait)
            await show_result(lock.acquire())
            async def other():
                refused(lock.acquire_nowait)
                refused(lock.release)
            await asyncio.create_task(other())
            lock.release()
            refused(lock.release)
    """,
    "a free lock lets others run first unless it is fast": """
        async def main():
            for fast in (False, True):
                lock = anyio.Lock(fast_acquire=fast)
                asyncio.get_running_loop().call_soon(trace.append, fast)
                await traced("lock", lock.acquire)
                trace.append(lock.locked())
            await turns()
            print(trace)
    """,
    "a cancelled scope keeps a free lock from being taken": """
        async def main():
            lock = anyio.Lock()
            semaphore = anyio.Semaphore(1)
            limiter = anyio.CapacityLimiter(1)
            for primitive in (lock, semaphore, limiter):
                with CancelScope() as scope:
                    scope.cancel()
                    await traced("acquire", primitive.acquire)
                with CancelScope() as scope:
                    scope.cancel()
                    with CancelScope(shield=True):
                        await primitive.acquire()
                        primitive.release()
            print(lock.locked(), semaphore.value, limiter.borrowed_tokens)
            print(str(trace).count("Cancelled"))
    """,
    "a native cancellation in the turn after acquiring gives it back": """
        async def main():
            for primitive in (anyio.Lock(), anyio.Semaphore(1), anyio.CapacityLimiter(1)):
                async def body():
                    with contextlib.nullcontext() if plain else CancelScope():
                        await traced("acquire", primitive.acquire)
                for plain in (True, False):
                    task = asyncio.create_task(body())
                    await asyncio.sleep(0)
                    task.cancel("why")
                    await show_result(task)
            print(trace)
    """,
    "a scope that is cancelled in the turn after acquiring does not take it back": """
        async def main():
            for primitive in (anyio.Lock(), anyio.Semaphore(1), anyio.CapacityLimiter(1)):
                with CancelScope() as scope:
                    asyncio.get_running_loop().call_soon(scope.cancel)
                    await traced("acquire", primitive.acquire)
                    primitive.release()
                    await traced("checkpoint", checkpoint)
                print(scope.cancelled_caught)
            print(len(trace))
    """,
    "a waiter that was given the lock and is cancelled passes it on": """
        async def main():
            for primitive in (anyio.Lock(), anyio.Semaphore(1), anyio.CapacityLimiter(1)):
                trace.clear()
                await primitive.acquire()
                tasks = [asyncio.create_task(traced(number, primitive.acquire)) for number in range(3)]
                await turns()
                tasks[1].cancel()
                primitive.release()
                tasks[0].cancel()
                await turns(6)
                print(trace, primitive.statistics().tasks_waiting)
                print([task.done() and task.cancelled() for task in tasks])
    """,
    "a semaphore counts, and knows its maximum": """
        async def main():
            semaphore = anyio.Semaphore(2, max_value=2)
            refused(semaphore.release)
            await semaphore.acquire()
            semaphore.acquire_nowait()
            refused(semaphore.acquire_nowait)
            print(semaphore.value, semaphore.max_value, semaphore.statistics())
            semaphore.release()
            async with semaphore as entered:
                print(entered is semaphore, semaphore.value)
            big = anyio.Semaphore(2**70)
            await big.acquire()
            print(big.value == 2**70 - 1)
            big.release()
            print(big.value == 2**70)
            true = anyio.Semaphore(True)
            await true.acquire()
            print(true.value)
    """,
    "a semaphore passes permits on in order": """
        async def main():
            semaphore = anyio.Semaphore(2)
            async def body(number):
                async with semaphore:
                    trace.append((number, semaphore.value, semaphore.statistics().tasks_waiting))
                    await checkpoint()
            async with create_task_group() as group:
                for number in range(6):
                    group.start_soon(body, number)
            print(trace, semaphore.value)
    """,
    "a limiter lends tokens": """
        async def main():
            limiter = anyio.CapacityLimiter(2)
            refused(limiter.release)
            await limiter.acquire()
            await show_result(limiter.acquire())
            refused(limiter.acquire_nowait)
            await limiter.acquire_on_behalf_of("a")
            refused(limiter.acquire_on_behalf_of_nowait, "b")
            refused(limiter.acquire_on_behalf_of_nowait, [])
            refused(limiter.release_on_behalf_of, "b")
            print(limiter.statistics().borrowed_tokens, limiter.available_tokens)
            task = asyncio.create_task(traced("b", limiter.acquire_on_behalf_of, "b"))
            other = asyncio.create_task(traced("c", limiter.acquire_on_behalf_of, "c"))
            await turns()
            print(trace, limiter.statistics().tasks_waiting)
            limiter.release_on_behalf_of("a")
            limiter.total_tokens = 3
            await turns()
            print(trace, sorted(map(str, limiter.statistics().borrowers))[-2:])
            limiter.total_tokens = math.inf
            limiter.acquire_on_behalf_of_nowait(borrower="d")
            print(limiter.available_tokens, limiter.borrowed_tokens)
            limiter.total_tokens = 0
            refused(limiter.acquire_on_behalf_of_nowait, "e")
    """,
    "a limiter's borrowers may be equal or raise": """
        class Odd:
            def __eq__(self, other):
                raise ValueError("odd")
            def __hash__(self):
                return 1
        async def main():
            limiter = anyio.CapacityLimiter(3)
            await limiter.acquire_on_behalf_of(1)
            await show_result(limiter.acquire_on_behalf_of(True))
            limiter.release_on_behalf_of(1.0)
            limiter.acquire_on_behalf_of_nowait(Odd())
            await show_result(limiter.acquire_on_behalf_of(Odd()))
            refused(limiter.release_on_behalf_of, Odd())
            print(limiter.borrowed_tokens)
    """,
    "an event that is set lets others run, one that is not waits": """
        async def main():
            event = anyio.Event()
            print(event.is_set(), event.statistics(), isinstance(event, anyio.Event), type(event).__qualname__)
            tasks = [asyncio.create_task(traced(number, event.wait)) for number in range(3)]
            await turns()
            tasks[1].cancel()
            print(event.statistics())
            await turns()
            event.set()
            event.set()
            await turns()
            asyncio.get_running_loop().call_soon(trace.append, "soon")
            await traced("late", event.wait)
            print(trace, event.statistics())
            with CancelScope() as scope:
                scope.cancel()
                await event.wait()
            print(scope.cancelled_caught, weakref.ref(event)() is event)
    """,
    "a condition wakes those who wait": """
        async def main():
            condition = anyio.Condition()
            async def body(number):
                async with condition:
                    await condition.wait()
                    trace.append(number)
            refused(condition.notify)
            await show_result(condition.wait())
            async with create_task_group() as group:
                for number in range(5):
                    group.start_soon(body, number)
                await turns(20)
                print(condition.statistics().tasks_waiting)
                async with condition:
                    condition.notify(2)
                    print(condition.locked(), condition.statistics().lock_statistics.tasks_waiting)
                await turns(20)
                print(trace)
                async with condition:
                    condition.notify_all()
            print(trace)
            async def other():
                refused(condition.notify_all)
            async with condition:
                await asyncio.create_task(other())
    """,
    "a condition's waiter that is cancelled takes the lock again": """
        async def main():
            condition = anyio.Condition()
            with move_on_after(0.01) as scope:
                async with condition:
                    await condition.wait()
            print(scope.cancelled_caught, condition.locked(), condition.statistics().tasks_waiting)
            print(await asyncio.wait_for(wait_for(condition), 5))
        async def wait_for(condition):
            async with condition:
                return await condition.wait_for(lambda: 42)
    """,
    "objects made outside of a loop serve inside": """
        lock, event, semaphore = anyio.Lock(), anyio.Event(), anyio.Semaphore(1)
        limiter, condition = anyio.CapacityLimiter(1), anyio.Condition()
        send, receive = anyio.create_memory_object_stream(1)
        send.send_nowait("early")
        print(type(lock).__name__, type(event).__name__, event.is_set())
        event.set()
        async def main():
            await event.wait()
            for primitive in (lock, semaphore, limiter, condition):
                async with primitive:
                    print(primitive.statistics().__class__.__name__)
            print(await receive.receive())
            async with condition:
                condition.notify()
            with send, receive:
                pass
    """,
    "unclosed streams are reported": """
        async def main():
            import warnings
            for number in range(2):
                streams = list(anyio.create_memory_object_stream())
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    del streams[number]
                    print([(str(warning.message).split(" at ")[0], warning.source) for warning in caught])
                streams.pop().close()
    """,
    "coroutines that are never awaited are reported by name": """
        async def main():
            send, receive = anyio.create_memory_object_stream()
            with send, receive:
                for made in (anyio.Lock().acquire(), anyio.Event().wait(), send.send(1), receive.receive()):
                    print(made.__qualname__, asyncio.iscoroutine(made))
                    made.close()
                    await show_result(made)
    """,
    "methods look as anyio's": """
        import inspect
        from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
        async def main():
            owners = [type(anyio.Lock()), type(anyio.Event()), type(anyio.Semaphore(1)), type(anyio.CapacityLimiter(1))]
            for owner in [*owners, anyio.Condition, MemoryObjectReceiveStream, MemoryObjectSendStream]:
                for name in vars(owner):
                    method = getattr(owner, name)
                    if hasattr(method, "__code__"):
                        print(owner.__name__, name, inspect.signature(method), method.__module__, method.__qualname__)
                        print(method.__doc__, inspect.iscoroutinefunction(method), method.__annotations__)
    """,
    "bad arguments": """
        async def main():
            send, receive = anyio.create_memory_object_stream(1)
            with send, receive:
                for call in (
                    lambda: send.send_nowait(item=1),
                    lambda: send.send_nowait(),
                    lambda: receive.receive_nowait(1),
                    lambda: type(send).send_nowait(1, 2),
                ):
                    try:
                        print(call())
                    except (TypeError, AttributeError) as error:
                        print("refused")
    """,
    "a coroutine begun outside of a task": """
        async def main():
            event = anyio.Event()
            waiting = event.wait()
            future = waiting.send(None)
            event.set()
            print(future.done(), event.statistics())
            try:
                waiting.send(None)
            except StopIteration as stop:
                print(stop.value)
            lock = anyio.Lock()
            made = lock.acquire()
            print(made.send(None), lock.locked())
            made.close()
            print(lock.locked())
    """,
}
