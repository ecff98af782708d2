"""A child process and its parent both go on with Rust tasks: none takes the other's wake-ups, no lock stays taken."""

import asyncio
import functools
import gc
import os

import pytest
import rust_extension

from tests.bridge.conftest import OTHERS
from tests.support.forked_children import become, result_of_child
from tests.support.loops import FACTORIES

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

WAIT = 30


@pytest.fixture(params=[*FACTORIES, *OTHERS.keys() - {"uvloop"}])
def loop_kind(request) -> str:
    """Those that may be inherited: one of libuv's belongs to a single process."""
    return request.param


async def each_operation():
    gate = rust_extension.Gate()
    task = gate.wait()
    await asyncio.sleep(0)
    gate.open_from_thread()
    await task
    calls = []
    done = asyncio.get_running_loop().create_future()

    def call(number):
        calls.append(number)
        if number == 19:
            done.set_result(None)

    rust_extension.run_in_turn(20, call)
    await done
    assert calls == list(range(20))
    return (
        await rust_extension.in_thread(lambda: "in a thread"),
        await rust_extension.thread_results(3),
        await rust_extension.through_sockets(7),
        await rust_extension.slept(0.001, "slept"),
        await rust_extension.nested(asyncio.sleep(0, "nested")),
    )


RESULTS = ("in a thread", 3, b"\x07", "slept", "nested")


def run_each(loop):
    return loop.run_until_complete(asyncio.wait_for(each_operation(), WAIT))


@pytest.mark.parametrize("ran_before", [False, True])
def test_inherited_loop_runs_rust_tasks_in_the_child_and_then_in_the_parent(loop, ran_before):
    if ran_before:
        run_each(loop)
    assert result_of_child(lambda: run_each(loop)) == RESULTS
    assert run_each(loop) == RESULTS


def test_task_that_waits_at_the_fork_is_woken_in_both(loop):
    async def begin(gate):
        task = gate.wait()
        await asyncio.sleep(0)
        return [task]

    def finish():
        gate.open_from_thread()
        loop.run_until_complete(asyncio.wait_for(task, WAIT))
        return "woken"

    gate = rust_extension.Gate()
    (task,) = loop.run_until_complete(begin(gate))
    assert result_of_child(finish) == "woken"
    assert finish() == "woken"


@pytest.mark.parametrize("loop_kind", ["ferrio"])  # asyncio's loop shares its poller with the child
def test_child_that_runs_the_loop_takes_no_wake_up_of_the_parents(loop):
    async def woken_often():
        for _ in range(300):
            assert await asyncio.wait_for(rust_extension.thread_results(2), WAIT) == 1

    run_each(loop)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writing)
        become(lambda: loop.run_until_complete(run_until_readable(reading)))
    try:
        loop.run_until_complete(woken_often())
    finally:
        os.close(writing)
        os.close(reading)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


async def run_until_readable(descriptor):
    stopped = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().add_reader(descriptor, lambda: stopped.done() or stopped.set_result(None))
    while not stopped.done():
        await rust_extension.wake_once(None)


def test_fork_inside_a_task_whose_child_runs_a_loop_of_its_own(loop, new_event_loop):
    def child():
        asyncio._set_running_loop(None)
        own = new_event_loop()
        try:
            return run_each(own)
        finally:
            own.close()

    async def main():
        gate = rust_extension.Gate()
        waiting = gate.wait()
        await asyncio.sleep(0)
        found = result_of_child(child)
        gate.open_from_thread()
        await waiting
        return found, await each_operation()

    assert loop.run_until_complete(main()) == (RESULTS, RESULTS)


def test_child_may_close_the_loop_and_drop_what_is_left(loop):
    events = []

    async def begin():
        task = rust_extension.idle("future", events.append)
        await asyncio.sleep(0)
        return [task]

    (task,) = loop.run_until_complete(begin())

    def child():
        task._log_destroy_pending = False
        loop.close()
        return events

    assert result_of_child(child) == ["future"]
    assert run_each(loop) == RESULTS
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)


def test_no_lock_stays_taken_when_threads_wake_tasks_during_the_fork(loop, new_event_loop):
    def child(tasks):
        asyncio._set_running_loop(None)
        for task in tasks:
            task._log_destroy_pending = False
        own = new_event_loop()
        found = run_each(own)
        own.close()
        gc.collect()
        return found

    async def main():
        for _ in range(10):
            gates = [rust_extension.Gate() for _ in range(20)]
            tasks = [gate.wait() for gate in gates]
            await asyncio.sleep(0)
            for gate in gates:
                gate.open_from_thread()
            assert result_of_child(functools.partial(child, tasks)) == RESULTS
            await asyncio.gather(*tasks)

    loop.run_until_complete(main())
