"""Rust tasks in simulated programs: they run in virtual time and in all orders; threads of Rust run in real time."""

import asyncio

import pytest
import rust_extension

from ferrio import testing

HOUR = 3600.0


def test_rust_tasks_sleep_in_virtual_time():
    async def main():
        results = await asyncio.gather(*[rust_extension.slept(HOUR * number, number) for number in range(3)])
        return results, asyncio.get_running_loop().time()

    assert testing.run(main) == ([0, 1, 2], 2 * HOUR)


def test_an_exploration_finds_a_race_between_rust_tasks():
    async def main():
        order = []

        async def note(name):
            order.append(name)

        async def act(name):
            await rust_extension.slept(1.0, None)
            await rust_extension.nested(note(name))

        await asyncio.gather(act("first"), act("second"))
        assert order == ["first", "second"]

    assert testing.run(main) is None
    report = testing.explore(main, order="contract", schedules=1000)
    assert report.failure is not None
    again = testing.replay(main, report.failure.token)
    assert isinstance(again.failure.exception, AssertionError)


def test_the_same_loop_serves_all_runs_of_an_exploration():
    async def main():
        gate = rust_extension.Gate()
        tasks = [gate.wait() for _ in range(3)]
        await asyncio.sleep(0)
        gate.open_for_all()
        await asyncio.gather(*tasks)
        assert await rust_extension.wake_once("woken") == "woken"

    report = testing.explore(main, order="contract", schedules=50)
    assert report.failure is None


@pytest.mark.parametrize("runs", [1, 3])
def test_threads_of_rust_run_in_real_time(runs):
    async def main():
        async with asyncio.timeout(HOUR):
            assert await rust_extension.thread_results(5) == sum(range(5))
        gate = rust_extension.Gate()
        task = gate.wait()
        await asyncio.sleep(0)
        gate.open_from_thread()
        await task

    report = testing.explore(main, schedules=runs)
    assert report.failure is None


def test_a_deadlock_of_rust_tasks_is_told():
    async def main():
        await rust_extension.nested(rust_extension.Gate().wait())

    with pytest.raises(testing.Deadlock):
        testing.run(main)


def test_descriptors_of_the_system_are_refused():
    async def main():
        with pytest.raises(testing.RealIOError):
            await rust_extension.through_sockets(1)

    testing.run(main)
