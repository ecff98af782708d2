"""anyio's locks, events, conditions, semaphores, limiters and memory streams on ferrio, compared with anyio's own."""

import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("anyio")

from tests.anyio import primitive_programs, stream_programs
from tests.anyio.primitive_programs import TRACE
from tests.anyio.programs import assert_same

PROGRAMS = primitive_programs.PROGRAMS | stream_programs.PROGRAMS
NEVER_AWAITED = "coroutines that are never awaited are reported by name"


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_do_as_on_stock(name):
    printed = assert_same(TRACE + textwrap.dedent(PROGRAMS[name]))
    assert printed.startswith("0\n"), printed


@pytest.mark.skipif(sys.version_info < (3, 12), reason="no eager tasks")
@pytest.mark.parametrize("name", [name for name in PROGRAMS if name != NEVER_AWAITED])
def test_programs_do_as_on_stock_with_eager_tasks(name):
    factory = """
def eager_loop():
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    return loop
"""
    assert_same(factory + TRACE + textwrap.dedent(PROGRAMS[name]), "{'loop_factory': eager_loop}")


def run(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


USE = """
import asyncio, ferrio, anyio
async def use():
    send, receive = anyio.create_memory_object_stream(0)
    lock, event, limiter, semaphore = anyio.Lock(), anyio.Event(), anyio.CapacityLimiter(1), anyio.Semaphore(1)
    condition = anyio.Condition()
    async def other():
        for primitive in (lock, limiter, semaphore, condition):
            async with primitive:
                await anyio.sleep(0)
        await event.wait()
        await send.send(await receive.receive())
    with send, receive:
        async with anyio.create_task_group() as group:
            group.start_soon(other)
            for primitive in (lock, limiter, semaphore, condition):
                async with primitive:
                    await anyio.sleep(0)
            event.set()
            await event.wait()
            await send.send("item")
            await anyio.sleep(0.01)
            return await receive.receive()
"""


def test_other_loops_and_trio_are_served_by_anyios_own():
    pytest.importorskip("trio")
    printed = run(
        USE
        + """
ferrio.install()
print(anyio.run(use))
print(anyio.run(use, backend_options={"loop_factory": asyncio.SelectorEventLoop}))
print(anyio.run(use, backend="trio"))
ferrio.uninstall()
print(anyio.run(use))
"""
    )
    assert printed == "item\n" * 4


def test_operations_in_progress_survive_uninstall():
    printed = run(
        USE
        + """
ferrio.install()
async def main():
    send, receive = anyio.create_memory_object_stream(0)
    lock, event, limiter = anyio.Lock(), anyio.Event(), anyio.CapacityLimiter(1)
    await lock.acquire()
    await limiter.acquire()
    with send, receive:
        tasks = [asyncio.ensure_future(wait()) for wait in (receive.receive, lock.acquire, event.wait, limiter.acquire)]
        for _ in range(3):
            await asyncio.sleep(0)
        ferrio.uninstall()
        await send.send("item")
        lock.release()
        event.set()
        limiter.release()
        print(await asyncio.gather(*tasks))
asyncio.run(main())
"""
    )
    assert printed == "['item', None, None, None]\n"


def test_uninstall_restores_the_methods():
    printed = run(
        """
        import ferrio, anyio, anyio.streams.memory
        from anyio._backends import _asyncio as module
        owners = [module.Event, module.Lock, module.Semaphore, module.CapacityLimiter, anyio.Condition]
        owners += [anyio.streams.memory.MemoryObjectSendStream, anyio.streams.memory.MemoryObjectReceiveStream]
        owners += [anyio._core._eventloop, anyio._core._synchronization]
        def state():
            return [dict(vars(owner)) for owner in owners]
        before = state()
        ferrio.install()
        during = state()
        ferrio.uninstall()
        print(before == state(), [old == new for old, new in zip(before, during)])
        ferrio.install()
        print(state() == during)
        """
    )
    assert printed == f"True {[False] * 9}\nTrue\n"


def test_a_method_that_other_code_replaced_stays():
    printed = run(
        """
        import ferrio
        from anyio._backends._asyncio import Lock
        Lock.release = theirs = lambda self: None
        ferrio.install()
        print(Lock.release is theirs, type(Lock.acquire).__name__)
        """
    )
    assert printed == "True coroutine_function\n"


def test_the_backend_is_that_of_the_library_that_sniffio_names():
    pytest.importorskip("sniffio")
    printed = run(
        """
        import asyncio, ferrio, anyio, sniffio
        ferrio.install()
        from anyio._core._eventloop import get_async_backend
        def name():
            try:
                return get_async_backend().__name__
            except Exception as error:
                return type(error).__name__
        async def main():
            print(name(), get_async_backend("asyncio").__name__)
            token = sniffio.current_async_library_cvar.set("nothing")
            print(name())
            sniffio.current_async_library_cvar.reset(token)
            sniffio.thread_local.name = "none"
            print(name())
            sniffio.thread_local.name = None
            asyncio.get_running_loop().call_soon(lambda: print(name()))
            await asyncio.sleep(0)
            print(name())
        print(name())
        asyncio.run(main())
        """
    )
    assert printed.split("\n") == [
        "NoEventLoopError",
        "AsyncIOBackend AsyncIOBackend",
        "ModuleNotFoundError",
        "ModuleNotFoundError",
        "NoEventLoopError",
        "AsyncIOBackend",
        "",
    ]


def test_an_unfinished_operation_is_collected_with_its_loop():
    printed = run(
        """
        import asyncio, gc, weakref, warnings, ferrio, anyio, logging
        logging.disable(logging.CRITICAL)
        warnings.simplefilter("ignore")
        ferrio.install()
        class Item: pass
        refs = []
        async def main():
            send, receive = anyio.create_memory_object_stream()
            event, lock, limiter = anyio.Event(), anyio.Lock(), anyio.CapacityLimiter(1)
            await lock.acquire(), await limiter.acquire()
            item = Item()
            other = anyio.create_memory_object_stream()[1]
            for wait in (lambda: send.send(item), other.receive, event.wait, lock.acquire, limiter.acquire):
                refs.append(weakref.ref(asyncio.ensure_future(wait())))
            refs.append(weakref.ref(item))
            for _ in range(3):
                await asyncio.sleep(0)
        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
        loop.close()
        del loop
        gc.collect()
        print([ref() for ref in refs])
        """
    )
    assert printed == f"{[None] * 6}\n"
