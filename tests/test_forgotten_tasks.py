"""A task that nobody finished goes with its loop: the collector sees everything that it waits in."""

import asyncio
import gc
import logging
import socket
import weakref

import pytest

import ferrio

WAITS = {}


def wait(function):
    WAITS[function.__name__] = function
    return function


async def never():
    await asyncio.get_running_loop().create_future()


@wait
async def holding_a_lock():
    async with ferrio.Lock():
        await never()


@wait
async def in_line_for_a_lock():
    lock = ferrio.Lock()
    async with lock, lock:
        pass


@wait
async def in_line_for_a_semaphore():
    semaphore = ferrio.Semaphore(1)
    async with semaphore, semaphore:
        pass


@wait
async def for_a_condition():
    condition = ferrio.Condition()
    async with condition:
        await condition.wait()


@wait
async def for_an_event():
    await ferrio.Event().wait()


@wait
async def at_a_barrier():
    async with ferrio.Barrier(2):
        pass


@wait
async def for_an_item():
    await ferrio.Queue().get()


@wait
async def for_data():
    await ferrio.StreamReader().read()


@wait
async def asleep():
    await ferrio.sleep(1000)


@wait
async def gathering():
    await ferrio.gather(never(), never())


@wait
async def shielding():
    await ferrio.shield(never())


@wait
async def with_a_timeout():
    async with ferrio.timeout(1000):
        await never()


@wait
async def for_so_long():
    await ferrio.wait_for(never(), 1000)


@wait
async def for_the_first():
    await ferrio.wait([asyncio.ensure_future(never())], timeout=1000)


@wait
async def in_a_group():
    async with ferrio.TaskGroup() as group:
        group.create_task(never())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the loop is closed when they end
@pytest.mark.parametrize("name", WAITS)
def test_a_forgotten_task_is_collected_with_its_closed_loop(name, caplog):
    caplog.set_level(logging.CRITICAL, "asyncio")  # "Task was destroyed but it is pending!"

    async def main():
        task = asyncio.create_task(WAITS[name]())
        for _ in range(5):
            await asyncio.sleep(0)
        assert not task.done()
        return weakref.ref(task)

    loop = ferrio.new_event_loop()
    left = [loop.run_until_complete(main()), weakref.ref(loop)]
    loop.close()
    del loop
    for _ in range(3):  # a coroutine's end may leave a cycle of its own
        gc.collect()
    assert [reference() for reference in left] == [None, None]


@pytest.mark.parametrize("kind", ["sock_recv", "serve_forever"])
def test_what_waits_in_a_method_of_the_loop_stays(kind, caplog):
    """No promise: a leak that asyncio does not have, of programs that close their loop over pending tasks."""
    caplog.set_level(logging.CRITICAL, "asyncio")
    listening = socket.create_server(("127.0.0.1", 0))
    left, right = socket.socketpair()
    left.setblocking(False)

    async def main():
        loop = asyncio.get_running_loop()
        if kind == "sock_recv":
            waiting = loop.sock_recv(left, 1)
        else:
            waiting = (await loop.create_server(asyncio.Protocol, sock=listening)).serve_forever()
        task = asyncio.create_task(waiting)
        await asyncio.sleep(0.01)
        return weakref.ref(task)

    with listening, left, right:
        loop = ferrio.new_event_loop()
        task = loop.run_until_complete(main())
        loop.close()
        del loop
        gc.collect()
        assert task() is not None
