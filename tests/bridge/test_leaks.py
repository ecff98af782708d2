"""No call leaves memory behind; FERRIO_LEAK_ROUNDS makes it as many calls as wanted."""

import asyncio
import contextlib
import gc
import os
import sys

import pytest
import rust_extension

ROUNDS = int(os.environ.get("FERRIO_LEAK_ROUNDS", "2000"))


async def ready():
    await rust_extension.ready(1)


async def lazy():
    await rust_extension.lazy(1)


async def wake_once():
    await rust_extension.wake_once(1)


async def failing():
    with contextlib.suppress(ValueError):
        await rust_extension.failing("text")


async def python():
    return 1


async def awaited():
    await rust_extension.nested(python())


async def both():
    await rust_extension.both(asyncio.sleep(0), asyncio.sleep(0))


async def cancelled():
    task = rust_extension.idle("name", lambda name: None)
    await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def notified():
    gate = rust_extension.Gate()
    task = gate.wait()
    await asyncio.sleep(0)
    gate.open_for_one()
    await task


async def slept():
    await rust_extension.slept(0, 1)


OPERATIONS = [ready, lazy, wake_once, failing, awaited, both, cancelled, notified, slept]


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_calls_leave_nothing_behind(loop, operation):
    async def main(rounds):
        for _ in range(rounds):
            await operation()

    def blocks_after(rounds):
        loop.run_until_complete(main(rounds))
        gc.collect()
        return sys.getallocatedblocks(), resident_bytes()

    blocks_after(ROUNDS // 4)
    blocks, resident = blocks_after(ROUNDS // 4)
    more_blocks, more_resident = blocks_after(ROUNDS)
    # Python's objects are counted to the block; Rust's memory shows in the process, of which each page counts.
    assert more_blocks - blocks < ROUNDS // 20
    assert more_resident - resident < max(ROUNDS * 32, 1 << 20)
