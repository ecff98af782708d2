"""What counts as a failure beside the program's own exceptions, and what does not."""

import asyncio
import contextlib
import gc
import os
import sys
import threading

import pytest

import ferrio
from ferrio import testing
from ferrio.testing import sim
from tests.testing_package.correct_programs import CORRECT


def failure_of(main, **options):
    report = testing.explore(main, schedules=60, **options)
    assert report.failure is not None
    return report.failure


def passes(main, **options):
    report = testing.explore(main, schedules=60, **options)
    assert report.failure is None, str(report)
    return report


# Leftovers


async def quiet():
    """Leaves nothing."""

    async def work():
        await asyncio.sleep(0.001)

    lock, semaphore = asyncio.Lock(), asyncio.BoundedSemaphore(2)
    async with lock, semaphore, asyncio.TaskGroup() as group:
        group.create_task(work())

    async def serve(reader, writer):
        writer.write(await reader.readexactly(5))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 80)
    reader, writer = await asyncio.open_connection("127.0.0.1", 80)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    assert await reader.read() == b""
    writer.close()
    server.close()
    with open(os.devnull) as file:
        file.read()


def test_a_program_that_leaves_nothing_passes():
    assert passes(quiet, leftovers="fail").leftovers == []
    testing.run(quiet, leftovers="fail")


@pytest.mark.parametrize("program", CORRECT, ids=lambda program: program.__name__)
def test_correct_programs_leave_nothing(program):
    passes(program, leftovers="fail")


def test_a_task_that_is_left_is_named_with_its_places():
    async def main():
        async def linger():
            await asyncio.sleep(3600)

        tasks.append(asyncio.create_task(linger(), name="lingerer"))
        await asyncio.sleep(0.001)

    tasks = []
    report = passes(main)
    assert len(report.leftovers) == 1
    assert "lingerer" in report.leftovers[0]
    failure = failure_of(main, leftovers="fail")
    assert isinstance(failure.exception, testing.LeftoverError)
    line = main.__code__.co_firstlineno
    assert f"made at test_oracles.py:{line + 4}, waits at test_oracles.py:{line + 2}" in str(failure.exception)
    assert isinstance(testing.replay(main, failure.token, leftovers="fail").failure.exception, testing.LeftoverError)
    assert testing.replay(main, failure.token).failure is None
    with pytest.raises(testing.LeftoverError, match="lingerer"):
        testing.run(main, leftovers="fail")


def test_a_task_that_is_left_in_some_schedules_only_is_found_and_classified():
    async def main():
        async def work():
            await asyncio.to_thread(int)

        left = asyncio.create_task(work())
        await asyncio.to_thread(int)
        await asyncio.to_thread(int)
        del left

    assert failure_of(main, leftovers="fail").classification == "arrival"


def test_a_cancelled_task_is_no_leftover_and_one_that_goes_on_is():
    async def main():
        async def stop_at_once():
            await asyncio.sleep(3600)

        task = asyncio.create_task(stop_at_once())
        await asyncio.sleep(0.001)
        task.cancel()

    assert passes(main, leftovers="fail").leftovers == []

    async def goes_on():
        async def ignore():
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                await asyncio.sleep(3600)

        task = asyncio.create_task(ignore())
        await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.sleep(0.001)

    assert "was cancelled, but waits" in str(failure_of(goes_on, leftovers="fail").exception)


def test_a_lock_that_is_held_is_found():
    async def main():
        lock = asyncio.Lock()
        kept.append(lock)
        await lock.acquire()

    kept = []
    passes(main)
    assert "a lock is held, made at test_oracles.py:" in str(failure_of(main, leftovers="fail").exception)


@pytest.mark.parametrize("kind", [ferrio.Lock, asyncio.locks.Lock])
def test_where_a_lock_was_made_is_told_of_both_classes(kind):
    async def main():
        lock = kind(); line.append(sys._getframe().f_lineno)  # fmt: skip # noqa: E702
        kept.append(lock)
        await lock.acquire()

    kept, line = [], []
    told = str(failure_of(main, leftovers="fail").exception)
    assert f"a lock is held, made at test_oracles.py:{line[0]}: " in told
    initialize = asyncio.locks.Lock.__init__
    assert "ferrio" not in initialize.__globals__.get("__name__", "")


