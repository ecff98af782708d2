"""The loops on which the bridge is tested: those of all tests, and others that know nothing of it."""

import asyncio
import importlib.util
import os
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.loops import FACTORIES

# Tests that panic hundreds of times would spend a minute on finding names for each stack.
os.environ["RUST_BACKTRACE"] = "0"


class PythonLoop(asyncio.SelectorEventLoop):
    """asyncio's loop with futures and tasks of pure Python."""

    def create_future(self) -> Any:
        return vars(asyncio.futures)["_PyFuture"](loop=self)

    def create_task(self, coro: Any, **options: Any) -> Any:
        return vars(asyncio.tasks)["_PyTask"](coro, loop=self, **options)


def new_uvloop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()


OTHERS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {}
if sys.version_info < (3, 14):  # whose current_task() does not see tasks of Python
    OTHERS["python"] = PythonLoop
if importlib.util.find_spec("uvloop") is not None:
    OTHERS["uvloop"] = new_uvloop
    new_uvloop().close()  # it opens a pipe that stays for the process's life


@pytest.fixture(params=[*FACTORIES, *OTHERS])
def loop_kind(request) -> str:
    return request.param


@pytest.fixture
def loop_factory(loop_kind) -> Callable[[], asyncio.AbstractEventLoop]:
    return {**FACTORIES, **OTHERS}[loop_kind]
