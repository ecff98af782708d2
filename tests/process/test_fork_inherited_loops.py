"""A loop created before a fork continues in the child and watches there what it watched before.

The tests run on stock asyncio as well: it shows that the claims are asyncio's.
"""

import asyncio
import os
import sys
import threading

import pytest

import ferrio
from tests.support.forked_children import in_child, result_of_child

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

WAIT = 10


async def become_ready(loop, add, remove, file):
    ready = loop.create_future()
    add(file, lambda: ready.done() or ready.set_result("ready"))
    try:
        return await asyncio.wait_for(ready, WAIT)
    finally:
        remove(file)


@pytest.mark.parametrize("ran_before", [False, True])
def test_what_the_child_registers_is_watched(loop, pair, ran_before):
    left, right = pair
    if ran_before:
        loop.run_until_complete(asyncio.sleep(0.001))

    def child():
        right.send(b"x")
        written = loop.run_until_complete(become_ready(loop, loop.add_writer, loop.remove_writer, left))
        return written, loop.run_until_complete(become_ready(loop, loop.add_reader, loop.remove_reader, left))

    assert result_of_child(child) == ("ready", "ready")


@pytest.mark.parametrize("asleep_before", [False, True])
def test_what_the_parent_registered_is_watched_in_the_child(loop, pair, asleep_before):
    left, right = pair
    seen = []
    loop.add_reader(left, lambda: (seen.append(left.recv(100)), loop.stop()))
    loop.add_writer(right, lambda: (seen.append("writable"), loop.remove_writer(right)))
    if asleep_before:
        loop.run_until_complete(asyncio.sleep(0.001))
        seen.clear()
        loop.add_writer(right, lambda: (seen.append("writable"), loop.remove_writer(right)))

    def child():
        right.send(b"hello")
        loop.run_forever()
        loop.run_until_complete(asyncio.sleep(0))
        return sorted(map(str, seen))

    assert result_of_child(child) == ["b'hello'", "writable"]
    loop.remove_reader(left)
    loop.remove_writer(right)


def test_a_reader_that_the_child_removes_first_is_not_called(loop, pair):
    left, right = pair
    seen = []
    loop.add_reader(left, seen.append, "reader")
    right.send(b"x")

    def child():
        assert loop.remove_reader(left)
        assert not loop.remove_reader(left)
        loop.run_until_complete(asyncio.sleep(0.002))
        return seen

    assert result_of_child(child) == []
    loop.remove_reader(left)


def test_a_regular_file_is_refused_in_the_child_as_well(loop, tmp_path):
    path = tmp_path / "file"
    path.touch()

    def child():
        with open(path) as file:
            try:
                loop.add_reader(file, print)
            except PermissionError:
                return "refused"

    assert result_of_child(child) == "refused"


def test_a_descriptor_that_the_child_has_closed_hinders_nothing(loop, pair):
    left, right = pair
    loop.add_reader(left, print)
    seen = []
    loop.add_reader(right, lambda: (seen.append(right.recv(9)), loop.stop()))

    def child():
        left.send(b"x")
        left.close()
        loop.run_forever()
        return seen

    assert result_of_child(child) == [b"x"]
    loop.remove_reader(left)
    loop.remove_reader(right)


def test_timers_of_the_parent_run_in_both(loop):
    seen = []
    loop.call_later(0.002, seen.append, "timer")
    loop.call_soon(seen.append, "soon")

    def child():
        loop.run_until_complete(asyncio.sleep(0.01))
        return seen

    assert result_of_child(child) == ["soon", "timer"]
    assert seen == []
    loop.run_until_complete(asyncio.sleep(0.01))
    assert seen == ["soon", "timer"]


def test_another_thread_wakes_the_loop_of_the_child(loop):
    loop.run_until_complete(asyncio.sleep(0.001))

    def child():
        woken = loop.create_future()

        async def wait():
            thread = threading.Thread(target=loop.call_soon_threadsafe, args=(woken.set_result, "woken"))
            loop.call_later(0.01, thread.start)
            try:
                return await asyncio.wait_for(woken, WAIT)
            finally:
                thread.join()

        return loop.run_until_complete(wait())

    assert result_of_child(child) == "woken"


