"""What ferrio replaces in anyio is refused memory at each allocation: the process goes on, the loop works and closes.

A replaced function or method that is not in the table fails a test.
"""

import importlib.util
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest

pytest.importorskip("anyio")

import anyio._backends._asyncio as backend

from ferrio import _ferrio
from tests.memory.test_no_memory import PROGRAM
from tests.support.memory_operations import PRELUDE
from tests.support.prepared_python import Prepared

IMPORTS = """
import ferrio; ferrio.install()
import anyio, anyio.abc, anyio.lowlevel, anyio._backends._asyncio
assert ferrio.anyio_status().startswith("native")
async def ready(*, task_status):
    task_status.started(5)
async def blocked(*_):
    await anyio.sleep(100)
# A function of its own: in a long one, where an offset is no small integer, 3.11 looks for the handler of an exception
# for ever while there is no memory.
def use_streams():
    send, receive = anyio.create_memory_object_stream[int](1)
    with send, receive:
        use_both(send, receive)
def use_both(send, receive):
    send.send_nowait(1); refused(send.send_nowait, 2); receive.receive_nowait()
    send.send_nowait(1); send.statistics(); repr(send); send._state.waiting_senders
    receive.receive_nowait(); send.send_nowait(1)
def refused(function, *arguments):
    try:
        function(*arguments)
    except anyio.WouldBlock:
        pass
"""

# The names: what comes before, what is refused memory.
OPERATIONS = {
    "AsyncIOBackend.checkpoint checkpoint": ("", "await anyio.lowlevel.checkpoint()"),
    "AsyncIOBackend.checkpoint_if_cancelled checkpoint_if_cancelled": (
        "",
        "await anyio.lowlevel.checkpoint_if_cancelled()",
    ),
    "AsyncIOBackend.cancel_shielded_checkpoint cancel_shielded_checkpoint": (
        "",
        "await anyio.lowlevel.cancel_shielded_checkpoint()",
    ),
    "AsyncIOBackend.sleep sleep": ("", "await anyio.sleep(0.0001)"),
    "AsyncIOBackend.current_time current_time": ("", "anyio.current_time()"),
    "AsyncIOBackend.current_effective_deadline": ("", "anyio.current_effective_deadline()"),
    "AsyncIOBackend.create_cancel_scope CancelScope.cancel CancelScope.deadline CancelScope.shield "
    "CancelScope.cancel_called CancelScope.cancelled_caught": (
        "",
        "with anyio.CancelScope(deadline=anyio.current_time() + 9) as scope:\n"
        "    scope.deadline += 1; scope.shield = True; scope.cancel('x')\n"
        "    await anyio.sleep(1)\nscope.cancel_called, scope.cancelled_caught",
    ),
    "move_on_after": ("", "with anyio.move_on_after(0.0001): await anyio.sleep(1)"),
    "fail_after": ("", "try:\n    with anyio.fail_after(0.0001): await anyio.sleep(1)\nexcept TimeoutError: pass"),
    "AsyncIOBackend.create_task_group create_task_group TaskGroup.start_soon TaskGroup.create_task "
    "TaskGroup.cancel_scope TaskGroup.cancel TaskHandle.wait TaskHandle.cancel TaskHandle.status TaskHandle.name "
    "TaskHandle.coro TaskHandle.exception TaskHandle.return_value TaskHandle.start_value": (
        "",
        "async with anyio.create_task_group() as group:\n"
        "    handle = group.start_soon(job)\n    other = group.create_task(blocked(), name='x')\n"
        "    await handle.wait(); handle.status, handle.name, handle.coro, handle.exception, handle.return_value\n"
        "    other.cancel(); group.cancel_scope.cancel()",
    ),
    "TaskGroup.start": ("", "async with anyio.create_task_group() as group: await group.start(ready)"),
    "AsyncIOBackend.create_event Event.__new__ Event.__init__ Event.set Event.is_set Event.wait": (
        "",
        "event = anyio.Event(); event.is_set(); loop.call_soon(event.set); await event.wait(); await event.wait()",
    ),
    "Lock.acquire Lock.release Lock.acquire_nowait Lock.__aenter__ Lock.__aexit__": (
        "lock = anyio.Lock()\nasync def other():\n    async with lock: pass",
        "async with lock:\n    task = loop.create_task(other()); await anyio.sleep(0)\nawait task\n"
        "lock.acquire_nowait(); lock.release()",
    ),
    "Semaphore.acquire Semaphore.release Semaphore.acquire_nowait Semaphore.__aenter__ Semaphore.__aexit__": (
        "lock = anyio.Semaphore(1)\nasync def other():\n    async with lock: pass",
        "async with lock:\n    task = loop.create_task(other()); await anyio.sleep(0)\nawait task\n"
        "lock.acquire_nowait(); lock.release()",
    ),
    "CapacityLimiter.acquire CapacityLimiter.release CapacityLimiter.acquire_nowait CapacityLimiter.__aenter__ "
    "CapacityLimiter.__aexit__ CapacityLimiter.acquire_on_behalf_of CapacityLimiter.acquire_on_behalf_of_nowait "
    "CapacityLimiter.release_on_behalf_of": (
        "lock = anyio.CapacityLimiter(1)\nasync def other():\n    async with lock: pass",
        "async with lock:\n    task = loop.create_task(other()); await anyio.sleep(0)\nawait task\n"
        "lock.acquire_nowait(); lock.release()\nawait lock.acquire_on_behalf_of(1); lock.release_on_behalf_of(1)",
    ),
    "Condition._check_acquired": (
        "condition = anyio.Condition()",
        "async with condition: condition.notify()",
    ),
    "create_memory_object_stream.__new__ MemoryObjectSendStream.close MemoryObjectReceiveStream.close "
    "MemoryObjectSendStream.__enter__ MemoryObjectSendStream.__exit__ MemoryObjectReceiveStream.__enter__ "
    "MemoryObjectReceiveStream.__exit__ MemoryObjectSendStream.__del__ MemoryObjectReceiveStream.__del__ "
    "MemoryObjectSendStream.send_nowait MemoryObjectReceiveStream.receive_nowait": (
        "",
        "use_streams()",
    ),
    "MemoryObjectSendStream.send MemoryObjectReceiveStream.receive UnreliableObjectReceiveStream.__anext__": (
        "send, receive = anyio.create_memory_object_stream(0)\n"
        "async def other():\n    await send.send(1)\n    await send.send(2)\n    send.close()",
        "task = loop.create_task(other())\nasync for item in receive: pass\nawait task; receive.close()",
    ),
}
EXEMPT = {
    "AsyncIOBackend.run_sync_in_worker_thread": "a thread that is refused memory never answers, nor does anyio's",
}