def test_a_permit_that_is_not_returned_is_found():
    async def main():
        semaphore = asyncio.BoundedSemaphore(3)
        kept.append(semaphore)
        await semaphore.acquire()

    kept = []
    told = str(failure_of(main, leftovers="fail").exception)
    assert "1 of a semaphore's 3 are taken, made at test_oracles.py:" in told


def test_open_connections_and_servers_are_found_with_the_place_where_they_were_made():
    async def main():
        async def serve(reader, writer):
            await reader.read()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 80)
        kept.append((server, await asyncio.open_connection("127.0.0.1", 80)))

    kept = []
    text = str(failure_of(main, leftovers="fail").exception)
    line = main.__code__.co_firstlineno
    assert f"the listening socket ('127.0.0.1', 80) is open, made at test_oracles.py:{line + 5}" in text
    assert f"made at test_oracles.py:{line + 6}" in text


def test_a_datagram_endpoint_is_found():
    async def main():
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 53))

    assert "the datagram socket ('127.0.0.1', 53)" in str(failure_of(main, leftovers="fail").exception)


def test_what_other_hosts_leave_is_no_matter():
    async def serve():
        async def answer(reader, writer):
            writer.write(await reader.readexactly(5))
            try:
                await asyncio.sleep(3600)
            finally:
                writer.close()

        async with await asyncio.start_server(answer, "0.0.0.0", 80) as server:
            await server.serve_forever()

    async def main():
        sim.net.host("server").run(serve)
        await asyncio.sleep(1)
        reader, writer = await asyncio.open_connection("server", 80)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()
        await writer.wait_closed()

    passes(main, leftovers="fail")


def test_a_descriptor_that_stays_open_is_found():
    async def main():
        kept.append(os.open(os.devnull, os.O_RDONLY))

    kept = []
    try:
        assert "/dev/null" in str(failure_of(main, leftovers="fail").exception)
    finally:
        for descriptor in kept:
            os.close(descriptor)


def test_a_descriptor_that_is_opened_once_in_a_process_is_no_leftover():
    async def main():
        if not kept:
            kept.append(os.open(os.devnull, os.O_RDONLY))
        await asyncio.sleep(0)

    kept = []
    try:
        passes(main, leftovers="fail")
    finally:
        os.close(kept[0])


def test_what_only_the_collector_frees_is_closed_by_it():
    async def main():
        class Holder:
            def __del__(self):
                os.close(self.descriptor)

        holder = Holder()
        holder.itself, holder.descriptor = holder, os.open(os.devnull, os.O_RDONLY)

    passes(main, leftovers="fail")


# Cancellations that are swallowed


def test_a_task_that_swallows_each_cancellation_is_found():
    async def main():
        async def stubborn():
            while True:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.get_running_loop().create_future()

        kept.append(asyncio.create_task(stubborn(), name="stubborn"))
        await asyncio.sleep(0.001)

    kept = []
    failure = failure_of(main)
    assert isinstance(failure.exception, testing.SwallowedCancellation)
    assert "stubborn" in str(failure.exception)
    assert "test_oracles.py:" in str(failure.exception)
    with pytest.raises(testing.SwallowedCancellation):
        testing.run(main)


def test_a_cancellation_that_is_lost_in_one_schedule_only_is_found():
    async def main():
        async def work():
            job = asyncio.ensure_future(asyncio.to_thread(int))
            try:
                await asyncio.shield(job)
            except asyncio.CancelledError:
                if not job.done():
                    raise
            await asyncio.get_running_loop().create_future()

        task = asyncio.create_task(work())
        await asyncio.to_thread(int)
        task.cancel()
        await asyncio.wait([task], timeout=1)
        kept.append(task)

    kept = []
    # Cancelled again at the end, it ends.
    passes(main)


def test_cleaning_up_after_a_cancellation_is_right():
    async def main():
        async def tidy():
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                await asyncio.sleep(1)
                await asyncio.to_thread(int)

        async def inside_timeout():
            try:
                async with asyncio.timeout(0.001):
                    await asyncio.sleep(3600)
            except TimeoutError:
                await asyncio.sleep(3600)

        async def inside_group():
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(asyncio.sleep(3600))
                    raise LookupError
            except* LookupError:
                await asyncio.sleep(3600)

        kept.extend(asyncio.create_task(each()) for each in (tidy, inside_timeout, inside_group))
        await asyncio.sleep(0.1)

    kept = []
    passes(main)


