"""Callbacks and timers."""

import asyncio
import threading

from .workload import workload


def nothing() -> None:
    pass


@workload
async def call_soon_chain() -> int:
    loop, left = asyncio.get_running_loop(), 20_000
    done = loop.create_future()

    def again():
        nonlocal left
        left -= 1
        if left:
            loop.call_soon(again)
        else:
            done.set_result(None)

    loop.call_soon(again)
    await done
    return 20_000


@workload
async def call_soon_batch() -> int:
    loop = asyncio.get_running_loop()
    for _ in range(20):
        for _ in range(1000):
            loop.call_soon(nothing)
        await asyncio.sleep(0)
    return 20_000


@workload
async def call_later_and_run() -> int:
    loop = asyncio.get_running_loop()
    ran: list[object] = []
    for number in range(20_000):
        loop.call_later(number * 1e-7, ran.append, None)
    while len(ran) < 20_000:
        await asyncio.sleep(0)
    return 20_000


@workload
async def call_later_and_cancel() -> int:
    """The pattern of a timeout that does not expire."""
    loop = asyncio.get_running_loop()
    for _ in range(20):
        for _ in range(1000):
            loop.call_later(10, nothing).cancel()
        await asyncio.sleep(0)
    return 20_000


@workload
async def cancel_among_many_timers() -> int:
    loop = asyncio.get_running_loop()
    handles = [loop.call_later(10, nothing) for _ in range(50_000)]
    for handle in handles:
        handle.cancel()
    await asyncio.sleep(0)
    return 50_000


@workload
async def threads_call_in() -> int:
    loop = asyncio.get_running_loop()
    arrived: list[object] = []
    done = loop.create_future()

    def flood():
        for _ in range(20_000):
            loop.call_soon_threadsafe(arrived.append, None)
        loop.call_soon_threadsafe(done.set_result, None)

    thread = threading.Thread(target=flood)
    thread.start()
    await done
    thread.join()
    assert len(arrived) == 20_000
    return 20_000
