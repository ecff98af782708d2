"""asyncio itself: a swallowed cancellation, a lost notification, and a semaphore that nobody gets any more.

    python -m examples.library_faults.asyncio_primitives

The pure-Python functions and classes are loaded again from the interpreter's own files, so that it makes no
difference what else has replaced them. Before 3.12 `wait_for` returns although it was cancelled in the turn in which
its future was done; before 3.13 a condition's notification is lost if the task that it woke is cancelled in the same
turn. Releases before 3.10.8 have the semaphore's fault: FERRIO_OLD_PYTHON names such an interpreter, whose class is
used then.
"""

import asyncio
import asyncio.locks
import asyncio.tasks
import importlib.util
import os
import subprocess
from types import ModuleType
from typing import Any

from examples.library_faults.report import explore


def stock(module: ModuleType, file: str | None = None) -> Any:
    """The module, loaded again from its file, or from another interpreter's."""
    name = f"asyncio._again_{module.__name__[8:]}"
    specification = importlib.util.spec_from_file_location(name, file or module.__file__)
    assert specification is not None
    assert specification.loader is not None
    again = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(again)
    return again


TASKS = stock(asyncio.tasks)
LOCKS = stock(asyncio.locks)


def old_locks() -> Any:
    """The locks of the interpreter that FERRIO_OLD_PYTHON names, or the running one's."""
    interpreter = os.environ.get("FERRIO_OLD_PYTHON")
    if not interpreter:
        return LOCKS
    command = [interpreter, "-c", "import asyncio.locks; print(asyncio.locks.__file__)"]
    return stock(asyncio.locks, subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())


OLD_LOCKS = old_locks()


async def swallowed_cancellation() -> None:
    """A task is cancelled while it waits, and has to end as cancelled."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str] = loop.create_future()

    async def work() -> None:
        await TASKS.wait_for(answer, 60)
        await asyncio.sleep(3600)

    task = asyncio.create_task(work())
    loop.call_later(0.009, answer.set_result, "answer")
    loop.call_later(0.01, task.cancel)
    done, _ = await asyncio.wait([task], timeout=60)
    assert done, "the cancellation was swallowed"


async def lost_notification() -> None:
    """One of two that wait is cancelled: the other one has to be notified."""
    condition = LOCKS.Condition()
    items: list[str] = []
    received: list[str] = []

    async def consume() -> None:
        async with condition:
            while not items:
                await condition.wait()
            received.append(items.pop())

    tasks = [asyncio.create_task(consume()) for _ in range(2)]
    loop = asyncio.get_running_loop()

    async def produce() -> None:
        await asyncio.sleep(0.009)
        async with condition:
            items.append("item")
            condition.notify()

    producing = asyncio.create_task(produce())
    loop.call_later(0.01, tasks[0].cancel)
    await asyncio.wait([producing, *tasks], timeout=60)
    for task in tasks:
        task.cancel()
    assert received == ["item"]


async def lost_permit() -> None:
    """A task is cancelled while it waits for a permit: the next one has to get it."""
    semaphore = OLD_LOCKS.Semaphore(1)
    await semaphore.acquire()
    waiting = asyncio.create_task(semaphore.acquire())
    loop = asyncio.get_running_loop()
    loop.call_later(0.009, semaphore.release)
    loop.call_later(0.01, waiting.cancel)
    await asyncio.wait([waiting])
    if not waiting.cancelled():
        semaphore.release()
    async with asyncio.timeout(60):
        await semaphore.acquire()


if __name__ == "__main__":
    explore(swallowed_cancellation, lost_notification, lost_permit)
