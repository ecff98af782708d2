"""Wherever the interpreter is refused memory in an operation, the process continues, and the loop works and closes.

Each operation of `memory_operations.py` is swept in a process of its own: its first allocation is refused, then its
second, and so on; each time once alone, and once with all that follow it.
"""

import importlib.util
import inspect
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest

import ferrio
from ferrio._natives import NATIVES
from tests.support.memory_operations import EXEMPT, OPERATIONS, PRELUDE, REFUSED_ONCE
from tests.support.prepared_python import Prepared
from tests.support.refused_memory import skip_unless_python_code_can_be_refused_memory

PROGRAM = """
import {module} as asyncio, sys
from _testcapi import remove_mem_hooks, set_nomemory
{prelude}
sys.unraisablehook = nothing
logging.disable()
kept, transports = [], []
executor = ThreadPoolExecutor(1)
executor.submit(nothing).result()
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
loop.set_exception_handler(nothing)

async def operation(start, stop):
{prepare}
    set_nomemory(start, stop)
    try:
{act}
    except BaseException:
        return False
    else:
        return True
    finally:
        remove_mem_hooks()

async def tidy():
    for transport in transports:
        transport.abort() if hasattr(transport, "abort") else transport.close()
    transports.clear()
    for task in asyncio.all_tasks(loop):
        if task is not asyncio.current_task():
            task.cancel()
    for _ in range(3):
        await asyncio.sleep(0)
    for file in kept:
        file.close()
    kept.clear()

def run(coroutine, patience):
    # What was lost with the memory is not waited for. If the machine is too busy for an operation, the next one tells.
    watch = loop.call_later(patience, loop.stop)
    task = loop.create_task(coroutine)
    try:
        return loop.run_until_complete(task)
    except BaseException as error:
        return error
    finally:
        remove_mem_hooks()
        watch.cancel()

def sweep():
    for endless in {modes}:
        untouched = 0
        for start in range(200):
            untouched = untouched + 1 if run(operation(start, 0 if endless else start + 1), 0.5) is True else 0
            left = run(tidy(), 30)
            assert left is None, (start, endless, left)
            # One refusal alone may be made good; several in a row come after the end.
            if untouched == 4:
                break

sweep()
assert run(wait_a_turn(), 60) == 1
loop.close()
print("closed")
"""


@pytest.fixture(scope="module")
def prepared() -> Iterator[Prepared]:
    preamble = "import asyncio, concurrent.futures, ferrio, logging, os, signal, socket, sys, tempfile"
    process = Prepared(preamble, ["-W", "ignore"], os.environ)
    yield process
    process.end()


def program(names: str) -> str:
    prepare, act = OPERATIONS[names]
    # Without memory for an integer, an interpreter before 3.14 looks for the handler of one error without end.
    once = names.split()[0] in REFUSED_ONCE or (names.startswith("inspect.") and sys.version_info < (3, 14))
    return PROGRAM.format(
        module="ferrio",
        modes=(False,) if once else (False, True),
        prelude=PRELUDE,
        prepare=textwrap.indent(prepare or "pass", " " * 4),
        act=textwrap.indent(act, " " * 8),
    )


@pytest.mark.skipif(
    importlib.util.find_spec("_testcapi") is None, reason="the interpreter's test module refuses memory"
)
@pytest.mark.parametrize("names", OPERATIONS, ids=lambda names: names.split()[0])
def test_operation_that_is_refused_memory_leaves_a_loop_that_closes(prepared, names):
    if names.startswith("inspect."):
        # What is in Python can be no better than the interpreter.
        skip_unless_python_code_can_be_refused_memory()
    assert prepared.run(program(names), timeout=100) == (0, "closed\n", "")


PIPE = """
import os, ferrio
from _testcapi import remove_mem_hooks, set_nomemory

class Protocol(ferrio.Protocol):
    def __init__(self):
        self.received, self.lost = b"", []

    def data_received(self, data):
        self.received += data

    def connection_lost(self, error):
        self.lost.append(type(error))

async def turns():
    for _ in range(5):
        await ferrio.sleep(0)

def run(coroutine):
    try:
        loop.run_until_complete(coroutine)
    except MemoryError:
        pass
    remove_mem_hooks()

loop, endings = ferrio.new_event_loop(), set()
loop.set_exception_handler(lambda *_: None)
for start in range(40):
    reading, writing = os.pipe()
    transport, protocol = loop.run_until_complete(loop.connect_read_pipe(Protocol, os.fdopen(reading, "rb", 0)))
    run(turns())
    os.write(writing, b"x" * 700)
    refused = turns()
    set_nomemory(start, start + 1)
    run(refused)
    run(turns())
    whole = (len(protocol.received), protocol.lost) == (700, [])
    assert whole or protocol.lost == [MemoryError], (start, len(protocol.received), protocol.lost)
    endings.add(whole)
    transport.close()
    os.close(writing)
    run(turns())
assert endings == {True, False}, endings
loop.close()
"""


@pytest.mark.skipif(
    importlib.util.find_spec("_testcapi") is None, reason="the interpreter's test module refuses memory"
)
def test_pipe_that_has_no_memory_for_what_it_read_ends():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PIPE], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


RUN = """
import ferrio
from _testcapi import remove_mem_hooks, set_nomemory

async def main(start, stop):
    await ferrio.sleep(0)
    set_nomemory(start, stop)

loop = ferrio.new_event_loop()
loop.set_exception_handler(lambda *_: None)
for endless in (False, True):
    for start in range(40):
        try:
            loop.run_until_complete(main(start, 0 if endless else start + 1))
        except MemoryError:
            pass
        finally:
            remove_mem_hooks()
        loop.run_until_complete(ferrio.sleep(0))
loop.close()
print("closed")
"""


@pytest.mark.skipif(
    importlib.util.find_spec("_testcapi") is None, reason="the interpreter's test module refuses memory"
)
def test_run_ends_where_there_is_no_memory_for_what_stops_it():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "closed\n", "")


def public_methods(owner: type) -> set[str]:
    return {name for name in dir(owner) if not name.startswith("_") and not hasattr(object, name)}


def test_each_public_operation_is_swept_or_exempt():
    listed = {name for names in OPERATIONS for name in names.split()}
    exported = {
        "EventLoop",
        "allow_nested_runs",
        "anyio_status",
        "install",
        "new_event_loop",
        "run",
        "uninstall",
        *NATIVES,
    }
    exported |= {"Handle", "TimerHandle"}
    wanted: set[str] = set()
    for name in exported & set(ferrio.__all__):
        thing = getattr(ferrio, name)
        if inspect.isclass(thing) and issubclass(thing, BaseException):
            continue
        if inspect.isclass(thing):
            wanted |= {f"{name}.{method}" for method in public_methods(thing)}
        if name not in {"EventLoop", "Handle", "TimerHandle"}:
            wanted.add(name)
    assert sorted(wanted - listed - EXEMPT.keys()) == []
    assert sorted(listed & EXEMPT.keys()) == []
