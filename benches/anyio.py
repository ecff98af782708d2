"""anyio's primitives, if anyio is installed.

`asyncio` is anyio on stock asyncio, `ferrio-loop` anyio's own code on ferrio's loop, `ferrio` the whole of ferrio with
its parts in anyio's backend. To see those parts alone, compare with a run under FERRIO_ANYIO=0.
"""

import importlib.util

from .workload import workload

# The section is empty where there is no anyio.
if importlib.util.find_spec("anyio") is not None:
    import anyio
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
