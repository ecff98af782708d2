"""Rust tasks under virtual time with real I/O: what a thread of Rust may still do is waited for, and no longer."""

import asyncio
import functools
import threading
import time

import pytest
import rust_extension

from ferrio import testing

HOUR = 3600.0

# Before a simulation replaces it.
sleep = time.sleep

run_real = functools.partial(testing.run, io="real")


def sleep_and_say(word):
    sleep(0.1)
    return word


def test_a_task_that_a_rust_thread_wakes_is_no_deadlock():
    async def main():
        return await rust_extension.in_thread(lambda: sleep_and_say("woken"))

    assert run_real(main) == "woken"


def test_no_timeout_passes_before_a_rust_thread_answers():
    async def main():
        async with asyncio.timeout(HOUR):
            await rust_extension.in_thread(lambda: sleep_and_say("woken"))
        return asyncio.get_running_loop().time()

    assert run_real(main) < HOUR


def test_many_rust_threads_wake_their_tasks():
    async def main():
        gates = [rust_extension.Gate() for _ in range(50)]
        tasks = [gate.wait() for gate in gates]
        await asyncio.sleep(0)
        for gate in gates:
            gate.open_from_thread()
        await asyncio.gather(*tasks)
        return await rust_extension.thread_results(50)

    assert run_real(main) == sum(range(50))


def test_code_that_a_rust_thread_sends_is_no_deadlock():
    async def main():
        done = asyncio.get_running_loop().create_future()

        def call(number):
            if number == 99:
                done.set_result("called")

        rust_extension.run_in_turn(100, call)
        return await done

    assert run_real(main) == "called"


def test_a_thread_that_waits_for_the_program_leaves_time_virtual():
    may_go_on = threading.Event()

    async def main():
        loop = asyncio.get_running_loop()
        waiting = asyncio.ensure_future(rust_extension.in_thread(may_go_on.wait))
        await rust_extension.slept(HOUR, None)
        took = loop.time()
        may_go_on.set()
        assert await waiting
        return took

    # While the thread gets to where it waits, the clock goes on as the system's.
    assert HOUR <= run_real(main) < HOUR + 60


def test_a_deadlock_is_told_if_no_thread_can_end_it():
    async def main():
        await rust_extension.Gate().wait()

    with pytest.raises(testing.Deadlock):
        run_real(main)


def test_a_deadlock_with_a_rust_thread_is_told():
    never = threading.Event()

    async def main():
        await rust_extension.in_thread(never.wait)

    try:
        with pytest.raises(testing.Deadlock):
            run_real(main)
    finally:
        never.set()