def test_work_of_threads_comes_back_in_the_child(loop):
    def child():
        async def work():
            return await asyncio.gather(*(asyncio.to_thread(abs, -number) for number in range(3)))

        done = loop.run_until_complete(work())
        loop.run_until_complete(loop.shutdown_default_executor())
        return done

    assert result_of_child(child) == [0, 1, 2]


def test_subprocesses_of_the_childs_own(loop):
    async def run():
        process = await asyncio.create_subprocess_exec(
            "cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await asyncio.wait_for(process.communicate(b"meow"), WAIT)
        return output, process.returncode

    loop.run_until_complete(asyncio.sleep(0.001))
    assert result_of_child(lambda: loop.run_until_complete(run())) == (b"meow", 0)


def test_the_end_of_the_parents_subprocess_is_seen_in_both():
    """Its status is the parent's to have.

    On ferrio alone: a child of stock asyncio takes the pidfd out of its parent's poller.
    """
    loop = ferrio.new_event_loop()

    async def start():
        return await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE)

    process = loop.run_until_complete(start())

    def child():
        process.terminate()
        return loop.run_until_complete(asyncio.wait_for(process.wait(), WAIT))

    assert result_of_child(child) == 255
    assert loop.run_until_complete(process.wait()) == -15
    process.stdin.close()
    loop.run_until_complete(asyncio.sleep(0.001))
    loop.close()


def test_a_child_of_the_child_runs_it_as_well(loop, pair):
    left, right = pair
    loop.add_reader(left, lambda: (left.recv(1), loop.stop()))

    def run():
        right.send(b"x")
        loop.run_forever()

    def child():
        run()
        assert in_child(run) == 0
        run()

    assert in_child(child) == 0
    run()
    loop.remove_reader(left)


def test_a_daemon_made_after_the_loop_runs_it(loop):
    """The double fork: the loop was made in the grandparent and never ran there."""
    reader, writer = os.pipe()

    def first():
        os.setsid()
        daemon = os.fork()
        if daemon:
            os._exit(0)
        os.write(writer, loop.run_until_complete(asyncio.sleep(0.001, b"daemon")))

    with open(reader, "rb") as answer:
        assert in_child(first) == 0
        os.close(writer)
        assert answer.read() == b"daemon"


def test_a_fork_in_another_thread(loop, pair):
    left, right = pair
    loop.add_reader(left, lambda: (left.recv(1), loop.stop()))
    statuses = []

    def child():
        right.send(b"x")
        loop.run_forever()
        assert loop.run_until_complete(asyncio.to_thread(lambda: 5)) == 5
        loop.run_until_complete(loop.shutdown_default_executor())

    thread = threading.Thread(target=lambda: statuses.append(in_child(child)))
    thread.start()
    thread.join()
    assert statuses == [0]
    loop.remove_reader(left)


@pytest.mark.parametrize("debug", [False, True])
def test_a_loop_closed_in_the_child_is_closed_there_alone(loop, debug):
    loop.set_debug(debug)
    loop.run_until_complete(asyncio.sleep(0.001))

    def child():
        loop.close()
        with pytest.raises(RuntimeError):
            loop.call_soon(print)

    assert in_child(child) == 0
    assert loop.run_until_complete(asyncio.sleep(0.001, "open")) == "open"


def test_tasks_of_the_parent_are_known_in_the_child(loop):
    if sys.version_info >= (3, 14):
        pytest.skip("the interpreter's list of tasks is empty in a child until the oldest of them ends")

    async def wait():
        await asyncio.sleep(0.002)
        return asyncio.current_task().get_name()

    task = loop.create_task(wait(), name="inherited")

    def child():
        names = [task.get_name() for task in asyncio.all_tasks(loop)]
        return names, asyncio.current_task(loop), loop.run_until_complete(task), task.done()

    assert result_of_child(child) == (["inherited"], None, "inherited", True)
    assert not task.done()
    loop.run_until_complete(task)
