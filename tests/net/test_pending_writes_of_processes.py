"""What becomes of pending writes when a process forks or ends, and how a process turns them off."""

import asyncio
import logging
import os
import subprocess
import sys

import pytest

from tests.support.peers import socket_pair
from tests.support.pending_writes import Writer, arrived, connection, write_twice


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # those of pytest-xdist
def test_a_forked_child_sends_nothing_of_its_parents(loop):
    async def main():
        async with connection() as (transport, _, far):
            for _ in range(5):
                await write_twice(transport, far)
                transport.write(b"the parent's")
                if (child := os.fork()) == 0:
                    transport.write(b", the child's")
                    os._exit(0)
                os.waitpid(child, 0)
                assert arrived(far) == b"the parent's, the child's"
                await asyncio.sleep(0)
                assert arrived(far) == b""

    loop.run_until_complete(main())


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # those of pytest-xdist
def test_a_fork_while_held_writes_are_sent_loses_nothing(loop, log):
    """When the end of a callback finds a connection broken, others are still to be sent to."""
    third: list[asyncio.Transport] = []

    class Fork(logging.Handler):
        def emit(self, record):
            if "Fatal write error" in record.getMessage():
                third[0].write(b"the ")
                third[0].write(b"third's")
                if (child := os.fork()) == 0:
                    os._exit(0)
                os.waitpid(child, 0)

    async def main():
        async with connection() as (broken, _, gone), connection() as (other, _, far), connection() as (last, _, end):
            third.append(last)
            broken.pause_reading()
            for transport, peer in ((broken, gone), (other, far), (last, end)):
                await write_twice(transport, peer)
            gone.close()
            for transport in (broken, other):
                transport.write(b"the ")
                transport.write(b"second's")
            await asyncio.sleep(0)
            assert (arrived(far), arrived(end)) == (b"the second's", b"the third's")

    forks = Fork()
    logging.getLogger("asyncio").addHandler(forks)
    loop.set_debug(True)
    try:
        loop.run_until_complete(main())
    finally:
        logging.getLogger("asyncio").removeHandler(forks)


def test_what_a_child_inherits_comes_after_what_was_written(loop):
    async def main():
        with socket_pair() as (near, far):
            far.setblocking(False)
            transport, own = await asyncio.get_running_loop().create_connection(Writer, sock=near)
            for _ in range(3):
                await write_twice(transport, far)
                transport.write(b"the ")
                transport.write(b"parent's")
                child = await asyncio.create_subprocess_exec("printf", ", the child's", stdout=near.fileno())
                await child.wait()
                assert arrived(far) == b"the parent's, the child's"
            transport.abort()
            await own.lost

    loop.run_until_complete(main())


PROGRAM_THAT_FORKS = """
import asyncio, os, socket
import ferrio
from tests.support.pending_writes import Writer, write_pending

async def main():
    near, far = socket.socketpair()
    far.setblocking(False)
    transport, _ = await asyncio.get_running_loop().create_connection(Writer, sock=near)
    await write_pending(transport, far, b"before")
    if (child := os.fork()) == 0:
        os._exit(0)
    os.waitpid(child, 0)
    print(far.recv(100))
    far.close()
    transport.abort()
    await asyncio.sleep(0)

ferrio.run(main())
"""


def test_a_process_that_forks_has_no_other_thread():
    """From 3.12 on the interpreter would warn."""
    command = [sys.executable, "-W", "error", "-c", PROGRAM_THAT_FORKS]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (run.stdout, run.stderr) == ("b'before'\n", "")


PROGRAM_THAT_ENDS = """
import asyncio, os, socket, sys
import ferrio
from tests.support.pending_writes import Writer, write_pending

async def main():
    near, far = (socket.socket(fileno=int(number)) for number in sys.argv[2:])
    transport, _ = await asyncio.get_running_loop().create_connection(Writer, sock=near)
    await write_pending(transport, far, b"last")
    if sys.argv[1] == "switched off":
        transport.set_join_writes(False)
    if sys.argv[1] == "sys.exit":
        sys.exit()
    os._exit(0)

ferrio.run(main())
"""


@pytest.mark.parametrize(
    ("how", "arrives"), [("os._exit", b""), ("switched off", b"last"), ("sys.exit", b"last")], ids=str
)
def test_what_the_last_callback_wrote_is_lost_with_the_process(pair, how, arrives):
    numbers = [end.fileno() for end in pair]
    command = [sys.executable, "-c", PROGRAM_THAT_ENDS, how, *map(str, numbers)]
    subprocess.run(command, pass_fds=numbers, check=True, timeout=60)
    assert arrived(pair[1]) == arrives


def test_the_variable_turns_it_off():
    program = """
import asyncio, ferrio
from tests.support.pending_writes import arrived, connection

async def main():
    async with connection() as (transport, _, far):
        for _ in range(100):
            for data in (b"1", b"2"):
                transport.write(data)
                assert arrived(far) == data
            await asyncio.sleep(0)

with asyncio.Runner(loop_factory=ferrio.EventLoop) as runner:
    runner.run(main())
"""
    environment = os.environ | {"FERRIO_JOIN_WRITES": "0"}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=60)
