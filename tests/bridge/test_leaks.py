"""No call leaves memory behind; FERRIO_LEAK_ROUNDS makes it as many calls as wanted."""

import asyncio
import contextlib
import gc
import os
import sys

import pytest
import rust_extension

from tests.bridge.conftest import OTHERS
from tests.support.loops import FACTORIES

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


async def through_sockets():
    await rust_extension.through_sockets(1)


async def sent_by_a_thread():
    done = asyncio.get_running_loop().create_future()
    rust_extension.run_in_turn(1, done.set_result)
    await done


async def woken_by_a_thread():
    gate = rust_extension.Gate()
    task = gate.wait()
    await asyncio.sleep(0)
    gate.open_from_thread()
    await task


async def first_of_two():
    await rust_extension.first(asyncio.get_running_loop().create_future(), asyncio.sleep(0))


async def never_awaited():
    rust_extension.lazy(1).close()


async def cancelled_in_python():
    task = rust_extension.nested(asyncio.get_running_loop().create_future())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


OPERATIONS = [
    ready,
    lazy,
    wake_once,
    failing,
    awaited,
    both,
    cancelled,
    cancelled_in_python,
    notified,
    slept,
    through_sockets,
    sent_by_a_thread,
    woken_by_a_thread,
    first_of_two,
    never_awaited,
]


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def assert_flat(in_use_after, rounds, most_blocks, most_resident):
    """Python's objects are counted to the block; Rust's memory shows in the process, of which each page counts.

    The first rounds fill what the interpreter keeps; what each round leaves behind shows every time.
    """
    blocks, resident = in_use_after(rounds // 4)
    for _ in range(5):
        blocks_before, resident_before = blocks, resident
        blocks, resident = in_use_after(rounds)
        if blocks - blocks_before < most_blocks and resident - resident_before < most_resident:
            return
    raise AssertionError((blocks - blocks_before, resident - resident_before))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_calls_leave_nothing_behind(loop, operation):
    async def main(rounds):
        for _ in range(rounds):
            await operation()

    def in_use_after(rounds):
        loop.run_until_complete(main(rounds))
        gc.collect()
        return sys.getallocatedblocks(), resident_bytes()

    in_use_after(ROUNDS // 4)
    assert_flat(in_use_after, ROUNDS, most_blocks=ROUNDS // 20, most_resident=max(ROUNDS * 32, 4 << 20))


async def panicked():
    with contextlib.suppress(RuntimeError):
        await rust_extension.panicking_in("poll", None)


def run_a_loop(new_event_loop):
    async def main():
        rust_extension.lazy(1).close()
        await rust_extension.wake_once(1)
        return [rust_extension.idle("name", lambda name: None) for _ in range(3)]

    loop = new_event_loop()
    tasks = loop.run_until_complete(main())
    loop.close()
    for task in tasks:
        task._log_destroy_pending = False


@pytest.mark.parametrize("what", ["panics", "loops"])
def test_panics_and_loops_leave_nothing_behind(loop_kind, what, capfd):
    factory = {**FACTORIES, **OTHERS}[loop_kind]
    rounds = max(ROUNDS // 20, 100)

    def in_use_after(rounds):
        if what == "loops":
            for _ in range(rounds):
                run_a_loop(factory)
        else:
            loop = factory()
            for _ in range(rounds):
                loop.run_until_complete(panicked())
            loop.close()
        gc.collect()
        capfd.readouterr()
        return sys.getallocatedblocks(), resident_bytes()

    assert_flat(in_use_after, 2 * rounds, most_blocks=rounds, most_resident=max(rounds * 200, 4 << 20))
