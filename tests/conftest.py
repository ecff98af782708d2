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
import warnings
from collections.abc import Callable, Iterator

import pytest

from tests.support.descriptors import descriptors
from tests.support.loops import FACTORIES, close
from tests.support.peers import socket_pair

pytest.register_assert_rewrite("tests.support.differential")
# A shell starts what is in its background with SIGINT ignored, and so would be whatever the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=FACTORIES)
def loop_kind(request) -> str:
    return request.param


@pytest.fixture
def new_event_loop(loop_kind) -> Iterator[Callable[[], asyncio.AbstractEventLoop]]:
    """Makes loops; those still open at the end of the test are closed."""
    made = []

    def new_event_loop():
        made.append(FACTORIES[loop_kind]())
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
    left = descriptors() - before
    assert not left, f"descriptors left open: {left}"


@pytest.fixture(autouse=True)
def no_child_stays_behind() -> Iterator[None]:
    yield
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.fixture
def log(caplog) -> pytest.LogCaptureFixture:
    """What goes to the `asyncio` logger, from DEBUG up."""
    caplog.set_level(logging.DEBUG, logger="asyncio")
    return caplog
