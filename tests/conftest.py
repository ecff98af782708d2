"""Fixtures of all tests: both kinds of loop, checks for leaked objects, and a record of what asyncio logs.

A test that takes `loop` or `new_event_loop` runs twice, on stock asyncio and on ferrio: stock shows that the claim
is asyncio's, ferrio that it holds here too. ferrio is imported without a net: where it cannot be, tests fail.
"""

import asyncio
import gc
import logging
import os
import signal
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.descriptors import descriptors
from tests.support.loops import FACTORIES, close
from tests.support.peers import socket_pair

pytest.register_assert_rewrite("tests.support.differential")
# A shell starts what is in its background with SIGINT ignored, and so would be whatever the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


# The files that take longest, in this order. They come first, so that no core ends up alone with one of them.
LONGEST = (
    "depth/test_depth.py",
    "memory/test_bad_input.py",
    "process/test_exit.py",
    "tools/test_examples.py",
    "conformance/test_interpreter_suite.py",
    "odd_numbers/test_odd_numbers.py",
    "memory/test_out_of_memory.py",
    "soak/test_soak.py",
    "inspect/test_console_ends.py",
    "inspect/test_views.py",
    "process/test_fork_programs.py",
    "memory/test_leaks.py",
    "tools/test_instruction_counts.py",
    "inspect/test_hostile_clients.py",
    "inspect/test_watch.py",
    "inspect/test_console.py",
    "random_programs/test_random_programs.py",
    "depth/test_deep_programs.py",
    "anyio/test_no_memory.py",
    "install/test_command_line.py",
    "anyio/test_scopes.py",
    "interop/test_aiohttp.py",
    "tools/test_code_blocks.py",
    "anyio/test_groups.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_collection_finish() -> None:
    # Hundreds of thousands of objects are pytest's and live on; no collection in a test has to look at them.
    gc.collect()
    gc.freeze()


@pytest.fixture(params=FACTORIES)
def loop_kind(request) -> str:
    return request.param


@pytest.fixture
def loop_factory(loop_kind) -> Callable[[], asyncio.AbstractEventLoop]:
    return FACTORIES[loop_kind]


@pytest.fixture
def new_event_loop(loop_factory) -> Iterator[Callable[[], asyncio.AbstractEventLoop]]:
    """Makes loops; those still open at the end of the test are closed."""
    made = []

    def new_event_loop():
        made.append(loop_factory())
        return made[-1]

    yield new_event_loop
    left = [task for loop in made if not loop.is_closed() for task in asyncio.all_tasks(loop)]
    for loop in made:
        close(loop)
    assert not left, f"tasks left behind: {left}"


@pytest.fixture
def loop(new_event_loop) -> asyncio.AbstractEventLoop:
    return new_event_loop()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket_pair() as both:
        yield both


@pytest.fixture(autouse=True)
def no_descriptor_stays_open() -> Iterator[None]:
    before = descriptors()
    yield
    if descriptors() - before:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # the assertion below says more
            gc.collect()
    # A worker thread that has just woken a loop, which is closed by now, keeps the waker for a moment.
    deadline = time.monotonic() + 10
    while (left := descriptors() - before) and time.monotonic() < deadline:
        time.sleep(0.001)
    assert not left, f"descriptors left open: {left}"


@pytest.fixture(autouse=True)
def no_child_stays_behind() -> Iterator[None]:
    yield
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.fixture(autouse=True)
def no_thread_stays_behind() -> Iterator[None]:
    """A later test may count threads, and a simulation with real I/O waits for those that work."""
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before]
    deadline = time.monotonic() + 10
    for thread in left:
        thread.join(max(0, deadline - time.monotonic()))
    assert not [thread for thread in left if thread.is_alive()]


@pytest.fixture
def log(caplog) -> pytest.LogCaptureFixture:
    """What goes to the `asyncio` logger, from DEBUG up."""
    caplog.set_level(logging.DEBUG, logger="asyncio")
    return caplog