# Exceptions that nothing retrieves


def unretrieved(main, **options):
    failure = failure_of(main, **options)
    assert isinstance(failure.exception, testing.UnhandledError)
    return failure


async def fail():
    raise KeyError("lost")


def test_an_exception_in_a_cycle_of_objects_is_found():
    async def main():
        task = asyncio.create_task(fail())
        kept = [task]
        kept.append(kept)
        await asyncio.sleep(0.001)

    assert isinstance(unretrieved(main).exception.__cause__, KeyError)


def test_an_exception_in_a_cycle_is_found_in_the_last_schedule_too():
    async def main():
        first = asyncio.create_task(asyncio.to_thread(int))
        await asyncio.to_thread(int)
        if first.done():
            task = asyncio.create_task(fail())
            kept = [task]
            kept.append(kept)
            await asyncio.sleep(0.001)
        await first

    assert unretrieved(main).classification == "arrival"


def test_an_exception_of_a_future_and_of_a_callback_are_found():
    async def of_future():
        asyncio.get_running_loop().create_future().set_exception(KeyError("lost"))
        await asyncio.sleep(0)

    async def of_callback():
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(0.001)

    unretrieved(of_future)
    unretrieved(of_callback)


def test_exceptions_that_somebody_retrieves_are_no_matter():
    async def main():
        task = asyncio.create_task(fail())
        assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], KeyError)
        other = asyncio.create_task(fail())
        await asyncio.wait([other])
        other.exception()
        with pytest.raises(KeyError):
            await asyncio.create_task(fail())

    passes(main)


def test_what_was_garbage_before_the_exploration_is_no_matter():
    async def before():
        future = asyncio.get_running_loop().create_future()
        future.set_exception(KeyError("of another program"))
        future.get_loop().set_exception_handler(lambda *_: None)
        kept = [future]
        kept.append(kept)

    gc.collect()
    asyncio.run(before())

    async def main():
        await asyncio.to_thread(int)

    passes(main)


# Deadlocks


def test_a_deadlock_is_told_with_its_circle_and_holders():
    async def main():
        left, right = asyncio.Lock(), asyncio.Lock()

        async def take(one, other):
            async with one:
                await asyncio.sleep(0.001)
                async with other:
                    pass

        async with asyncio.TaskGroup() as group:
            group.create_task(take(left, right), name="to the right")
            group.create_task(take(right, left), name="to the left")

    text = str(failure_of(main).exception)
    assert "DEADLOCK of 2 tasks: to the" in text
    assert "which task 'to the left' holds" in text
    assert "test_oracles.py:" in text
    assert " for -" not in text
    with pytest.raises(testing.Deadlock, match="DEADLOCK of 2 tasks"):
        testing.run(main)


# Invariants


def test_what_always_holds_is_looked_at_after_each_callback():
    async def main():
        value = 0
        sim.always(lambda: value >= 0, "not negative")
        sim.always(lambda: True)
        await asyncio.sleep(1)
        value = -1
        await asyncio.sleep(0)
        value = 1

    failure = failure_of(main)
    assert "does not hold any more: not negative" in str(failure.exception)


def test_what_is_to_come_comes_in_time_or_not():
    async def main(delay, within):
        came = []
        sim.eventually(lambda: came, within=within)
        await asyncio.sleep(delay)
        came.append(1)
        await asyncio.sleep(10)

    passes(lambda: main(1, 2), stall=0)
    assert "has not come within 1 s" in str(failure_of(lambda: main(2, 1)).exception)


def test_an_invariant_that_raises_fails_the_run():
    async def main():
        sim.always(lambda: 1 // len(threads))
        await asyncio.sleep(0)

    threads = []
    assert isinstance(failure_of(main).exception, ZeroDivisionError)
    assert threading.active_count() < 50


def test_a_predicate_is_no_coroutine_function():
    """What it gives would be true, whatever it finds."""

    async def predicate():
        return False

    async def main():
        with pytest.raises(TypeError, match="predicate"):
            sim.always(predicate)
        with pytest.raises(TypeError, match="predicate"):
            sim.eventually(predicate, within=1)

    testing.run(main)
