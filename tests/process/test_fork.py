"""Forking: a child that inherits a loop can run its own loop without harming the parent's."""

import asyncio
import os
import signal
import socket
import sys

import pytest

import ferrio
from tests.support.forked_children import in_child

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def test_a_child_of_a_running_loop_runs_its_own(new_event_loop):
    loop = new_event_loop()

    def child():
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        own = new_event_loop()
        asyncio.set_event_loop(own)
        assert own.run_until_complete(asyncio.sleep(0.001, "slept")) == "slept"
        assert own.run_until_complete(asyncio.to_thread(lambda: 5)) == 5
        own.run_until_complete(own.shutdown_default_executor())
        own.close()

    async def main():
        await asyncio.sleep(0)
        assert in_child(child) == 0
        await asyncio.sleep(0.001)
        return "parent goes on"

    assert loop.run_until_complete(main()) == "parent goes on"


def test_asyncio_run_works_in_the_child(new_event_loop, loop_kind):
    from tests.support.loops import FACTORIES

    def child():
        with asyncio.Runner(loop_factory=FACTORIES[loop_kind]) as runner:
            assert runner.run(asyncio.sleep(0.001, 1)) == 1

    async def main():
        return in_child(child)

    assert new_event_loop().run_until_complete(main()) == 0


def test_the_parents_descriptors_stay_watched():
    """The child shares the parent's poller in the kernel and must not change it, not even by closing the loop.

    On ferrio alone: a child of stock asyncio that removes a reader removes it for its parent.
    """
    loop = ferrio.new_event_loop()
    left, right = socket.socketpair()
    seen = []

    def child():
        loop.remove_reader(left)
        loop.close()
        left.close()

    with left, right:
        loop.add_reader(left, lambda: (seen.append(left.recv(100)), loop.stop()))
        assert in_child(child) == 0
        right.send(b"for the parent")
        loop.call_later(10, loop.stop)
        loop.run_forever()
        loop.remove_reader(left)
    loop.close()
    assert seen == [b"for the parent"]


def test_the_childs_calls_do_not_wake_the_parent(loop):
    trace = []

    def child():
        loop.call_soon_threadsafe(trace.append, "in the child")

    async def main():
        assert in_child(child) == 0
        await asyncio.sleep(0.002)

    loop.run_until_complete(main())
    assert trace == []


@pytest.mark.skipif(sys.version_info < (3, 12), reason="a child's signal reaches its parent's loop in 3.11")
def test_signal_handlers_of_the_parent_stay_the_parents(loop):
    trace = []

    def child():
        own = signal.signal(signal.SIGUSR1, lambda *_: trace.append("child"))
        assert own is not None
        os.kill(os.getpid(), signal.SIGUSR1)
        assert trace == ["child"]

    async def main():
        loop.add_signal_handler(signal.SIGUSR1, trace.append, "parent")
        assert in_child(child) == 0
        await asyncio.sleep(0.002)
        assert trace == []
        os.kill(os.getpid(), signal.SIGUSR1)
        await asyncio.sleep(0.002)
        loop.remove_signal_handler(signal.SIGUSR1)

    loop.run_until_complete(main())
    assert trace == ["parent"]


def test_connections_of_the_parent_continue_after_a_fork(loop):
    from tests.support.peers import connection, read_exactly, until

    def child():
        own = asyncio.SelectorEventLoop()
        own.run_until_complete(asyncio.sleep(0))
        own.close()

    async def main():
        async with connection() as (transport, protocol, peer):
            assert in_child(child) == 0
            peer.send(b"after")
            await until(lambda: protocol.data == b"after")
            transport.write(b"back")
            assert await read_exactly(peer, 4) == b"back"

    loop.run_until_complete(main())
