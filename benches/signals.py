"""Signals that a process sends itself."""

import asyncio
import os
import signal

from .workload import workload


@workload
async def raised_and_handled() -> int:
    loop, left = asyncio.get_running_loop(), 1000
    done, pid = loop.create_future(), os.getpid()

    def again() -> None:
        nonlocal left
        left -= 1
        if left:
            os.kill(pid, signal.SIGUSR1)
        else:
            done.set_result(None)

    loop.add_signal_handler(signal.SIGUSR1, again)
    os.kill(pid, signal.SIGUSR1)
    await done
    loop.remove_signal_handler(signal.SIGUSR1)
    return 1000


@workload
async def add_and_remove() -> int:
    loop = asyncio.get_running_loop()
    for _ in range(1000):
        loop.add_signal_handler(signal.SIGUSR2, print)
        loop.remove_signal_handler(signal.SIGUSR2)
    return 1000
