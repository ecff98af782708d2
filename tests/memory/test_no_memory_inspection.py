"""Inspection that is refused memory, at any depth: it is an error, nothing is left over, and it works the next time."""

import os
import subprocess
import sys

import pytest

from tests.support.refused_memory import skip_unless_python_code_can_be_refused_memory

pytestmark = pytest.mark.timeout(300)

PROGRAM = """
import json, logging, os, socket, sys
import ferrio
from ferrio import inspect
from _testcapi import remove_mem_hooks, set_nomemory

sys.unraisablehook = lambda *_: None
logging.disable()
directory = os.path.join(os.environ["XDG_RUNTIME_DIR"], "ferrio")

async def holds(lock):
    async with lock:
        await ferrio.Event().wait()

async def waits(lock):
    async with lock:
        pass

async def main():
    lock = ferrio.Lock()
    tasks = [ferrio.create_task(make(lock)) for make in (holds, waits, waits)]
    await ferrio.sleep(0)
    # Everything is imported and made that is made once.
    for _ in range(2):
        inspect.start(recorder=64)
        operation()
        inspect.stop()
    threads = len(os.listdir("/proc/self/task"))
    descriptors = len(os.listdir("/proc/self/fd"))
    outcomes = set()
    # Without memory for an integer, an interpreter before 3.14 looks for the handler of one error without end.
    for endless in (False, True) if sys.version_info >= (3, 14) else (False,):
        untouched = 0
        for start in range(10_000):
            begin()
            refused = False
            set_nomemory(start, 0 if endless else start + 1)
            try:
                operation()
            except BaseException as error:
                refused = True
            finally:
                remove_mem_hooks()
            outcomes.add(refused)
            inspect.stop()
            await ferrio.sleep(0)
            untouched = 0 if refused else untouched + 1
            # What is made good does not count.
            if untouched == 8:
                break
        while len(os.listdir("/proc/self/task")) > threads:
            pass
        assert len(os.listdir("/proc/self/fd")) == descriptors, (endless, os.listdir("/proc/self/fd"))
        assert os.listdir(directory) == [], endless
    assert outcomes == {True, False}, outcomes
    # And now it works.
    assert len(inspect.snapshot()["tasks"]) == 4
    path = inspect.start()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(b'{"view": "metrics"}\\n')
        assert b"metrics" in connection.recv(1 << 20)
    inspect.stop()
    for task in tasks:
        task.cancel()

def begin():
    BEGIN

def operation():
    OPERATION

ferrio.run(main())
print("done")
"""


@pytest.mark.parametrize(
    ("begin", "operation"),
    [
        ("pass", "inspect.start(recorder=64)"),
        ("inspect.start(recorder=64)", "inspect.stop()"),
        ("pass", "inspect.snapshot()"),
        ("inspect.start(recorder=64)", "inspect.why()"),
        ("inspect.start(recorder=64)", "inspect.metrics()"),
        ("inspect.start(recorder=64)", "inspect.prometheus()"),
        ("inspect.start(recorder=64)", "inspect.trace()"),
    ],
    ids=["start", "stop", "snapshot", "why", "metrics", "prometheus", "trace"],
)
def test_inspection_that_is_refused_memory_leaves_nothing_and_works_afterwards(tmp_path, begin, operation):
    skip_unless_python_code_can_be_refused_memory()
    tmp_path.chmod(0o700)
    code = PROGRAM.replace("BEGIN", begin).replace("OPERATION", operation)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        timeout=280,
        env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path), "PYTHONFAULTHANDLER": "1"},
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
