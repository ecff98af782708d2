"""Programs that the interpreter's own tools read from outside, and what these read."""

import contextlib
import importlib
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

PROGRAM = """\
import asyncio, ferrio
{setup}
{code}
if __name__ == "__main__":
    asyncio.run(main())
"""


@dataclass
class ReadTask:
    """What was read of a task."""

    name: str
    # Innermost first.
    functions: list[str]
    awaiters: set[str]


@contextlib.contextmanager
def running(code: str, setup: str) -> "Iterator[tuple[subprocess.Popen[str], str]]":
    """Runs `code`, which defines `main`, until the block ends; begins with the first line that it prints."""
    program = PROGRAM.format(setup=setup, code=textwrap.dedent(code))
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()
        yield process, line.strip()
    finally:
        process.kill()
        process.communicate()


def unwinder(pid: int) -> Any:
    """The reader of a process. Skips the test if reading is not permitted."""
    try:
        return importlib.import_module("_remote_debugging").RemoteUnwinder(pid)
    except PermissionError:
        pytest.skip("reading another process's memory is not permitted here")


def read_tasks(pid: int) -> list[ReadTask]:
    """The tasks of a process, as `python -m asyncio ps` reads them."""
    threads = unwinder(pid).get_all_awaited_by()
    found = [task for thread in threads for task in thread.awaited_by]
    names = {task.task_id: task.task_name for task in found}
    return [
        ReadTask(
            task.task_name,
            [frame.funcname for stack in task.coroutine_stack for frame in stack.call_stack],
            {names.get(waiter.task_name, "?") for waiter in task.awaited_by},
        )
        for task in found
    ]
