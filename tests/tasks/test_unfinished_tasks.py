"""An unfinished task is freed with its loop: the collector sees everything that it waits for."""

import asyncio
import gc
import logging
import socket
import weakref
from typing import Any

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


# What waits in a method of the loop, of a server or of a process: given sockets and a listening socket.
METHODS = {
    "sock_recv": lambda loop, sock, listening: loop.sock_recv(sock, 1),
    "sock_recv_into": lambda loop, sock, listening: loop.sock_recv_into(sock, bytearray(1)),
    "sock_sendall": lambda loop, sock, listening: loop.sock_sendall(sock, bytes(10_000_000)),
    "sock_accept": lambda loop, sock, listening: loop.sock_accept(listening),
    "create_connection": lambda loop, sock, listening: loop.create_connection(asyncio.Protocol, "nowhere.invalid", 1),
    "create_server": lambda loop, sock, listening: loop.create_server(asyncio.Protocol, "nowhere.invalid", 1),
    "open_connection": lambda loop, sock, listening: ferrio.open_connection("nowhere.invalid", 1),
    "start_server": lambda loop, sock, listening: ferrio.start_server(print, "nowhere.invalid", 1),
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the loop is closed when they end
@pytest.mark.parametrize("name", METHODS)
def test_what_waits_in_a_method_of_a_closed_loop_goes_with_it(name, caplog):
    caplog.set_level(logging.CRITICAL, "asyncio")

    async def main(sock, listening):
        loop: Any = asyncio.get_running_loop()
        never = loop.create_future()
        loop.getaddrinfo = lambda *_, **__: never
        task = asyncio.create_task(METHODS[name](loop, sock, listening))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not task.done()
        return weakref.ref(task)

    left, right = socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as listening, left, right:
        for each in (left, listening):
            each.setblocking(False)
        loop = ferrio.new_event_loop()
        gone = [loop.run_until_complete(main(left, listening)), weakref.ref(loop)]
        loop.close()
        del loop
        for _ in range(3):
            gc.collect()
        assert [reference() for reference in gone] == [None, None]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_server_that_serves_for_ever_goes_with_its_closed_loop(caplog):
    caplog.set_level(logging.CRITICAL, "asyncio")

    async def main(listening):
        server = await asyncio.get_running_loop().create_server(asyncio.Protocol, sock=listening)
        task = asyncio.create_task(server.serve_forever())
        for _ in range(5):
            await asyncio.sleep(0)
        return weakref.ref(task)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        loop = ferrio.new_event_loop()
        gone = [loop.run_until_complete(main(listening)), weakref.ref(loop)]
        loop.close()
        del loop
        for _ in range(3):
            gc.collect()
        assert [reference() for reference in gone] == [None, None]


def test_who_keeps_the_handle_of_a_timer_goes_with_the_loop():
    class Owner:
        def __init__(self):
            self.loop = ferrio.new_event_loop()
            self.timer = self.loop.call_later(1000, self.work)
            self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.close()

        def work(self):
            pass

    class Unclosed(Owner):
        def __init__(self):
            self.loop = ferrio.new_event_loop()
            self.timer = self.loop.call_later(1000, self.work)
            self.loop.run_until_complete(asyncio.sleep(0))

    gone: list[weakref.ref[Owner]] = [weakref.ref(Owner()), weakref.ref(Unclosed())]
    with pytest.warns(ResourceWarning, match="unclosed event loop"):
        gc.collect()
    assert [reference() for reference in gone] == [None, None]
