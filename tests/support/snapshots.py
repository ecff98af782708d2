"""Snapshots of programs that run in the test's own process."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import ferrio.inspect
from ferrio.inspect import Primitive, Snapshot, Task


def seen(loop, main: Callable[[], Coroutine[Any, Any, Any]], turns: int = 5) -> tuple[Snapshot, dict[str, Task]]:
    """Runs `main` as a task named "main" until it waits, takes a snapshot and cancels it."""

    async def outer():
        task = asyncio.get_running_loop().create_task(main(), name="main")
        for _ in range(turns):
            await asyncio.sleep(0)
        snapshot = ferrio.inspect.snapshot()
        task.cancel()
        await asyncio.wait([task])
        return snapshot

    snapshot = loop.run_until_complete(outer())
    return snapshot, {task["name"]: task for task in snapshot["tasks"] if task["loop"] == hex(id(loop))}


def primitive_of(snapshot: Snapshot, task: Task) -> Primitive:
    assert task["waits_for"] is not None
    (found,) = [each for each in snapshot["primitives"] if each["id"] == task["waits_for"]["primitive"]]
    return found


async def within(manager) -> None:
    async with manager:
        pass
