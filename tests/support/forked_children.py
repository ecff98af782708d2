"""Runs a function in a forked child; its return value, or its failure, comes back."""

import ast
import os
import signal
import traceback
from collections.abc import Callable
from typing import Any


def in_child(function: Callable[[], object]) -> int:
    """The exit status of a child that runs the function; 0 is that of one which did not fail."""
    child = os.fork()
    if child == 0:
        become(function)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def become(function: Callable[[], object]) -> None:
    """What the child does, and the end of it. The alarm ends one that hangs; no test waits for it."""
    status = 1
    try:
        signal.alarm(30)
        function()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def result_of_child(function: Callable[[], Any]) -> Any:
    """What the function returned in a child: a value that can be written as a literal."""
    reader, writer = os.pipe()

    def report():
        os.write(writer, repr(function()).encode())

    with open(reader, "rb") as answer:
        try:
            assert in_child(report) == 0, "the child failed; what it says is on stderr"
        finally:
            os.close(writer)
        return ast.literal_eval(answer.read().decode())
