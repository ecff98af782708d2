"""What programs under programs/ run their coroutines with: afterwards nothing may have stayed behind.

    clean.run(main)        in the place of asyncio.run(main()), once or several times
    clean.done()           for programs that start their loops otherwise; `clean.run` includes it

Nothing is: no task that is not done when `main` returns, no descriptor, child process or thread more than at the
start. What ends on its own within a second, such as the last callbacks of a closing transport, is waited for.
"""

import asyncio
import contextlib
import gc
import os
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

GRACE = 1.0


def descriptors() -> set[tuple[int, str]]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        # The descriptor that lists the directory is gone by now.
        with contextlib.suppress(OSError):
            found.add((int(name), os.readlink(f"/proc/self/fd/{name}")))
    # A late import may load a shared library that some builds of Python keep open.
    return {(number, path) for number, path in found if ".so" not in os.path.basename(path)}


_at_start = descriptors()


def run(main: Callable[[], Coroutine[Any, Any, object]], **keywords: Any) -> None:
    asyncio.run(checked(main), **keywords)
    done()


async def checked(main: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Awaits `main()`, after which this task must be the only one."""
    await main()
    deadline = time.monotonic() + GRACE
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        assert time.monotonic() < deadline, f"pending tasks: {others}"
        await asyncio.sleep(0.001)


def done() -> None:
    """Checks what is left, and says as the last line that it is nothing."""
    gc.collect()
    deadline = time.monotonic() + GRACE
    while left := remains():
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.001)
    with contextlib.suppress(ChildProcessError):
        child = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        raise AssertionError(f"a child process is left: {child}")
    print("clean", flush=True)


def remains() -> list[object]:
    """Descriptors and threads that were not there at the start."""
    threads = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    return [*sorted(descriptors() - _at_start), *threads]