@pytest.fixture(scope="module")
def prepared() -> Iterator[Prepared]:
    process = Prepared(IMPORTS, ["-W", "ignore"], os.environ)
    yield process
    process.end()


@pytest.mark.skipif(
    importlib.util.find_spec("_testcapi") is None, reason="the interpreter's test module refuses memory"
)
@pytest.mark.parametrize("names", OPERATIONS, ids=lambda names: names.split()[0])
def test_operation_that_is_refused_memory_leaves_a_loop_that_closes(prepared, names):
    prepare, act = OPERATIONS[names]
    program = PROGRAM.format(
        module="asyncio",
        modes=(False, True),
        prelude=PRELUDE,
        prepare=textwrap.indent(prepare or "pass", " " * 4),
        act=textwrap.indent(act, " " * 8),
    )
    assert prepared.run(program, timeout=100) == (0, "closed\n", "")


NAMES = (
    IMPORTS
    + """
async def main():
    async with anyio.create_task_group() as group:
        handle = group.start_soon(anyio.sleep, 0)
    for ours in (group, handle, group.cancel_scope):
        print(*(f"{type(ours).__name__}.{name}" for name in vars(type(ours)) if not name.startswith("_")))
anyio.run(main)
"""
)


def test_each_replacement_is_swept_or_exempt():
    command = [sys.executable, "-c", NAMES]
    replaced = {*subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.split()}
    assert len(replaced) > 10
    replaced |= {f"AsyncIOBackend.{name}" for name in _ferrio._anyio_parts} | {*_ferrio._anyio_functions}
    replaced |= {f"{owner.__name__}.{name}" for owner, name, _ in _ferrio._anyio_primitives(backend)}
    listed = {name for names in OPERATIONS for name in names.split()}
    assert sorted(replaced - listed - EXEMPT.keys()) == []
    assert sorted((listed | EXEMPT.keys()) - replaced) == []
