"""anyio's primitives, if anyio is installed.

`asyncio` is anyio on stock asyncio, `ferrio-loop` anyio's own code on ferrio's loop, `ferrio` the whole of ferrio with
its parts in anyio's backend. To see those parts alone, compare with a run under FERRIO_ANYIO=0.
"""

import asyncio
import importlib.util

from .workload import workload

# The section is empty where there is no anyio.
if importlib.util.find_spec("anyio") is not None:
    import anyio
    import anyio._backends._asyncio  # as anyio.run() does: a program that runs has it
    import anyio.lowlevel

    async def nothing() -> None:
        pass

    @workload
    async def group_of_ten() -> int:
        for _ in range(100):
            async with anyio.create_task_group() as group:
                for _ in range(10):
                    group.start_soon(nothing)
        return 100

    @workload
    async def start_and_wait() -> int:
        async def ready(*, task_status: anyio.abc.TaskStatus[int]) -> None:
            task_status.started(5)

        async with anyio.create_task_group() as group:
            for _ in range(300):
                assert await group.start(ready) == 5
        return 300

    @workload
    async def move_on_after() -> int:
        for _ in range(2000):
            with anyio.move_on_after(10) as scope:
                pass
            assert not scope.cancel_called
        return 2000

    @workload
    async def fail_after() -> int:
        for _ in range(1000):
            with anyio.fail_after(10):
                pass
        return 1000

    @workload
    async def scope_that_is_cancelled() -> int:
        for _ in range(500):
            with anyio.CancelScope() as scope:
                scope.cancel()
                await anyio.lowlevel.checkpoint()
            assert scope.cancelled_caught
        return 500

    @workload
    async def checkpoints() -> int:
        for _ in range(2000):
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint_if_cancelled()
            await anyio.lowlevel.cancel_shielded_checkpoint()
        return 2000

    @workload
    async def lock_that_is_free() -> int:
        lock = anyio.Lock()
        for _ in range(1000):
            async with lock:
                pass
        return 1000

    @workload
    async def lock_of_ten_tasks() -> int:
        lock = anyio.Lock()

        async def body() -> None:
            for _ in range(100):
                async with lock:
                    pass

        await asyncio.gather(*(body() for _ in range(10)))
        return 1000

    @workload
    async def semaphore_that_is_free() -> int:
        semaphore = anyio.Semaphore(2)
        for _ in range(1000):
            async with semaphore:
                pass
        return 1000

    @workload
    async def limiter_that_is_free() -> int:
        limiter = anyio.CapacityLimiter(2)
        for _ in range(1000):
            async with limiter:
                pass
        return 1000

    @workload
    async def limiter_of_ten_tasks() -> int:
        limiter = anyio.CapacityLimiter(2)

        async def body() -> None:
            for _ in range(100):
                async with limiter:
                    pass

        await asyncio.gather(*(body() for _ in range(10)))
        return 1000

    @workload
    async def event_between_two_tasks() -> int:
        events = [anyio.Event(), anyio.Event()]

        async def other() -> None:
            for _ in range(500):
                await events[1].wait()
                events[1] = anyio.Event()
                events[0].set()

        task = asyncio.ensure_future(other())
        for _ in range(500):
            events[1].set()
            await events[0].wait()
            events[0] = anyio.Event()
        await task
        return 1000

    @workload
    async def condition_between_two_tasks() -> int:
        condition = anyio.Condition()
        turn = 0

        async def body(number: int) -> None:
            nonlocal turn
            for _ in range(200):
                async with condition:
                    while turn != number:
                        await condition.wait()
                    turn = 1 - number
                    condition.notify()

        await asyncio.gather(body(0), body(1))
        return 400

    @workload
    async def memory_stream_between_two_tasks() -> int:
        there, here = anyio.create_memory_object_stream[int](0)
        back, answers = anyio.create_memory_object_stream[int](0)

        async def echo() -> None:
            async for number in here:
                await back.send(number)

        with there, here, back, answers:
            task = asyncio.ensure_future(echo())
            for number in range(500):
                await there.send(number)
                assert await answers.receive() == number
            there.close()
            await task
        return 500

    @workload
    async def memory_stream_with_a_buffer() -> int:
        send, receive = anyio.create_memory_object_stream[int](10)
        with send, receive:
            for number in range(1000):
                await send.send(number)
                assert await receive.receive() == number
        return 1000

    @workload
    async def memory_streams_made() -> int:
        for number in range(500):
            send, receive = anyio.create_memory_object_stream[int](1)
            with send, receive:
                send.send_nowait(number)
                assert receive.receive_nowait() == number
        return 500
